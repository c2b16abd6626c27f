"""Has a Markov chain run long enough? R-hat, effective sample sizes and Monte Carlo standard errors.

Pure functions on draws of shape ``(chains, draws)``, after Vehtari, Gelman, Simpson, Carpenter &
Bürkner (2021), Bayesian Analysis 16:667-718: rank-normalised split R-hat, bulk and tail effective
sample size. They need numpy and scipy only, so diagnosing a run does not cost importing ArviZ.
"""

import numpy as np
from scipy import fft, special

from bayesmeta.values import Array

# Probabilities of a standard normal at -1 and +1: a Monte Carlo standard error is half of the
# interval that holds the middle 68%.
ONE_SIGMA = (float(special.ndtr(-1.0)), float(special.ndtr(1.0)))
TAIL = (0.05, 0.95)


def split(draws: Array) -> Array:
    """Return each chain's first and second half as chains of their own; an odd middle draw is left out."""
    half = draws.shape[1] // 2
    return np.concatenate([draws[:, :half], draws[:, -half:]])


def rank_normalise(draws: Array) -> Array:
    """Return normal scores of the pooled ranks, ties averaged, with Blom's offset 3/8."""
    rank = _ranks(draws.ravel())
    scores: Array = special.ndtri((rank - 0.375) / (draws.size + 0.25)).reshape(draws.shape)
    return scores


def _ranks(values: Array) -> Array:
    """Return ranks from 1, ties averaged; not a number throughout if any value is none, so that it shows."""
    order = np.argsort(values)
    ordered = values[order]
    if np.isnan(ordered[-1]):
        return np.full(len(values), np.nan)
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    ends = np.append(starts[1:], len(values))
    rank = np.empty(len(values))
    rank[order] = np.repeat(0.5 * (starts + ends + 1.0), ends - starts)
    return rank


def plain_rhat(draws: Array) -> float:
    """Return the ratio of pooled to within-chain standard deviation (Gelman & Rubin 1992); 1 for a constant."""
    n = draws.shape[1]
    between = n * np.var(draws.mean(axis=1), ddof=1)
    within = np.var(draws, axis=1, ddof=1).mean()
    if within == 0.0:
        return 1.0 if between == 0.0 else float("inf")
    return float(np.sqrt((between / within + n - 1) / n))


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
    spectrum = fft.rfft(series - means, n=fft.next_fast_len(2 * n, real=True), axis=2)
    # The mean over chains is taken before the transform back, which is linear.
    power = (spectrum.real**2 + spectrum.imag**2).mean(axis=1)
    covariance = fft.irfft(power, n=fft.next_fast_len(2 * n, real=True), axis=1)[:, :n] / n
    between = np.var(means[:, :, 0], axis=1, ddof=1) if m > 1 else 0.0
    total = covariance[:, 0] + between
    # A constant chain (or one that is constant to rounding) has nothing left to learn.
    size = np.abs(series).max(axis=(1, 2))
    constant = np.ptp(series, axis=(1, 2)) <= np.finfo(float).eps * np.maximum(1.0, size)
    total[constant] = 1.0
    rho = 1.0 - (covariance[:, :1] * n / (n - 1.0) - covariance) / total[:, None]
    rho[:, 0] = 1.0
    pairs = rho[:, : n - n % 2].reshape(len(rho), -1, 2)
    sums = pairs.sum(axis=2)
    found = [_geyer(*row) for row in zip(pairs, sums, strict=True)]
    return np.where(constant, float(m * n), m * n / np.maximum(found, 1.0 / np.log10(m * n)))


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


def summary(draws: Array, quantiles: tuple[float, ...]) -> dict[str, float]:
    """Return every figure of one quantity at once, for a fraction of the cost of one by one.

    Parameters
    ----------
    draws
        ``(chains, draws)``.
    quantiles
        Whose Monte Carlo standard errors are wanted.

    Returns
    -------
    ``rhat``, ``ess_bulk``, ``ess_tail``, ``mcse_mean``, ``mcse_sd``, and ``mcse_2.5%`` and so on.
    """
    halves = split(draws)
    scores = rank_normalise(halves)
    square = (draws - draws.mean()) ** 2
    ordered = np.sort(draws, axis=None)
    cuts = _quantiles_of_sorted(ordered, np.array((*TAIL, *quantiles)))
    series = [scores, halves, split(square), *(split((draws <= cut).astype(np.float64)) for cut in cuts)]
    sizes = effective_sizes(np.stack(series))
    spread = plain_rhat(rank_normalise(np.abs(halves - np.median(halves))))
    variance = float(square.mean())
    out = {
        "rhat": max(plain_rhat(scores), spread),
        "ess_bulk": float(sizes[0]),
        "ess_tail": float(sizes[3:5].min()),
        "mcse_mean": float(np.std(draws, ddof=1) / np.sqrt(sizes[1])),
        "mcse_sd": _mcse_sd(square, variance, float(sizes[2])),
    }
    for p, size in zip(quantiles, sizes[5:], strict=True):
        out[f"mcse_{100 * p:g}%"] = _mcse_quantile(ordered, p, float(size))
    return out


def _quantiles_of_sorted(ordered: Array, p: Array) -> Array:
    """Return numpy's default quantiles of sorted values."""
    place = p * (len(ordered) - 1)
    low = np.floor(place).astype(np.intp)
    high = np.minimum(low + 1, len(ordered) - 1)
    return np.asarray(ordered[low] + (place - low) * (ordered[high] - ordered[low]))


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
    return _mcse_sd(square, float(square.mean()), ess_mean(square))


def _mcse_sd(square: Array, variance: float, size: float) -> float:
    if variance == 0.0:
        return 0.0
    return float(np.sqrt((np.mean(square**2) - variance**2) / size / variance) / 2.0)


def mcse_quantile(draws: Array, p: float) -> float:
    """Return the Monte Carlo standard error of the `p` quantile.

    Half the distance between the order statistics that bound the middle 68% of the beta
    distribution of the quantile's rank (Vehtari et al. 2021, section 4.4).
    """
    return _mcse_quantile(np.sort(draws, axis=None), p, ess_quantile(draws, p))


def _mcse_quantile(ordered: Array, p: float, size: float) -> float:
    low, high = special.betaincinv(size * p + 1, size * (1 - p) + 1, np.array(ONE_SIGMA))
    n = len(ordered)
    first = int(np.floor(max(low * n - 1, 0)))
    last = int(np.ceil(min(high * n - 1, n - 1)))
    return float((ordered[last] - ordered[first]) / 2.0)


def bfmi(energy: Array) -> Array:
    """Return the energy Bayesian fraction of missing information of each chain (Betancourt 2016)."""
    fraction: Array = np.square(np.diff(energy, axis=1)).mean(axis=1) / np.var(energy, axis=1, ddof=1)
    return fraction
