"""Selection models by maximum likelihood, and the publication ratio."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, stats

import bayesmeta as bm
from bayesmeta import frequentist as fq
from bayesmeta.frequentist.selection_models.maximise import SelectedEffects

GOLDEN = Path(__file__).parents[1] / "golden" / "selection_metafor.json"
DATA = json.loads(GOLDEN.read_text(encoding="utf-8"))["datasets"]
SEVERE = {
    "steps": (0.005, 0.01, 0.05, 0.1, 0.25, 0.35, 0.5, 0.65, 0.75, 0.9, 0.95, 0.99, 0.995),
    "delta": (1, 0.99, 0.95, 0.8, 0.75, 0.65, 0.6, 0.55, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5),
}
SETTINGS = {
    "stepfun .025": {"steps": (0.025,)},
    "stepfun .025,.5": {"steps": (0.025, 0.5)},
    "stepfun .025,.05,.5": {"steps": (0.025, 0.05, 0.5)},
    "stepfun .025,.05,.5 decreasing": {"steps": (0.025, 0.05, 0.5), "decreasing": True},
    "stepfun .05 two.sided": {"steps": (0.05,), "side": "two-sided"},
    "stepfun .05,.1 two.sided": {"steps": (0.05, 0.1), "side": "two-sided"},
    "stepfun fixed delta Vevea-Woods severe one-sided": SEVERE,
    "beta steps=.025,.975": {"weight": "beta", "steps": (0.025, 0.975)},
    **{name: {"weight": name} for name in ("trunc", "halfnorm", "negexp", "logistic", "power", "beta")},
    **{name: {"weight": name} for name in ("halfnorm2", "negexp2", "logistic2", "power2")},
}
# Stopped at a bound or on a ridge in metafor: likelihood only.
LIKELIHOOD_ONLY = {"halfnorm2", "negexp2", "logistic2", "power2", "beta steps=.025,.975"}
# metafor's normaliser is integrated to 1e-4 only: its log likelihood at its own estimates is 2e-5 to 5e-5 too high, as
# adaptive quadrature shows (below for "power").
# There metafor's maximum is a lower one of two: sums over 18,000 points out to |z| = 300 give ours as -1.46518.
LOWER_MAXIMUM = ("baskerville2012", "beta")
INEXACT = {("baskerville2012", "power"), ("baskerville2012", "beta steps=.025,.975")}
CASES = [
    (data, block, name)
    for data in DATA
    for block in ("selmodel_ML", "selmodel_EE")
    for name in SETTINGS
    if DATA[data][block].get(name, {}).get("logLik") is not None
]


def effects_of(name):
    return bm.EffectSizes(DATA[name]["yi"], np.sqrt(DATA[name]["vi"]))


def test_there_are_cases():
    """The golden file covers every setting."""
    assert {name for _, _, name in CASES} == set(SETTINGS)


@pytest.fixture
def without_profiles(monkeypatch):
    """Leave the profile intervals out: they take most of the time, and have tests of their own."""
    monkeypatch.setattr(SelectedEffects, "profile_interval", lambda self, at, drop: (at.mu - drop, at.mu + drop))


@pytest.mark.usefixtures("without_profiles")
@pytest.mark.parametrize(("data", "block", "name"), CASES)
def test_the_maximum_is_metafors_or_higher(data, block, name):
    """Log likelihoods are at least metafor's minus 1e-6; estimates agree within 1e-3 where it converged."""
    golden = DATA[data][block][name]
    options = {"side": DATA[data]["alternative"], "common": block == "selmodel_EE", **SETTINGS[name]}
    fit = fq.selection(effects_of(data), **options)
    if (data, name) in INEXACT:
        assert fit.loglik == pytest.approx(golden["logLik"], abs=5e-5)
    else:
        assert fit.loglik >= golden["logLik"] - 1e-6
    if name not in LIKELIHOOD_ONLY and (data, name) != LOWER_MAXIMUM:
        assert fit.loglik == pytest.approx(golden["logLik"], abs=1e-3)
        assert fit.mu == pytest.approx(golden["b"], abs=1e-3)
        assert fit.tau2 == pytest.approx(golden["tau2"], abs=1e-3)
        assert fit.delta == pytest.approx(np.atleast_1d(golden["delta"])[: len(fit.delta)], rel=3e-3, abs=1e-3)
        assert abs(fit.LRT - golden["LRT"]) < 2e-3


@pytest.mark.usefixtures("without_profiles")
@pytest.mark.parametrize("weight", ["halfnorm", "negexp", "logistic", "power", "beta"])
def test_log_likelihoods_are_integrals_over_what_could_have_been_seen(weight):
    """The log likelihood at the maximum is the one that adaptive quadrature over each effect gives."""
    w = {
        "halfnorm": lambda p, d: np.exp(-d[0] * p**2),
        "negexp": lambda p, d: np.exp(-d[0] * p),
        "logistic": lambda p, d: 2 * np.exp(-d[0] * p) / (1 + np.exp(-d[0] * p)),
        "power": lambda p, d: (1 - p) ** d[0],
        "beta": lambda p, d: p ** (d[0] - 1) * (1 - p) ** (d[1] - 1),
    }[weight]
    effects = effects_of("hahn2001" if weight == "beta" else "baskerville2012")
    effects = bm.EffectSizes(-effects.yi, effects.sei) if weight == "beta" else effects
    fit = fq.selection(effects, side="greater", weight=weight)
    total = 0.0
    for y, s in zip(effects.yi, effects.sei, strict=True):
        sd = np.hypot(s, fit.tau)

        def joint(x, s=s, sd=sd):
            return w(stats.norm.sf(x / s), fit.delta) * stats.norm.pdf(x, fit.mu, sd)

        edges = fit.mu + sd * np.array([-12.0, -4.0, -1.0, 1.0, 4.0, 12.0])
        seen = sum(integrate.quad(joint, a, b, epsabs=1e-13, epsrel=1e-11)[0] for a, b in pairwise(edges))
        total += np.log(joint(y) / seen)
    assert fit.loglik == pytest.approx(total, abs=1e-7)


