"""Probabilities of orthants of two and three correlated normals."""

import numpy as np
import pytest
from scipy import integrate, stats

from bayesmeta.marginals.orthants import three_below, two_below


def conditional(b, R):
    """Return the probability by adaptive quadrature over the first one, the rest given it, down to one."""
    if len(b) == 1:
        return stats.norm.cdf(b[0])
    C = R[1:, 1:] - np.outer(R[1:, 0], R[1:, 0])
    s = np.sqrt(np.diagonal(C))

    def inner(x):
        return stats.norm.pdf(x) * conditional((b[1:] - R[1:, 0] * x) / s, C / np.outer(s, s))

    return integrate.quad(inner, -8.5, b[0], epsabs=1e-10, epsrel=1e-9, limit=60)[0]


@pytest.mark.parametrize("seed", range(3))
def test_orthants_are_integrals(seed):
    """Random limits and correlations, by integrals of integrals."""
    rng = np.random.default_rng(seed)
    A, b = rng.normal(size=(3, 4)), rng.normal(size=3)
    S = A @ A.T
    R = S / np.sqrt(np.outer(np.diagonal(S), np.diagonal(S)))
    assert two_below(b[:1], b[1:2], R[0, 1:2])[0] == pytest.approx(conditional(b[:2], R[:2, :2]), abs=1e-9)
    assert three_below(b[None], R[None])[0] == pytest.approx(conditional(b, R), abs=1e-8)


@pytest.mark.parametrize("rho", [-0.999999, -0.95, 0.0, 0.3, 0.9999])
def test_centred_orthants_have_closed_forms(rho):
    """1/4 + asin(rho) / 2 pi for two, 1/8 + the sum of three arcsines / 4 pi for three, whatever the correlation."""
    zero = np.zeros(1)
    assert two_below(zero, zero, np.array([rho]))[0] == pytest.approx(0.25 + np.arcsin(rho) / (2 * np.pi), abs=1e-13)
    R = np.array([[[1.0, rho, 0.0], [rho, 1.0, 0.0], [0.0, 0.0, 1.0]]])
    assert three_below(np.zeros((1, 3)), R)[0] == pytest.approx(0.125 + np.arcsin(rho) / (4 * np.pi), abs=1e-13)
    high = max(rho, 0.2)
    R = np.array([[[1.0, high, high], [high, 1.0, high], [high, high, 1.0]]])
    expected = 0.125 + 3 * np.arcsin(high) / (4 * np.pi)
    assert three_below(np.zeros((1, 3)), R)[0] == pytest.approx(expected, abs=1e-12)
