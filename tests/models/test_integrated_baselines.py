"""Risk differences with baselines integrated out in the program: table, slope, and baselines given the rest."""

import numpy as np
import pytest
from scipy import integrate, special, stats

import bayesmeta as bm
from bayesmeta.errors import ConvergenceError
from bayesmeta.likelihoods import tables as tabulated
from bayesmeta.model import load_model
from bayesmeta.studies import TwoByTwo

MODEL = load_model("binomial_normal_rd")
# Without events in one arm or both, with events in everybody, one patient an arm, and a great many.
TABLES = TwoByTwo(
    [0, 0, 5, 9, 1, 0, 0, 500_000], [20, 500, 5, 30, 1000, 1, 40, 1_000_000],
    [0, 3, 5, 4, 0, 1, 0, 500_300], [30, 500, 9, 20, 1000, 1, 35, 1_000_000],
)  # fmt: skip
NEAR_ZERO, NEAR_ONE = 10.0 ** np.arange(-12.0, 0.0), 1.0 - 10.0 ** np.arange(-9.0, -1.0)
THETA = np.concatenate([np.linspace(-0.95, 0.95, 41), NEAR_ZERO, -NEAR_ZERO, NEAR_ONE, -NEAR_ONE])


@pytest.fixture(scope="module")
def program():
    """Return the tabulated log likelihoods and their derivative, as functions of theta, and the slots."""
    import pymc as pm
    import pytensor
    import pytensor.tensor as pt

    theta = pt.vector("theta")
    with pm.Model(coords={"study": TABLES.study}) as model:
        MODEL.module._integrated(TABLES, MODEL.priors, theta)
    value = model["y"]
    function = pytensor.function([theta], [value, pt.grad(value.sum(), theta)], mode="FAST_COMPILE")
    return function, {v.name: v for v in function.get_shared()}


def _given(slots, baseline):
    priors = MODEL.with_priors({"baseline": baseline})
    for name, value in MODEL.tables(TABLES, priors).items():
        slots[name].set_value(value)
    return MODEL.study_likelihoods(TABLES, priors).loglik


@pytest.mark.parametrize(
    "baseline", ["normal(0, 10)", "normal(-1.5, 1)", "normal(3, 0.05)", "normal(0, 100)", "student_t(3, 0, 2.5)"]
)
def test_table_in_the_program_is_the_integral(program, baseline):
    """Wherever theta is, the table says what quadrature does, and its slope is finite."""
    function, slots = program
    expected = _given(slots, baseline)(np.tile(THETA, (TABLES.k, 1)))
    values, slopes = (np.array(a).T for a in zip(*(function(np.full(TABLES.k, t)) for t in THETA), strict=True))
    assert np.isfinite(slopes).all()
    near = expected > expected.max(axis=1, keepdims=True) - tabulated.FALL
    np.testing.assert_allclose(values[near], expected[near], rtol=0, atol=1e-5)
    # Farther down what is asked is that the sampler finds its way up.
    np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("theta", [-0.6, -0.05, 0.02, 0.3, 0.9])
def test_slope_is_that_of_the_integral(program, theta):
    """The derivative equals a difference of integrals."""
    function, slots = program
    h = 1e-5
    loglik = _given(slots, "normal(0, 10)")(np.tile([theta - h, theta + h], (TABLES.k, 1)))
    slope = function(np.full(TABLES.k, theta))[1]
    np.testing.assert_allclose(slope, (loglik[:, 1] - loglik[:, 0]) / (2 * h), rtol=1e-4, atol=1e-3)


def test_slope_at_no_effect(program):
    """At exactly 0 the slope is finite; where both arms have events it is that of the integral."""
    function, slots = program
    h = 1e-6
    loglik = _given(slots, "normal(0, 10)")(np.tile([-h, h], (TABLES.k, 1)))
    slope = function(np.zeros(TABLES.k))[1]
    assert np.isfinite(slope).all()
    both = [3, 7]
    np.testing.assert_allclose(slope[both], (loglik[both, 1] - loglik[both, 0]) / (2 * h), rtol=1e-3, atol=1e-3)


