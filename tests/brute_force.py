"""Likelihoods of 2x2 tables as plain sums over the baseline, which share no code with the engines."""

import math

import numpy as np
from scipy import special, stats


def binomial(events, n, log_p, log_q):
    """Return the binomial probability from the logs of the risk and of its complement."""
    choose = special.gammaln(n + 1) - special.gammaln(events + 1) - special.gammaln(n - events + 1)
    return np.exp(choose + events * log_p + (n - events) * log_q)


def restricted_arms(theta, table, risks, baseline=(0, 10)):
    """Sum both binomials over the possible risks, with a normal prior of the mean of the arms' log odds.

    ``risks(t, x)`` are the control and the treatment risk, their complements and their slopes in x.
    """
    a, n1, c, n0 = table
    x = np.arange(-140.0, 140.0, 0.05)
    out = []
    for t in theta:
        (p0, q0, slope0), (p1, q1, slope1) = risks(t, x)
        mean = 0.5 * (np.log(p0) - np.log(q0) + np.log(p1) - np.log(q1))
        volume = 0.5 * (slope0 / (p0 * q0) + slope1 / (p1 * q1)) * 0.05
        both = binomial(c, n0, np.log(p0), np.log(q0)) * binomial(a, n1, np.log(p1), np.log(q1))
        out.append(both @ (stats.norm.pdf(mean, *baseline) * volume))
    return np.array(out)


def ratio_risks(t, x):
    """Return both arms' risks with log ratio t; x are the log odds of the larger one."""
    p, q = special.expit(x), special.expit(-x)
    small = math.exp(-abs(t))
    # 1 - small p, without cancellation where both are near 1.
    other = (small * p, q + p * -math.expm1(-abs(t)), small * p * q)
    return (other, (p, q, p * q)) if t > 0 else ((p, q, p * q), other)
