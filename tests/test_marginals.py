"""Marginals in scipy.stats words, against scipy's own distributions."""

import math

import numpy as np
import pytest
from scipy import stats

from bayesmeta.engines.axes import panels as nodes
from bayesmeta.errors import ConvergenceError, ModelError
from bayesmeta.marginals import Density, NormalMixture, Transformed, known
from bayesmeta.marginals.average import Average
from bayesmeta.marginals.sinc import tabulate

NORMAL = NormalMixture(np.ones(1), np.array([0.5]), np.array([2.0]))
LOPSIDED = NormalMixture(np.array([0.7, 0.3]), np.array([0.0, 2.5]), np.array([1.0, 0.5]), origin=1e6)


def density_of(frozen, scale):
    """Return a scipy distribution on (0, inf) as panels."""

    def logf(x):
        return frozen.logpdf(x), np.zeros((len(x), 0))

    low, high = frozen.support()
    rule = nodes.refine(logf, nodes.evaluate(logf, nodes.first_panels([(low, high)], np.array([scale]))))
    mass = rule.masses() / rule.masses().sum()
    p = rule.panels
    return Density(
        frozen.logpdf, rule.x.ravel(), mass.ravel(), p.lower, p.upper, p.left, p.right, mass.sum(axis=1), (low, high)
    )


FROZEN = {
    "gamma": stats.gamma(2.5, scale=0.3),
    "pole at zero": stats.gamma(0.2, scale=1.0),
    "half-normal": stats.halfnorm(scale=1e-3),
    "heavy": stats.halfcauchy(scale=2.0),
    "log-normal": stats.lognorm(0.01, scale=5.0),
    "bounded": stats.beta(2.0, 3.0),
}
PROBABILITIES = np.array([1e-12, 1e-6, 0.025, 0.3, 0.5, 0.8, 0.975, 1 - 1e-6])


@pytest.mark.parametrize("name", FROZEN)
def test_a_density_on_panels_is_the_distribution(name):
    """cdf, sf, quantiles and density agree with scipy's closed forms, in both tails relative to the tail."""
    frozen = FROZEN[name]
    d = density_of(frozen, float(frozen.ppf(0.5)))
    x = frozen.ppf(PROBABILITIES)
    assert np.allclose(d.cdf(x), frozen.cdf(x), rtol=1e-10, atol=0)
    assert np.allclose(d.sf(x), frozen.sf(x), rtol=1e-9, atol=0)
    assert np.allclose(d.ppf(frozen.cdf(x)), x, rtol=1e-9, atol=0)
    assert np.allclose(d.pdf(x), frozen.pdf(x), rtol=1e-12)
    far = frozen.isf(1e-14)
    assert d.sf(far) == pytest.approx(frozen.sf(far), rel=1e-8)
    assert d.isf(1e-14) == pytest.approx(far, rel=1e-8)


@pytest.mark.parametrize("name", ["gamma", "half-normal", "log-normal", "bounded"])
def test_moments_of_a_density_on_panels(name):
    """Mean and standard deviation agree with scipy's closed forms."""
    frozen = FROZEN[name]
    d = density_of(frozen, float(frozen.ppf(0.5)))
    assert d.mean() == pytest.approx(frozen.mean(), rel=1e-12)
    assert d.sd() == pytest.approx(frozen.std(), rel=1e-10)


@pytest.mark.parametrize(
    ("name", "mode"),
    [("gamma", 1.5 * 0.3), ("pole at zero", 0.0), ("half-normal", 0.0), ("heavy", 0.0), ("bounded", 1 / 3)],
)
def test_modes(name, mode):
    """Modes agree with their closed forms, at an end of the support too."""
    frozen = FROZEN[name]
    assert density_of(frozen, float(frozen.ppf(0.5))).mode() == pytest.approx(mode, abs=1e-9)


def test_shortest_interval_of_a_falling_density_starts_at_its_end():
    """The shortest 95% interval of a half-normal runs from 0 to its 95% quantile."""
    low, high = density_of(FROZEN["half-normal"], 1e-3).hdi(0.95)
    assert low == 0.0
    assert high == pytest.approx(FROZEN["half-normal"].ppf(0.95), rel=1e-10)


def test_shortest_interval_has_equal_densities_and_its_level():
    """Inside the support the density is equal at both ends of the shortest interval."""
    d = density_of(FROZEN["gamma"], 0.5)
    low, high = d.hdi(0.9)
    assert d.pdf(low) == pytest.approx(d.pdf(high), rel=1e-8)
    assert d.cdf(high) - d.cdf(low) == pytest.approx(0.9, abs=1e-12)


