"""Parts of the truncated normal distribution that PyMC programs share with NumPy."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import special

from bayesmeta.likelihoods.cut_normal import scaled_erfc, symbolic_log_mass

X = np.concatenate([[0.0], np.geomspace(1e-8, 1e8, 2001)])


def test_scaled_erfc_is_that_of_scipy():
    """To 13 digits from 0 to far out in the tail, where erfc itself underflows."""
    np.testing.assert_allclose([scaled_erfc(x) for x in X], special.erfcx(X), rtol=1e-13, atol=0)


def test_slope_of_scaled_erfc_obeys_its_differential_equation():
    """In a graph the derivative is 2 x erfcx(x) - 2 / sqrt(pi)."""
    x = pt.scalar("x")
    slope = pytensor.function([x], pt.grad(scaled_erfc(x), x), mode="FAST_COMPILE")
    at = np.linspace(0.0, 8.0, 200)
    expected = 2.0 * at * special.erfcx(at) - 2.0 / np.sqrt(np.pi)
    np.testing.assert_allclose([slope(x) for x in at], expected, rtol=0, atol=1e-12)


def test_a_vector_is_refused():
    """Powers of a vector would be added up with those of one another."""
    with pytest.raises(ValueError, match="one mu and one tau"):
        symbolic_log_mass(pt.vector("mu"), pt.scalar("tau"))
