"""Averages over t distributed random effects by convolution, and which grids resolve them, against exact integrals."""

import numpy as np
import pytest
from scipy import integrate, stats

from bayesmeta.engines.counts.grid.search import STEP
from bayesmeta.engines.counts.random_effect_density import Kernel
from bayesmeta.engines.counts.true_effects_tables import HALF, convolved, lagrange


def test_weights_are_those_of_the_polynomial_through_the_points():
    """They give back every polynomial of that many points, between the two in the middle."""
    t, points = np.array([0.0, 0.2, 0.77, 1.0]), np.arange(1.0 - HALF, HALF + 1.0)
    for power in range(2 * HALF):
        scaled = points / HALF
        np.testing.assert_allclose(lagrange(t) @ scaled**power, (t / HALF) ** power, rtol=0, atol=1e-13)


def test_a_convolution_is_the_average_of_shifted_functions():
    """Rows of Gaussians, each with its own unit, averaged over shifts on and off the grid."""
    step = 0.1
    x, centers = step * np.arange(-150, 151), np.array([[0.0], [1.3]])
    unit, z = np.array([4.0, 17.3]), np.array([-2.71, -0.9, 0.0, 0.9, 2.71])
    w = np.array([0.05, 0.2, 0.5, 0.2, 0.05])
    found = convolved(stats.norm.pdf(x, centers), unit, z, w)
    for row in range(2):
        expected = stats.norm.pdf(x[:, None] + step * unit[row] * z, centers[row]) @ w
        np.testing.assert_allclose(found[row], expected, rtol=0, atol=1e-12)


def test_an_average_is_right_where_the_row_is_next_to_nothing():
    """Far out it is as accurate beside the values around it as beside the peak."""
    x = 0.1 * np.arange(-120, 121)
    found = convolved(stats.norm.pdf(x)[None], np.array([3.3]), np.array([-1.0, 0.0, 1.0]), np.array([0.3, 0.4, 0.3]))
    expected = stats.norm.pdf(x[:, None] + 0.33 * np.array([-1.0, 0.0, 1.0])) @ [0.3, 0.4, 0.3]
    inner = np.abs(x) < 8.0
    np.testing.assert_allclose(found[0, inner], expected[inner], rtol=1e-8)


@pytest.mark.parametrize("df", [1.0, 1.7, 4.0, 12.0, 30.0, 300.0, np.inf])
def test_a_grid_as_fine_as_is_asked_resolves_the_random_effect(df):
    """A sum over the grid of mu equals the integral, where tau is the least for which the grid is summed over."""
    kernel = Kernel(df)
    tau = kernel.wide(STEP)
    law = stats.t(df) if np.isfinite(df) else stats.norm()
    mu = STEP * np.arange(-200, 201)
    for x in (0.0, 0.37 * STEP, 0.5 * STEP, 1.3, 4.0):
        found = STEP * (stats.norm.pdf(mu) @ kernel.density((x - mu) / tau)) / tau
        exact = integrate.quad(
            lambda m, x=x: stats.norm.pdf(m) * law.pdf((x - m) / tau) / tau,
            *(-12.0, 16.0),
            points=[x - tau, x, x + tau],
            limit=400,
            epsabs=1e-15,
            epsrel=1e-13,
        )[0]
        assert found == pytest.approx(exact, abs=1e-11)