def test_cells_are_halved_until_polynomials_follow():
    """A narrow peak takes more cells, and a function that jumps is declined with the study's name."""
    reach, x = np.array([5.0]), np.linspace(-4.99, 4.99, 1001)

    def peak(x):
        return -np.log1p(((x - 1.0) / 0.03) ** 2)

    table = tabulated.tabulate(peak, reach, ("A",))
    assert table.shape[1] > 2 * tabulated.CELLS
    np.testing.assert_allclose(_at(table[0], 5.0, x), peak(x), rtol=0, atol=1e-5)
    with pytest.raises(ConvergenceError, match="Study 'A'"):
        tabulated.tabulate(lambda x: np.where(x > 0.777, 1.0, 0.0), reach, ("A",))


def test_studies_together_have_the_tables_they_have_alone():
    """One that takes many cells leaves those of others as they are, to the last digits."""
    data = TwoByTwo([0, 0, 3000], [1, 20, 10_000], [0, 3, 0], [1, 30, 10_000])
    together = MODEL.tables(data, MODEL.priors)
    for i, label in enumerate(data.study):
        alone = MODEL.tables(data.drop([other for other in data.study if other != label]), MODEL.priors)
        reach = np.arcsinh(np.arctanh(MODEL.module.LARGEST) / alone["unit"][0])
        x = np.linspace(-0.999, 0.999, 3001) * reach
        one, all_ = (_at(slots["log_likelihood"][row], reach, x) for slots, row in ((alone, 0), (together, i)))
        np.testing.assert_allclose(all_, one, rtol=1e-11, atol=1e-11)


def _at(table, reach, x):
    """Return what a study's table says, looked up by NumPy."""
    place = (x / reach + 1.0) * len(table) / 2
    cell = np.floor(place).astype(int)
    powers = (2.0 * (place - cell) - 1.0)[:, None] ** np.arange(table.shape[1])
    return (table[cell] * powers).sum(axis=1)


@pytest.mark.parametrize("data", [((3000, 10_000, 0, 10_000),), ((100, 100_000, 3, 10),), ((10, 100_000, 9, 10),)])
def test_table_is_right_far_below_its_peak(data):
    """Where other studies contradict this one by hundreds of log units the table is still right to a thousandth."""
    study = TwoByTwo(*zip(*data, strict=True))
    slots = MODEL.tables(study, MODEL.priors)
    reach = np.arcsinh(np.arctanh(MODEL.module.LARGEST) / slots["unit"][0])
    x = np.linspace(-0.999, 0.999, 2001) * reach
    theta = np.tanh(slots["unit"][0] * np.sinh(x))
    expected = MODEL.study_likelihoods(study, MODEL.priors).loglik(theta[None])[0]
    found, depth = _at(slots["log_likelihood"][0], reach, x), expected.max() - expected
    np.testing.assert_allclose(found[depth < 50], expected[depth < 50], rtol=0, atol=1e-5)
    np.testing.assert_allclose(found[depth < 500], expected[depth < 500], rtol=0, atol=1e-3)


def _conditional(data, i, prior, theta, grid):
    """Return the distribution function of a study's baseline given theta on a grid."""
    half = MODEL.module.half_log_odds_ratio(grid, np.full(grid.shape, theta))[0]
    log = prior.logpdf(grid)
    arms = (data.events_control, data.n_control, -1.0), (data.events_treatment, data.n_treatment, 1.0)
    for events, n, sign in arms:
        log = log + stats.binom.logpmf(events[i], n[i], special.expit(grid + sign * half))
    cdf = integrate.cumulative_trapezoid(np.exp(log - log.max()), grid, initial=0.0)
    return cdf / cdf[-1]


