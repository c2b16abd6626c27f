"""p-uniform*, the Copas model and limit meta-analysis against their R packages, identities and brute force."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize, stats

import bayesmeta as bm
from bayesmeta import frequentist as fq
from bayesmeta.errors import DataError, ModelError

GOLDEN = Path(__file__).parents[1] / "golden" / "bias_classical.json"
DATA = json.loads(GOLDEN.read_text(encoding="utf-8"))["datasets"]
COPAS = [(name, i) for name in DATA for i in range(len(DATA[name]["copas"]["grid"]))]


def effects_of(name):
    return bm.EffectSizes(DATA[name]["yi"], np.sqrt(DATA[name]["vi"]))


def test_p_uniform_star_is_that_of_puniform():
    """Estimate, profile intervals of mu and tau2, and both tests, as the R package prints them."""
    golden = DATA["baskerville2012"]["puniform_star"]["ML"]
    found = fq.p_uniform_star(effects_of("baskerville2012"), side="greater")
    assert found.mu == pytest.approx(golden["est"], abs=1e-5)
    assert tuple(found.ci) == pytest.approx((golden["ci.lb"], golden["ci.ub"]), abs=1e-4)
    assert tuple(found.tau2_ci) == pytest.approx((golden["tau2.lb"], golden["tau2.ub"]), abs=2e-5)
    assert pytest.approx(golden["L.0"], abs=1e-5) == found.LRT
    assert found.p_value == pytest.approx(golden["pval.0"], rel=1e-5)
    assert found.tau2_p == pytest.approx(golden["pval.het"], abs=2e-4)
    assert found.significant == golden["ksig"]


def test_p_uniform_star_turns_with_its_data():
    """Effects of the other sign and the other side give the same figures with the sign changed."""
    effects = effects_of("baskerville2012")
    up = fq.p_uniform_star(effects, side="greater")
    down = fq.p_uniform_star(replace(effects, yi=-effects.yi), side="less")
    assert (down.mu, down.ci.low, down.ci.high) == pytest.approx((-up.mu, -up.ci.high, -up.ci.low), abs=1e-9)


def test_p_uniform_star_needs_three_significant_results():
    """With two significant results the estimate can lie anywhere; the message says what bounds it."""
    with pytest.raises(DataError, match=r"there are 2 of 9.*publication_ratio"):
        fq.p_uniform_star(effects_of("hahn2001"), side="less")


@pytest.mark.parametrize(("name", "i"), COPAS)
def test_the_copas_maximum_is_that_of_metasens(name, i):
    """The likelihood is at least its maximum; estimates agree where correlation and tau are not at their bounds."""
    golden, effects = DATA[name]["copas"]["grid"][i], effects_of(name)
    gamma0, gamma1 = golden["gamma0"], golden["gamma1"]
    path = fq.copas(effects, direction=DATA[name]["alternative"]) if i == 0 else _path(name)
    found = path.at(gamma0, gamma1)
    # metasens leaves out log Phi(u), which does not depend on the estimates.
    constant = stats.norm.logcdf(gamma0 + gamma1 / effects.sei).sum()
    assert found.loglik + constant >= -golden["negloglik_up_to_constant"] - 1e-6
    assert found.published_smallest == pytest.approx(golden["publication_prob_largest_se"], abs=1e-10)
    assert abs(found.mu) == pytest.approx(golden["mu"], abs=2e-4)
    if golden["se_mu"] is not None:
        assert found.se == pytest.approx(golden["se_mu"], rel=2e-3)


def _path(name):
    if name not in _PATHS:
        _PATHS[name] = fq.copas(effects_of(name), direction=DATA[name]["alternative"])
    return _PATHS[name]


_PATHS = {}


def test_with_every_study_published_copas_is_maximum_likelihood():
    """At gamma0 = 8 nothing is selected: mu and tau are those of pooling by ML."""
    effects = effects_of("baskerville2012")
    plain = fq.pool(effects, method="ML")
    found = _path("baskerville2012").at(8.0, 0.0)
    assert (found.mu, found.tau) == pytest.approx((plain.mu, plain.tau), abs=2e-5)


def test_copas_names_the_least_selection_that_explains_the_asymmetry():
    """`accepted` is the first of the path with p above 0.10; Baskerville's asymmetry is not explained by any."""
    assert _path("baskerville2012").accepted is None
    hahn = _path("hahn2001")
    assert hahn.accepted is hahn.path[0]
    shares = [e.published_smallest for e in hahn.path]
    assert shares == pytest.approx([0.99, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3])
    assert hahn.contour(np.array([1.0, 2.0]), np.array([0.0])).shape == (2, 1)


def test_without_heterogeneity_the_limit_estimate_is_pets():
    """At tau2 = 0 the radial line is the regression on the standard error with known variances (metafor)."""
    golden = DATA["hahn2001"]["PET rma EE z"]
    found = fq.limit_meta(effects_of("hahn2001"))
    assert found.tau2 == 0.0
    assert found.mu == pytest.approx(golden["intercept"], abs=1e-10)
    assert found.se == pytest.approx(golden["se"], abs=1e-10)
    assert found.G2 is None


def test_the_limit_estimate_is_the_fit_of_its_model():
    """Minimising the weighted squares directly gives alpha and beta; Q splits as Egger's regression says."""
    effects = bm.effect_sizes(bm.read_studies(bm.load_dataset("bcg_vaccine")), "RR")
    found = fq.limit_meta(effects)
    root = np.sqrt(effects.vi + found.tau2)
    residuals = lambda x: (effects.yi - x[1] - x[0] * root) / root  # noqa: E731
    best = optimize.least_squares(residuals, [0.0, 0.0], xtol=1e-15, gtol=1e-15, ftol=1e-15)
    assert (found.alpha, found.beta) == pytest.approx(tuple(best.x), abs=1e-7)
    assert found.mu == pytest.approx(best.x[1] + found.tau2**0.5 * best.x[0], abs=1e-7)
    covariance = np.linalg.inv(best.jac.T @ best.jac)
    c = np.array([found.tau2**0.5, 1.0])
    assert found.se == pytest.approx(np.sqrt(c @ covariance @ c), abs=1e-7)
    egger = fq.pet_peese(effects).pet.line
    scatter = np.sum((effects.yi - egger.intercept - egger.slope * effects.sei) ** 2 / effects.vi)
    assert found.Q_residual == pytest.approx(scatter, rel=1e-9)
    assert pytest.approx(fq.pool(effects).Q, rel=1e-9) == found.Q
    assert 0.0 <= found.G2 <= 1.0


def test_directions_are_asked_for():
    """Copas and p-uniform* have no default direction and refuse unknown ones; equal sizes are refused."""
    effects = effects_of("hahn2001")
    with pytest.raises(ModelError, match="direction"):
        fq.copas(effects, direction="up")
    with pytest.raises(ModelError, match="side"):
        fq.p_uniform_star(effects, side="both")
    equal = bm.EffectSizes(yi=[0.1, 0.4, 0.2], sei=[0.2, 0.2, 0.2])
    with pytest.raises(DataError, match="same standard error"):
        fq.copas(equal, direction="greater")
    with pytest.raises(DataError, match="same standard error"):
        fq.limit_meta(equal)