def test_one_normal_is_the_normal():
    """A mixture of one is scipy's normal, in the far tails relative to the tail."""
    frozen = stats.norm(0.5, 2.0)
    x = np.array([-70.0, -12.0, 0.5, 1.0, 20.0])
    assert np.allclose(NORMAL.cdf(x), frozen.cdf(x), rtol=1e-13)
    assert np.allclose(NORMAL.sf(x), frozen.sf(x), rtol=1e-13)
    q = np.array([1e-300, 1e-12, 0.2, 0.5, 0.9999])
    assert np.allclose(NORMAL.ppf(q), frozen.ppf(q), rtol=1e-13)
    assert NORMAL.isf(1e-200) == pytest.approx(frozen.isf(1e-200), rel=1e-13)
    assert NORMAL.mode() == pytest.approx(0.5, abs=1e-10)
    assert list(NORMAL.hdi(0.8)) == pytest.approx(list(frozen.interval(0.8)), abs=1e-8)


def test_quantiles_invert_the_cdf_far_from_zero():
    """Quantiles of a two-peaked mixture around a million invert its distribution function."""
    q = np.linspace(0.001, 0.999, 23)
    assert np.allclose(LOPSIDED.cdf(LOPSIDED.ppf(q)), q, rtol=0, atol=1e-9)
    assert LOPSIDED.mean() == pytest.approx(1e6 + 0.75, abs=1e-9)
    assert LOPSIDED.sd() == pytest.approx(math.sqrt(0.7 + 0.3 * 0.25 + 0.7 * 0.3 * 2.5**2), rel=1e-12)


def test_mode_of_two_peaks_is_the_higher():
    """Where a mixture has two peaks, its mode is the higher one."""
    slope = NormalMixture(np.array([0.3, 0.7]), np.array([-3.0, 3.0]), np.array([0.5, 0.5]))
    assert slope.mode() == pytest.approx(3.0, abs=1e-9)


@pytest.mark.parametrize("level", [0.3, 0.5, 0.7, 0.95])
def test_shortest_interval_of_three_peaks(level):
    """No other interval with the same probability is shorter, however many peaks there are."""
    peaks = NormalMixture(np.array([0.3, 0.45, 0.25]), np.array([0.0, 2.0, 5.0]), np.array([0.2, 0.1, 0.3]))
    low, high = peaks.hdi(level)
    assert peaks.cdf(high) - peaks.cdf(low) == pytest.approx(level, abs=1e-11)
    p = np.linspace(1e-6, 1 - level - 1e-6, 4001)
    assert high - low <= np.min(peaks.ppf(p + level) - peaks.ppf(p)) + 1e-12


def test_shortest_interval_of_a_flat_density():
    """Under a uniform density every interval of a level is as short as any: one of them is given."""
    low, high = density_of(stats.uniform(0, 4), 1.0).hdi(0.95)
    assert high - low == pytest.approx(3.8, abs=1e-9)


def test_a_heavy_tailed_mixture_of_scales():
    """Normals with inverse-gamma scales make a Student-t: quantiles agree over sixteen orders of magnitude."""
    u = np.arange(-120.0, 60.0, 0.05)
    g = np.exp(u)
    weights = stats.gamma(0.5, scale=2.0).pdf(g) * g * 0.05
    cauchy = NormalMixture(weights / weights.sum(), np.zeros(len(u)), g**-0.5)
    for q in (1e-8, 0.01, 0.3, 0.5, 0.9):
        assert cauchy.ppf(q) == pytest.approx(stats.cauchy.ppf(q), rel=1e-9, abs=1e-9)


def test_a_transformed_density():
    """The square of a half-normal is a scaled chi-square."""
    base = density_of(FROZEN["half-normal"], 1e-3)
    square = Transformed(base, np.square, np.sqrt, lambda x: -math.log(2.0) - 0.5 * np.log(x))
    frozen = stats.chi2(1, scale=1e-6)
    x = frozen.ppf([0.01, 0.5, 0.99])
    assert np.allclose(square.cdf(x), [0.01, 0.5, 0.99], atol=1e-12)
    assert np.allclose(square.pdf(x), frozen.pdf(x), rtol=1e-10)
    assert square.mean() == pytest.approx(frozen.mean(), rel=1e-10)
    assert square.sd() == pytest.approx(frozen.std(), rel=1e-9)
    assert square.mode() == 0.0


def test_an_average_with_an_atom():
    """A share of exactly 0 shows in the distribution function, the quantiles and the mean."""
    base = density_of(FROZEN["gamma"], 0.5)
    average = Average(np.array([0.6, 0.4]), [base, known(0.0)])
    assert average.cdf(0.0) == pytest.approx(0.4)
    assert average.sf(0.0) == pytest.approx(0.6)
    assert average.ppf(0.3) == 0.0
    assert average.ppf(0.7) == pytest.approx(FROZEN["gamma"].ppf(0.5), rel=1e-10)
    assert average.mean() == pytest.approx(0.6 * FROZEN["gamma"].mean(), rel=1e-10)