def _worst(data, prior, theta):
    """Return by how much the distribution functions at draws differ from the probabilities they were drawn from."""
    uniform = np.linspace(0.02, 0.98, 13)[None, :, None] * np.ones(data.k)
    priors = MODEL.with_priors({"baseline": prior})
    drawn = MODEL.baseline_given(data, priors, {"theta": np.full(uniform.shape, theta)}, uniform)
    middle = priors["baseline"].ppf(np.linspace(1e-6, 1 - 1e-6, 20_001))
    grid = np.unique(np.concatenate([np.linspace(-34.0, 34.0, 200_001), middle[np.abs(middle) < 34.0]]))
    cdf = [
        np.interp(drawn[0, :, i], grid, _conditional(data, i, priors["baseline"], theta, grid)) for i in range(data.k)
    ]
    return np.abs(np.array(cdf) - uniform[0].T).max()


@pytest.mark.parametrize("theta", [-0.02, 1e-5, 0.15])
def test_baselines_follow_their_conditional_distribution(theta):
    """Each baseline's distribution function at its draws is the probability that it was drawn from."""
    data = TABLES.drop([TABLES.study[i] for i in (2, 7)])
    assert _worst(data, "normal(0, 5)", theta) < 1e-3


@pytest.mark.parametrize(
    ("data", "prior"),
    [((43, 182, 28, 182), "student_t(10, -2.5, 0.014)"), ((5, 9, 5, 9), "student_t(30, -8, 0.1)")],
)
def test_baselines_have_the_peaks_of_their_prior_and_of_the_counts(data, prior):
    """A narrow prior with heavy tails far from what the counts say: neither peak is passed over."""
    assert _worst(TwoByTwo(*([value] for value in data)), prior, 0.03) < 3e-3


@pytest.mark.parametrize(
    ("prior", "integrated"),
    [
        ("normal(-2, 1.5)", True),
        ("student_t(3, 0, 2.5)", True),
        ("logistic(-1, 0.5)", True),
        ("uniform(-5, 5)", False),
        ("cauchy(0, 1)", False),
        ("0.5*normal(-1, 0.1) + 0.5*normal(1, 0.1)", False),
    ],
)
def test_baselines_are_sampled_where_they_cannot_be_integrated_out(prior, integrated):
    """A prior with edges, a mixture or a Cauchy leaves them in every program, and any prior in `baselines`."""
    priors = MODEL.with_priors({"baseline": prior})
    sampled = {
        name: "baseline" in [v.name for v in build(TABLES, priors).free_RVs]
        for name, build in {"default": MODEL.build, **MODEL.variants}.items()
    }
    assert sampled == {"default": not integrated, "centred": not integrated, "baselines": True}


@pytest.mark.nuts
def test_sparse_studies_are_sampled_without_divergences():
    """Arms with hardly any events: no divergences, and both programs' draws of everything agree."""
    data = TwoByTwo([0, 4, 1], [25, 40, 30], [1, 0, 0], [22, 41, 33])
    options = {"model": "binomial_normal_rd", "engine": "nuts", "seed": 3, "remedies": False, "draws": 2000}
    post = bm.fit(data, **options)
    assert post.diagnostics.ok
    assert post.diagnostics.figures["divergences"] == 0
    tree = post.to_datatree()
    assert tree.posterior["baseline"].shape == (4, 2000, 3)
    exact = bm.fit(data, model="binomial_normal_rd", engine="quadrature")
    for name in ("mu", "tau", "theta_new"):
        assert post[name].mean() == pytest.approx(exact[name].mean(), abs=0.08 * exact[name].sd())
    plain = bm.fit(data, variant="baselines", **options).to_datatree().posterior
    for name in ("baseline", "theta"):
        for i in range(data.k):
            ours, theirs = (np.sort(t[name].values[..., i].ravel()) for t in (tree.posterior, plain))
            assert stats.ks_2samp(ours[::4], theirs[::16]).statistic < 0.06