def test_the_profile_interval_ends_where_the_likelihood_has_dropped():
    """With mu fixed at a limit, a free search over tau2 and the weight loses half a chi-squared quantile."""
    from scipy.optimize import minimize

    effects = effects_of("baskerville2012")
    fit = fq.selection(effects, side="greater", steps=(0.025,))
    cut = stats.norm.isf(0.025) * effects.sei

    def minus(x, mu):
        tau2, delta = np.exp(x)
        sd = np.sqrt(effects.vi + tau2)
        beyond = stats.norm.sf(cut, mu, sd)
        lost = np.log(beyond + delta * (1 - beyond))
        seen = np.log(np.where(effects.yi >= cut, 1.0, delta))
        return -(stats.norm.logpdf(effects.yi, mu, sd) + seen - lost).sum()

    for limit in fit.ci:
        best = min(
            minimize(minus, start, args=(limit,), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-11}).fun
            for start in ([-4.0, -1.0], [-3.0, 0.0], [-5.0, -3.0])
        )
        assert fit.loglik + best == pytest.approx(stats.chi2.isf(0.05, 1) / 2, abs=1e-4)


def test_the_profile_leaves_a_tau_of_zero():
    """Where tau2 is 0 at the maximum it grows towards the limits: the profile is that of a grid over tau."""
    effects = effects_of("hahn2001")
    fit = fq.selection(effects, side="less", steps=(0.025,))
    assert fit.tau2_unadjusted == pytest.approx(0.0, abs=1e-12)

    def best(mu):
        sd = np.sqrt(effects.vi + np.linspace(0.0, 1.0, 20001)[:, None] ** 2)
        return stats.norm.logpdf(effects.yi, mu, sd).sum(axis=1).max()

    for limit in fit.ci_unadjusted:
        assert fit.loglik_unadjusted - best(limit) == pytest.approx(stats.chi2.isf(0.05, 1) / 2, abs=1e-4)


def test_a_selection_model_turns_with_its_data():
    """Effects of the other sign and side give the other sign of mu and the same weights."""
    effects = effects_of("baskerville2012")
    turned = bm.EffectSizes(-effects.yi, effects.sei)
    one, other = fq.selection(effects, side="greater"), fq.selection(turned, side="less")
    assert (other.mu, other.tau2, *other.delta) == pytest.approx((-one.mu, one.tau2, *one.delta), abs=1e-8)
    assert list(other.ci) == pytest.approx([-one.ci.high, -one.ci.low], abs=1e-4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"side": "up"}, "side"),
        ({"side": "greater", "weight": "stepfn"}, "stepfun"),
        ({"side": "greater", "steps": (0.5, 0.025)}, "ascending"),
        ({"side": "greater", "steps": (0.025,), "delta": (0.5, 1.0)}, "first of them 1"),
        ({"side": "greater", "weight": "power", "steps": (0.025,)}, "no steps"),
        ({"side": "greater", "weight": "power", "decreasing": True}, "belong to weight='stepfun'"),
        ({"side": "two-sided", "weight": "trunc"}, "side 'greater' or 'less'"),
    ],
)
def test_wrong_options_are_refused_in_words(options, words):
    """Each refusal states the rule."""
    with pytest.raises(bm.errors.ModelError, match=words):
        fq.selection(effects_of("hahn2001"), **options)


def test_the_unadjusted_row_stands_beside_the_adjusted_one():
    """The block and the frame give both."""
    fit = fq.selection(effects_of("hahn2001"), side="less", steps=(0.025, 0.5))
    assert f"unadjusted: mu = {fit.mu_unadjusted:.4f}" in str(fit)
    assert fit.to_frame()["selection"].tolist() == ["none", "stepfun"]
    assert sum(fit.counts) == 9


@pytest.mark.parametrize("data", sorted(DATA))
@pytest.mark.parametrize("ratio", [1, 2, 4, 10, 20, 50, 100])
def test_estimates_at_a_ratio_are_those_of_publicationbias(data, ratio):
    """Common-effect estimates and standard errors agree with Mathur and VanderWeele's."""
    golden = DATA[data]["mathur_vanderweele"]
    direction = DATA[data]["alternative"]
    sign = 1 if direction == "greater" else -1
    found = fq.publication_ratio(effects_of(data), direction=direction)
    assert found.s_value is None
    assert len(found.affirmative) == golden["k_affirmative"]
    for row, expected in ((found.at(ratio), golden[f"eta={ratio}"]), (found.worst_case, golden["worst_case"])):
        assert sign * row.mu == pytest.approx(expected["fixed"]["est"], rel=1e-9)
        assert row.se == pytest.approx(expected["fixed"]["se"], rel=1e-9)


def test_at_the_s_value_the_estimate_is_the_target():
    """The S-value is a ratio, and the estimate at it is the target, for both models."""
    effects = effects_of("baskerville2012")
    for model in ("common", "random"):
        found = fq.publication_ratio(effects, direction="greater", target=0.45, model=model)
        assert found.s_value is not None
        assert found.s_value > 1
        assert found.at(found.s_value).mu == pytest.approx(0.45, abs=1e-12)
        assert "times as likely" in found.sentence()
    already = fq.publication_ratio(effects, direction="greater", target=2.0)
    assert already.s_value == 1.0
