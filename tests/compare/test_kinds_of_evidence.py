"""Evidence of different kinds: limits that are identities, and brute force for what lies between."""

import dataclasses
import math

import numpy as np
import pytest
from scipy.special import logsumexp, ndtr
from scipy.stats import multivariate_normal, norm

import bayesmeta as bm
from bayesmeta.compare.kinds_of_evidence import FACE_VALUE
from bayesmeta.errors import DataError, ModelError
from bayesmeta.resources import data_dir

PRIORS = {"mu": "normal(0, 2.82)", "tau": "half_normal(0.5)"}
LATER = "Luo 2021 ANGEL-ACT"


@pytest.fixture(scope="module")
def effects():
    """The stenting review's studies and the later cohorts, mortality, each file a design."""
    first, later = (
        bm.effect_sizes(bm.read_studies(data_dir() / f"{name}.csv", outcome="mortality"), "OR")
        for name in ("rescue_stenting", "rescue_stenting_later_cohorts")
    )
    return bm.EffectSizes(
        [*first.yi, *later.yi],
        [*first.sei, *later.sei],
        study=[*first.study, *later.study],
        cluster=["review"] * first.k + ["later"] * later.k,
        measure="OR",
    )


@pytest.fixture(scope="module")
def plain(effects):
    return dataclasses.replace(effects, cluster=effects.study)


def figures(post):
    """Figures of mu, tau and a new study that tell two posteriors apart."""
    return [
        f(m) for m in (post.mu, post.tau, post.theta_new) for f in (lambda m: m.mean(), lambda m: float(m.ppf(0.1)))
    ]


def test_nothing_changed_is_the_plain_model(effects, plain):
    """No bias, full trust, one design: every figure of the plain model to 1e-12."""
    expected = figures(bm.fit(plain, priors=PRIORS))
    same = [
        bm.fit(bm.allow_for_bias(plain), priors=PRIORS),
        bm.fit(bm.allow_for_bias(plain, mean={LATER: 0.0}, sd=np.zeros(plain.n)), priors=PRIORS),
        bm.fit(bm.discount(plain, 1.0), priors=PRIORS),
        bm.fit(dataclasses.replace(effects, cluster=("one",) * effects.n), "design_groups", priors=PRIORS),
    ]
    for post in same:
        assert figures(post) == pytest.approx(expected, abs=1e-12, rel=1e-12)


def test_nothing_trusted_is_leaving_the_study_out(plain):
    """An infinite SD of the bias, a power of 0: the study is left out, by name, and everything is as without it."""
    expected = figures(bm.fit(plain.drop([LATER]), priors=PRIORS))
    for changed in (bm.allow_for_bias(plain, sd={LATER: math.inf}), bm.discount(plain, {LATER: 0.0})):
        assert [e.study for e in changed.excluded] == [LATER]
        assert figures(bm.fit(changed, priors=PRIORS)) == pytest.approx(expected, abs=1e-12, rel=1e-12)
    for changed in (bm.allow_for_bias(plain, sd={LATER: 1e7}), bm.discount(plain, {LATER: 1e-14})):
        assert figures(bm.fit(changed, priors=PRIORS)) == pytest.approx(expected, abs=1e-6)


def test_an_allowance_is_the_model_with_the_bias_in_it(plain):
    """The estimates with normal biases of their own, integrated out over a grid of mu and tau by hand."""
    mean, sd = {LATER: -0.3}, {LATER: 0.4, plain.study[0]: 0.2}
    post = bm.fit(bm.allow_for_bias(plain, mean=mean, sd=sd), priors=PRIORS)
    a = np.array([mean.get(s, 0.0) for s in plain.study])
    b = np.array([sd.get(s, 0.0) for s in plain.study])
    mu, tau = np.linspace(-3.5, 2.0, 301), np.linspace(0.0, 3.0, 301)
    log = norm.logpdf(mu, 0, 2.82)[:, None] + norm.logpdf(tau, 0, 0.5)
    # y = theta + bias + error: three independent parts.
    for y, s, ai, bi in zip(plain.yi, plain.sei, a, b, strict=True):
        log += norm.logpdf(y, mu[:, None] + ai, np.sqrt(s**2 + bi**2 + tau**2))
    weight = np.exp(log - logsumexp(log))
    weight[:, [0, -1]] *= 0.5
    weight /= weight.sum()
    assert post.mu.mean() == pytest.approx(float(weight.sum(axis=1) @ mu), abs=1e-5)
    assert post.tau.mean() == pytest.approx(float(weight.sum(axis=0) @ tau), abs=1e-4)


