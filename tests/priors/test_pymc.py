"""The PyMC form of every prior: its compiled log density is the formula's, and new numbers need no new program."""

import numpy as np
import pytest
from scipy import stats

from bayesmeta.errors import ModelError
from bayesmeta.priors import PRIORS, parse_prior

SEI = np.array([0.3, 0.5, 1.2, 0.1])
TEXTS = [family.example for name, family in PRIORS.items() if name != "point"] + [
    "uniform()",
    "tau2~inverse_gamma(1.5, 0.5)",
    "truncated(normal(0, 1), 0, inf)",
    "truncated(student_t(3, 0.35, 0.102), -1, 2)",
    "truncated(conventional(), 0, 2)",
    "0.5*half_normal(0.1) + 0.5*conventional()",
    "0.8*normal(-1, 0.2) + 0.2*normal(0, 2.82)",
]
POINTS = np.array([0.07, 0.35, 0.9])


@pytest.fixture(scope="module")
def compiled():
    """One program with the log densities of all priors at the points, before the change of variables."""
    import pymc as pm
    import pytensor

    priors = [parse_prior(text).resolve(SEI) for text in TEXTS]
    with pm.Model() as model:
        variables = [prior.rv(f"x{i}") for i, prior in enumerate(priors)]
    point = pytensor.tensor.dscalar("point")
    densities = [pm.logp(variable, point) for variable in variables]
    with pytensor.config.change_flags(mode="FAST_COMPILE", cxx=""):
        function = pytensor.function([point], densities, on_unused_input="ignore")
        initial = model.initial_point()
    return priors, model, initial, np.array([[float(v) for v in function(x)] for x in POINTS])


@pytest.mark.parametrize("index", range(len(TEXTS)), ids=TEXTS)
def test_compiled_density_is_the_formula(index, compiled):
    """PyMC's log density of a prior equals ours (PyMC's own constants are good to 1e-8)."""
    priors, _, _, values = compiled
    np.testing.assert_allclose(values[:, index], priors[index].logpdf(POINTS), rtol=1e-8, atol=1e-8)


def test_sampling_starts_inside_every_prior(compiled):
    """The starting point of every prior is finite on the unconstrained scale."""
    _, _, initial, _ = compiled
    assert all(np.isfinite(value).all() for value in initial.values())


def test_parameters_are_data(compiled):
    """The numbers of a prior are pm.Data under the names of its parameters, so that one program serves them all."""
    priors, model, _, _ = compiled
    for i, prior in enumerate(priors):
        for key, value in prior.parameters().items():
            np.testing.assert_array_equal(model[f"x{i}_prior_{key}"].get_value(), value)
        same = prior.with_parameters(prior.parameters())
        assert same.structure == prior.structure
        assert same == prior


def test_structure_names_the_form_not_the_numbers():
    """Two priors of one family share a structure; other families, bounds and parts do not."""
    structures = [parse_prior(t).structure for t in ("half_normal(1)", "half_normal(2)", "half_cauchy(1)")]
    assert structures[0] == structures[1] != structures[2]
    a, b, c = (parse_prior(f"truncated(normal(0, {s}), 0, {u})").structure for s, u in ((1, 2), (3, 2), (1, 4)))
    assert a == b != c


def test_point_is_a_constant():
    """A fixed value enters a PyMC model as data, not as a random variable."""
    import pymc as pm

    with pm.Model() as model:
        parse_prior("point(0.3)").rv("tau")
    assert not model.free_RVs
    assert float(model["tau"].eval()) == 0.3


@pytest.mark.parametrize("given", ["dumouchel()", "jeffreys()", stats.invgauss(1)])
def test_priors_without_a_program_say_so(given):
    """A prior that still waits for the standard errors, or has no PyMC form, says what to do."""
    import pymc as pm

    with pm.Model(), pytest.raises(ModelError, match=r"resolve|quadrature"):
        parse_prior(given).rv("tau")
