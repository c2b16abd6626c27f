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
    """Return ranks from 1, ties averaged; draws seldom tie, and ranks without ties cost half."""
    order = np.argsort(values)
    ordered = values[order]
    if (ordered[1:] == ordered[:-1]).any():
        from scipy.stats import rankdata

        return np.asarray(rankdata(values, method="average"))
    rank = np.empty(len(values))
    rank[order] = np.arange(1.0, len(values) + 1.0)
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


def _autocovariance(chains: Array) -> Array:
    n = chains.shape[1]
    size = fft.next_fast_len(2 * n, real=True)
    spectrum = fft.rfft(chains - chains.mean(axis=1, keepdims=True), n=size, axis=1)
    covariance: Array = fft.irfft(np.abs(spectrum) ** 2, n=size, axis=1)[:, :n] / n
    return covariance


def effective_size(chains: Array) -> float:
    """Return the effective sample size of the mean, by Geyer's initial monotone sequence.

    Parameters
    ----------
    chains
        ``(chains, draws)``, already split.

    References
    ----------
    Geyer (1992), Statistical Science 7:473-483; Vehtari et al. (2021), equation 13.
    """
    m, n = chains.shape
    # A constant chain (or one that is constant to rounding) has nothing left to learn.
    if np.ptp(chains) <= np.finfo(float).eps * max(1.0, float(np.abs(chains).max())):
        return float(m * n)
    covariance = _autocovariance(chains).mean(axis=0)
    within = covariance[0] * n / (n - 1.0)
    total = covariance[0] + (np.var(chains.mean(axis=1), ddof=1) if m > 1 else 0.0)
    rho = 1.0 - (within - covariance) / total
    rho[0] = 1.0
    pairs = rho[: n - n % 2].reshape(-1, 2)
    sums = pairs.sum(axis=1)
    negative = np.flatnonzero(sums <= 0.0)
    # Autocorrelations far out are noise: the sum stops at the first pair that is not positive.
    last = int(negative[0]) if len(negative) else len(sums) - 1
    monotone = np.minimum.accumulate(sums[:last])
    # The even half of the pair that ended the sequence still counts, where it is positive.
    tau = -1.0 + 2.0 * monotone.sum() + max(pairs[last, 0], 0.0)
    return float(m * n / max(tau, 1.0 / np.log10(m * n)))


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
    variance = square.mean()
    if variance == 0.0:
        return 0.0
    return float(np.sqrt((np.mean(square**2) - variance**2) / ess_mean(square) / variance) / 2.0)


def mcse_quantile(draws: Array, p: float) -> float:
    """Return the Monte Carlo standard error of the `p` quantile.

    Half the distance between the order statistics that bound the middle 68% of the beta
    distribution of the quantile's rank (Vehtari et al. 2021, section 4.4).
    """
    size = ess_quantile(draws, p)
    low, high = special.betaincinv(size * p + 1, size * (1 - p) + 1, np.array(ONE_SIGMA))
    ordered, n = np.sort(draws, axis=None), draws.size
    first = int(np.floor(max(low * n - 1, 0)))
    last = int(np.ceil(min(high * n - 1, n - 1)))
    return float((ordered[last] - ordered[first]) / 2.0)


def bfmi(energy: Array) -> Array:
    """Return the energy Bayesian fraction of missing information of each chain (Betancourt 2016)."""
    fraction: Array = np.square(np.diff(energy, axis=1)).mean(axis=1) / np.var(energy, axis=1, ddof=1)
    return fraction
