"""Has a Markov chain run long enough? R-hat, effective sample sizes and Monte Carlo standard errors.

Pure functions on draws of shape ``(chains, draws)``, after Vehtari, Gelman, Simpson, Carpenter &
Bürkner (2021), Bayesian Analysis 16:667-718: rank-normalised split R-hat, bulk and tail effective
sample size. They need numpy and scipy only, so diagnosing a run does not cost importing ArviZ.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesmeta.values import Array, frozen_array

# Probabilities of a standard normal at -1 and +1: a Monte Carlo standard error is half of the
# interval that holds the middle 68%.
ONE_SIGMA = (float(special.ndtr(-1.0)), float(special.ndtr(1.0)))
TAIL = (0.05, 0.95)
# Autocorrelations of chains that mix well end within this many lags, and few are cheaper one by one.
LAGS = 16
# Draws looked at together: enough that arrays outweigh the calls on them, few enough for a processor's cache.
TOGETHER = 32_000


def split(draws: Array) -> Array:
    """Return each chain's first and second half as chains of their own; an odd middle draw is left out.

    Parameters
    ----------
    draws
        ``(..., chains, draws)``.
    """
    half = draws.shape[-1] // 2
    return np.concatenate([draws[..., :half], draws[..., -half:]], axis=-2)


def rank_normalise(draws: Array) -> Array:
    """Return normal scores of the pooled ranks, ties averaged, with Blom's offset 3/8."""
    return _scores(draws.ravel(), np.argsort(draws, axis=None)).reshape(draws.shape)


def _scores(values: Array, order: NDArray[np.intp]) -> Array:
    """Return normal scores of values, given their order; not a number throughout if any value is none."""
    doubled = _doubled_ranks(values, order)
    return np.full(len(values), np.nan) if doubled is None else _score_table(len(values))[doubled]


@lru_cache(maxsize=8)
def _score_table(n: int) -> Array:
    """Return the normal scores of the ranks 0, 1/2, 1, ... n: means of tied ranks are whole or half numbers."""
    return frozen_array(special.ndtri((np.maximum(np.arange(2 * n + 1), 1) / 2 - 0.375) / (n + 0.25)))


def _doubled_ranks(values: Array, order: NDArray[np.intp]) -> NDArray[np.intp] | None:
    """Return twice the ranks from 1, ties averaged; None if any value is no number."""
    ordered = values[order]
    if np.isnan(ordered[-1]):
        return None
    rank = np.empty(len(values), dtype=np.intp)
    new = ordered[1:] != ordered[:-1]
    if new.all():
        rank[order] = np.arange(2, 2 * len(values) + 1, 2)
        return rank
    starts = np.flatnonzero(np.concatenate([[True], new]))
    ends = np.append(starts[1:], len(values))
    rank[order] = np.repeat(starts + ends + 1, ends - starts)
    return rank


def plain_rhat(draws: Array) -> float:
    """Return the ratio of pooled to within-chain standard deviation (Gelman & Rubin 1992); 1 for a constant."""
    return float(_plain_rhats(draws[None])[0])