def test_a_power_is_the_likelihood_to_that_power(plain):
    """log N(y; theta, s^2) times the power differs from the log likelihood of the wider estimate by a constant."""
    changed = bm.discount(plain, {LATER: 0.3})
    i, theta = plain.study.index(LATER), np.linspace(-3, 2, 11)
    powered = 0.3 * norm.logpdf(plain.yi[i], theta, plain.sei[i])
    wide = norm.logpdf(changed.yi[i], theta, changed.sei[i])
    assert np.ptp(powered - wide) < 1e-12
    assert np.array_equal(np.delete(changed.sei, i), np.delete(plain.sei, i))


def test_correlated_estimates_keep_their_correlation():
    """With V: allowances add to its diagonal, powers scale rows and columns."""
    data = bm.EffectSizes([0.1, 0.5, 0.2], [0.2, 0.3, 0.2], study=["a", "a", "b"], sampling_correlation=0.5)
    allowed = bm.allow_for_bias(data, sd={"a": 0.3})
    assert pytest.approx(data.V + np.diag([0.09, 0.09, 0.0])) == allowed.V
    powered = bm.discount(data, {"a": 0.25})
    assert powered.V[0, 1] == pytest.approx(4 * data.V[0, 1])
    assert powered.sei == pytest.approx([0.4, 0.6, 0.2])


def test_designs_with_means_of_their_own_by_brute_force(effects):
    """P(benefit) and mean of one design's mean, by summing over a grid of mu, tau and omega with its exact normal."""
    post = bm.fit(effects, "design_groups", priors={**PRIORS, "omega": "half_normal(0.3)"})
    one = np.array([c == "later" for c in effects.cluster], dtype=float)
    Z = np.column_stack([one, 1 - one])
    total, mean, p = 0.0, 0.0, 0.0
    grid = (np.arange(24) + 0.5) / 24
    # Midpoints in probability of the priors: the weights are then the likelihoods alone.
    taus, omegas = 0.5 * norm.ppf(0.5 + grid / 2), 0.3 * norm.ppf(0.5 + grid / 2)
    for tau in taus:
        for omega in omegas:
            # mu integrated out as a normal: the rows share its prior variance.
            V = np.diag(effects.vi + tau**2) + omega**2 * Z @ Z.T + 2.82**2
            like = math.exp(multivariate_normal.logpdf(effects.yi, np.zeros(effects.n), V))
            g = omega**2 * one + 2.82**2
            m = g @ np.linalg.solve(V, effects.yi)
            v = omega**2 + 2.82**2 - g @ np.linalg.solve(V, g)
            total, mean, p = total + like, mean + like * m, p + like * ndtr(-m / math.sqrt(v))
    found = post.effects["later"]
    assert found.mean() == pytest.approx(mean / total, abs=2e-3)
    assert float(found.cdf(0.0)) == pytest.approx(p / total, abs=2e-3)
    assert set(post.effects) == {"review", "later"}
    assert post["theta_new[later]"].sd() > found.sd()