@pytest.mark.parametrize("values", [(0.0, 0.4), (0.4, 0.9), (5.0, 0.001)])
def test_quantiles_of_an_average_with_atoms_are_where_its_distribution_function_gets_there(values):
    """The smallest x with P(X <= x) at least q, on either side of atoms, at them and where they end."""
    base = density_of(FROZEN["gamma"], 0.5)
    average = Average(np.array([0.5, 0.3, 0.2]), [base, *map(known, values)])
    q = np.concatenate([np.linspace(0.0005, 0.9995, 1000), [1e-12, 1 - 1e-12]])
    x = average.ppf(q)
    steps = dict(zip(values, (0.3, 0.2), strict=True))

    def by_hand(at):
        return 0.5 * FROZEN["gamma"].cdf(at) + sum(share * (at >= value) for value, share in steps.items())

    assert np.all(by_hand(x + 1e-9) >= q - 1e-12)
    assert np.all(by_hand(x - 1e-9) <= q + 1e-12)
    assert np.all(np.diff(x[:1000]) >= 0)
    assert np.isin(x, values).mean() == pytest.approx(0.5, abs=0.005)


@pytest.mark.parametrize("q", [-0.1, 1.1, math.nan])
def test_quantiles_need_probabilities(q):
    """Quantiles outside [0, 1] are refused."""
    with pytest.raises(ModelError, match="probabilities from 0 to 1"):
        NORMAL.ppf(q)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_intervals_need_a_level(level):
    """A level of 95 is refused, with the word to use."""
    with pytest.raises(ModelError, match=r"e\.g\. 0\.95"):
        NORMAL.eti(level)


def test_scalars_give_floats_and_arrays_their_shape():
    """A scalar gives a float, an array an array of its shape."""
    assert isinstance(NORMAL.cdf(0.1), float)
    assert NORMAL.ppf(np.full((2, 3), 0.5)).shape == (2, 3)
    assert NORMAL.cdf([]).shape == (0,)
    assert density_of(FROZEN["gamma"], 0.5).sf([]).shape == (0,)


@pytest.mark.parametrize(
    ("density", "why"),
    [
        (lambda x: np.where(np.abs(x) < 1.0, 1.0, 0.0), r"it was not resolved with \d+ nodes between -.* and "),
        (lambda x: 1.0 / (1.0 + np.abs(x)), "it does not die away"),
    ],
    ids=["jump", "improper"],
)
def test_a_density_that_cannot_be_tabulated_is_named(density, why):
    """The error of a density with a jump, or of infinite mass, says what it is the density of."""
    with pytest.raises(ConvergenceError, match=f"the true effect of 'North': {why}"):
        tabulate(density, 0.0, 1.0, about="the true effect of 'North'")


@pytest.mark.parametrize(("place", "width", "share"), [(0.3, 0.003, 0.3), (-1.0, 1e-3, 0.9)])
def test_a_narrow_peak_beside_the_middle_is_tabulated(place, width, share):
    """A mixture of a wide normal and a narrow one far from its middle has both components' probabilities."""

    def mixed(word, x):
        return share * getattr(stats.norm(place, width), word)(x) + (1 - share) * getattr(stats.norm(0, 1), word)(x)

    found = tabulate(lambda x: mixed("pdf", x), 0.0, 0.5)
    x = np.concatenate([place + width * np.array([-6.0, -1.0, 0.0, 0.7, 3.0]), [-8.0, -2.0, 0.1, 2.0, 7.0]])
    np.testing.assert_allclose(found.cdf(x), mixed("cdf", x), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.pdf(x), mixed("pdf", x), rtol=1e-9, atol=1e-9 * mixed("pdf", x).max())
    assert found.mean() == pytest.approx(share * place, abs=1e-10)


def test_a_peak_a_million_times_narrower_than_its_foot_is_tabulated():
    """Normals about one place with SDs of 1e-6 to 1, as one precise study makes of mu, have each one's probability."""
    sds, x = 10.0 ** np.arange(-6.0, 1.0), 0.3 + np.concatenate([[0.0], 10.0 ** np.arange(-7.0, 1.0)])

    def mixed(word, x):
        return np.mean([getattr(stats.norm(0.3, sd), word)(x) for sd in sds], axis=0)

    found = tabulate(lambda x: mixed("pdf", x), 0.2, 0.2)
    np.testing.assert_allclose(found.cdf(x), mixed("cdf", x), rtol=0.0, atol=1e-9)
    assert found.sd() == pytest.approx(math.sqrt(np.mean(sds**2)), rel=1e-9)