def _plain_rhats(draws: Array) -> Array:
    """Return the ratio for each of ``(q, chains, draws)``."""
    n = draws.shape[-1]
    means = draws.mean(axis=-1)
    between = n * np.var(means, axis=-1, ddof=1)
    within = np.var(draws, axis=-1, ddof=1, mean=means[..., None]).mean(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.sqrt((between / within + n - 1) / n)
    return np.where((within == 0.0) & (between == 0.0), 1.0, ratio)


def rhat(draws: Array) -> float:
    """Return rank-normalised split R-hat: the larger of the one for location and the one for spread."""
    halves = split(draws)
    folded = np.abs(halves - np.median(halves))
    return max(plain_rhat(rank_normalise(halves)), plain_rhat(rank_normalise(folded)))


def effective_sizes(series: Array) -> Array:
    """Return the effective sample sizes of the means of several series, by Geyer's initial monotone sequence.

    Parameters
    ----------
    series
        ``(s, chains, draws)``, the chains already split. Together they cost little more than one of them.

    Returns
    -------
    ``(s,)``.

    References
    ----------
    Geyer (1992), Statistical Science 7:473-483; Vehtari et al. (2021), equation 13.
    """
    _, m, n = series.shape
    means = series.mean(axis=2, keepdims=True)
    centred = series - means
    first = np.vecdot(centred, centred).mean(axis=1) / n
    total = first + (np.var(means[:, :, 0], axis=1, ddof=1) if m > 1 else 0.0)
    # A constant chain (or one that is constant to rounding) has nothing left to learn.
    high, low = series.max(axis=(1, 2)), series.min(axis=(1, 2))
    constant = high - low <= np.finfo(float).eps * np.maximum(1.0, np.maximum(high, -low))
    total[constant] = 1.0
    time = np.empty(len(series))
    time[constant] = 1.0
    left = np.flatnonzero(~constant)
    gaps = range(0, min(LAGS, n - n % 2), 2)
    time[left], open_ = _times(centred[left], first[left], total[left], gaps)
    far = left[open_]
    if len(far):
        time[far] = _times_by_transform(centred[far], first[far], total[far])
    return np.where(constant, float(m * n), m * n / np.maximum(time, 1.0 / np.log10(m * n)))


def _times(centred: Array, first: Array, total: Array, gaps: range) -> tuple[Array, NDArray[np.bool_]]:
    """Return integrated autocorrelation times, and which of them need lags beyond these.

    Parameters
    ----------
    centred
        ``(s, chains, draws)``.
    first, total
        ``(s,)`` variances within the chains, and of all draws.
    gaps
        The even lags to look at.
    """
    n = centred.shape[2]
    time, least = np.full(len(centred), -1.0), np.full(len(centred), np.inf)
    left = np.arange(len(centred))
    for gap in gaps:
        even, odd = (_autocorrelation(centred, first, total, gap + i, n) for i in (0, 1))
        ended = even + odd <= 0.0
        # The even half of the pair that ends the sequence still counts, where it is positive.
        time[left[ended]] += np.maximum(even[ended], 0.0)
        if ended.any():
            keep = ~ended
            left, centred, first, total = left[keep], centred[keep], first[keep], total[keep]
            even, odd = even[keep], odd[keep]
        if not len(left):
            break
        least[left] = np.minimum(least[left], even + odd)
        time[left] += 2.0 * least[left]
    open_ = np.zeros(len(time), dtype=bool)
    open_[left] = True
    return time, open_


def _autocorrelation(centred: Array, first: Array, total: Array, lag: int, n: int) -> Array:
    if lag == 0:
        return np.ones(len(centred))
    covariance = np.vecdot(centred[:, :, : n - lag], centred[:, :, lag:]).mean(axis=1) / n
    return np.asarray(1.0 - (first * n / (n - 1.0) - covariance) / total)


def _times_by_transform(centred: Array, first: Array, total: Array) -> Array:
    """Return integrated autocorrelation times from all lags at once."""
    from scipy import fft

    n = centred.shape[2]
    spectrum = fft.rfft(centred, n=fft.next_fast_len(2 * n, real=True), axis=2)
    # The mean over chains is taken before the transform back, which is linear.
    power = (spectrum.real**2 + spectrum.imag**2).mean(axis=1)
    covariance = fft.irfft(power, n=fft.next_fast_len(2 * n, real=True), axis=1)[:, :n] / n
    rho = 1.0 - (first[:, None] * n / (n - 1.0) - covariance) / total[:, None]
    rho[:, 0] = 1.0
    pairs = rho[:, : n - n % 2].reshape(len(rho), -1, 2)
    return np.array([_geyer(*row) for row in zip(pairs, pairs.sum(axis=2), strict=True)])


def _geyer(pairs: Array, sums: Array) -> float:
    """Return the integrated autocorrelation time from sums of neighbouring autocorrelations."""
    negative = sums <= 0.0
    # Autocorrelations far out are noise: the sum stops at the first pair that is not positive.
    last = int(negative.argmax()) if negative.any() else len(sums) - 1
    # The even half of the pair that ended the sequence still counts, where it is positive.
    return float(-1.0 + 2.0 * np.minimum.accumulate(sums[:last]).sum() + max(pairs[last, 0], 0.0))


def effective_size(chains: Array) -> float:
    """Return the effective sample size of the mean of ``(chains, draws)``, already split."""
    return float(effective_sizes(chains[None])[0])


def summaries(draws: Array, quantiles: tuple[float, ...]) -> dict[str, Array]:
    """Return every figure of several quantities at once, for a fraction of the cost of one by one.

    Parameters
    ----------
    draws
        ``(q, chains, draws)``.
    quantiles
        Whose Monte Carlo standard errors are wanted.

    Returns
    -------
    ``(q,)`` each of ``rhat``, ``ess_bulk``, ``ess_tail``, ``mcse_mean``, ``mcse_sd``, and ``mcse_2.5%`` and so on.
    """
    size = max(1, TOGETHER // draws[0].size)
    parts = [_summaries(draws[i : i + size], quantiles) for i in range(0, len(draws), size)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _summaries(draws: Array, quantiles: tuple[float, ...]) -> dict[str, Array]:
    q, halves = len(draws), split(draws)
    scores, ordered = _sorted_scores(halves)
    # The number of split draws is even.
    middle = ordered[:, ordered.shape[1] // 2 - 1 :][:, :2].mean(axis=1)
    spread = _sorted_scores(np.abs(halves - middle[:, None, None]))[0]
    # Splitting leaves out the middle draw of an odd number.
    ordered = ordered if halves.size == draws.size else np.sort(draws.reshape(q, -1), axis=1)
    square = (draws - draws.mean(axis=(1, 2), keepdims=True)) ** 2
    cuts = _quantiles_of_sorted(ordered, np.array((*TAIL, *quantiles)))
    series = np.empty((q, 3 + cuts.shape[1], *halves.shape[1:]))
    series[:, 0], series[:, 1], series[:, 2] = scores, halves, split(square)
    np.less_equal(halves[:, None], cuts[..., None, None], out=series[:, 3:], casting="unsafe")
    sizes = effective_sizes(series.reshape(-1, *halves.shape[1:])).reshape(q, -1)
    out = {
        "rhat": np.maximum(_plain_rhats(scores), _plain_rhats(spread)),
        "ess_bulk": sizes[:, 0],
        "ess_tail": sizes[:, 3:5].min(axis=1),
        "mcse_mean": np.std(draws, axis=(1, 2), ddof=1) / np.sqrt(sizes[:, 1]),
        "mcse_sd": _mcse_sds(square, sizes[:, 2]),
    }
    errors = _mcse_quantiles(ordered, np.array(quantiles), sizes[:, 5:])
    return out | {f"mcse_{100 * p:g}%": errors[:, j] for j, p in enumerate(quantiles)}


def _sorted_scores(values: Array) -> tuple[Array, Array]:
    """Return the normal scores of each of ``(q, chains, draws)``, and its sorted values ``(q, n)``."""
    flat = values.reshape(len(values), -1)
    order = np.argsort(flat, axis=1)
    scores = [_scores(*row) for row in zip(flat, order, strict=True)]
    return np.reshape(scores, values.shape), np.take_along_axis(flat, order, axis=1)


def summary(draws: Array, quantiles: tuple[float, ...]) -> dict[str, float]:
    """Return `summaries` of one quantity, ``(chains, draws)``."""
    return {name: float(figures[0]) for name, figures in summaries(draws[None], quantiles).items()}


def _quantiles_of_sorted(ordered: Array, p: Array) -> Array:
    """Return numpy's default quantiles of values sorted along the last axis."""
    last = ordered.shape[-1] - 1
    place = p * last
    low = np.floor(place).astype(np.intp)
    below, above = ordered[..., low], ordered[..., np.minimum(low + 1, last)]
    return np.asarray(below + (place - low) * (above - below))


def ess_bulk(draws: Array) -> float:
    """Return the effective sample size for the bulk: of the rank-normalised draws."""
    return effective_size(rank_normalise(split(draws)))


def ess_mean(draws: Array) -> float:
    """Return the effective sample size for the mean."""
    return effective_size(split(draws))


def ess_quantile(draws: Array, p: float) -> float:
    """Return the effective sample size for the `p` quantile."""
    below = draws <= np.quantile(draws, p)
    return effective_size(split(below.astype(np.float64)))


def ess_tail(draws: Array) -> float:
    """Return the smaller effective sample size of the 5% and the 95% quantile."""
    return min(ess_quantile(draws, p) for p in TAIL)


def mcse_mean(draws: Array) -> float:
    """Return the Monte Carlo standard error of the mean."""
    return float(np.std(draws, ddof=1) / np.sqrt(ess_mean(draws)))


def mcse_sd(draws: Array) -> float:
    """Return the Monte Carlo standard error of the standard deviation (delta method)."""
    square = (draws - draws.mean()) ** 2
    return float(_mcse_sds(square[None], np.array([ess_mean(square)]))[0])


def _mcse_sds(square: Array, size: Array) -> Array:
    """Return the errors from ``(q, chains, draws)`` squared distances from the mean."""
    variance = square.mean(axis=(1, 2))
    fourth = (square**2).mean(axis=(1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.sqrt((fourth - variance**2) / size / variance) / 2.0
    return np.where(variance == 0.0, 0.0, error)


def mcse_quantile(draws: Array, p: float) -> float:
    """Return the Monte Carlo standard error of the `p` quantile.

    Half the distance between the order statistics that bound the middle 68% of the beta
    distribution of the quantile's rank (Vehtari et al. 2021, section 4.4).
    """
    ordered, size = np.sort(draws, axis=None), ess_quantile(draws, p)
    return float(_mcse_quantiles(ordered[None], np.array([p]), np.array([[size]]))[0, 0])


def _mcse_quantiles(ordered: Array, p: Array, size: Array) -> Array:
    """Return ``(q, n_p)`` errors from ``(q, n)`` sorted draws and ``(q, n_p)`` effective sample sizes."""
    n = ordered.shape[1]
    low, high = special.betaincinv(size * p + 1, size * (1 - p) + 1, np.array(ONE_SIGMA)[:, None, None])
    if np.isnan(low).any():
        return np.full(size.shape, np.nan)
    first = np.floor(np.maximum(low * n - 1, 0)).astype(np.intp)
    last = np.ceil(np.minimum(high * n - 1, n - 1)).astype(np.intp)
    row = np.arange(len(ordered))[:, None]
    return np.asarray((ordered[row, last] - ordered[row, first]) / 2.0)


def bfmi(energy: Array) -> Array:
    """Return the energy Bayesian fraction of missing information of each chain (Betancourt 2016)."""
    fraction: Array = np.square(np.diff(energy, axis=1)).mean(axis=1) / np.var(energy, axis=1, ddof=1)
    return fraction


def decimals(error: float | None, most: int) -> int:
    """Return how many decimals to print so that none is finer than the error.

    Examples
    --------
    >>> decimals(0.0032, 3), decimals(None, 5), decimals(0.4, 1)
    (2, 5, 0)
    """
    if not error or not math.isfinite(error):
        return most
    return min(most, max(0, -math.ceil(math.log10(error))))