def test_designs_that_cannot_differ_are_one(effects, plain):
    """With omega fixed at next to 0 every design has the mean of the plain model."""
    post = bm.fit(effects, "design_groups", priors={**PRIORS, "omega": "half_normal(1e-6)"})
    pooled = bm.fit(plain, priors=PRIORS)
    for marginal in (post.mu, *post.effects.values()):
        assert marginal.mean() == pytest.approx(pooled.mu.mean(), abs=1e-5)


@pytest.fixture(scope="module")
def found(effects):
    return bm.kinds_of_evidence(
        effects, main="review", bias_mean=-0.2, bias_sd=0.5, trust=0.5, priors=PRIORS, benefit="lower"
    )


def test_side_by_side(effects, plain, found):
    """Each row is the fit that it names; all evidence at face value stands first."""
    later = [s for s, c in zip(effects.study, effects.cluster, strict=True) if c == "later"]
    expected = {
        FACE_VALUE: plain,
        "review alone": plain.drop(later),
        "others with an allowance for bias": bm.allow_for_bias(
            plain, mean=dict.fromkeys(later, -0.2), sd=dict.fromkeys(later, 0.5)
        ),
        "others discounted": bm.discount(plain, dict.fromkeys(later, 0.5)),
    }
    assert found.rows[0].way == FACE_VALUE
    for way, data in expected.items():
        post = bm.fit(data, priors=PRIORS)
        assert found[way].mu.mean() == pytest.approx(post.mu.mean(), abs=1e-12)
        assert found[way].p_benefit == pytest.approx(float(post.mu.cdf(0.0)), abs=1e-12)
    wide = [float(np.diff(found[way].mu.eti(0.95)[:2])[0]) for way in (FACE_VALUE, "others discounted", "review alone")]
    assert wide == sorted(wide)
    assert str(found) == repr(found)
    assert len(found.to_frame()) == len(found.rows) == 7
    assert max(map(len, str(found).splitlines())) <= 120


def test_a_robust_prior_lies_between_alone_and_together(effects, plain, found):
    """Nearly sure that the others apply it is their MAP prior, nearly sure that they do not it is the review alone."""
    way = "review, robust MAP prior from the others"
    alone, ways = found["review alone"].mu.sd(), bm.kinds_of_evidence
    far = ways(effects, main="review", not_applicable=1 - 1e-6, priors=PRIORS)[way].mu.sd()
    near = ways(effects, main="review", not_applicable=1e-6, priors=PRIORS)[way].mu.sd()
    assert far == pytest.approx(alone, abs=1e-4)
    assert near < found[way].mu.sd() < alone


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda e: bm.discount(e, 1.2), "from 0 \\(left out\\) to 1"),
        (lambda e: bm.discount(e, -0.1), "from 0"),
        (lambda e: bm.discount(e, 0.0), "Trust at least one"),
        (lambda e: bm.discount(e, {"Lou 2021": 0.5}), "Luo 2021"),
        (lambda e: bm.allow_for_bias(e, sd=-1.0), "0 or more"),
        (lambda e: bm.allow_for_bias(e, sd=math.nan), "0 or more"),
        (lambda e: bm.allow_for_bias(e, mean=math.inf), "finite"),
        (lambda e: bm.allow_for_bias(e, mean=[0.1, 0.2]), "one for each"),
        (lambda e: bm.allow_for_bias(e, mean="much"), "no number"),
        (lambda e: bm.fit(e, "design_groups"), "cluster="),
        (lambda e: bm.kinds_of_evidence(e, main="randomised"), "Unknown design"),
        (lambda e: bm.kinds_of_evidence(e, main="a", design=["a"] * e.n), "nothing to set beside"),
        (lambda e: bm.kinds_of_evidence(e, main="a", design=["a"]), "one for each"),
        (lambda e: bm.kinds_of_evidence(e, main=e.study[0], not_applicable=0.0), "between 0 and 1"),
    ],
)
def test_impossible_requests_say_what_to_write(plain, call, said):
    """Each error names the rule and what to give."""
    with pytest.raises((DataError, ModelError), match=said):
        call(plain)
