"""Quadrature against an independent 900-node double-exponential quadrature, and against the R package bayesmeta."""

import json
import math
from pathlib import Path

import pytest

import bayesmeta as bm

GOLDEN = Path(__file__).parents[1] / "golden"
DATASETS = ("crins_ar6", "rubin8", "stenting3")
# The shortest intervals and modes take most of the time: checked for priors of different character.
SHAPES = ("uniform", "half-normal(0.5)", "half-Cauchy(0.5)", "conventional", "Jeffreys")
NAMES = {
    "Jeffreys": "jeffreys()",
    "DuMouchel": "dumouchel()",
    "shrinkage": "shrinkage()",
    "I2": "i2()",
    "conventional": "conventional()",
    "uniform": "uniform(0, inf)",
}


def load(dataset):
    return json.loads((GOLDEN / f"bayesmeta_nnhm_{dataset}.json").read_text(encoding="utf-8"))


def tau_prior(given):
    label = given["label"]
    if label in NAMES:
        return NAMES[label]
    if label.startswith("half-normal"):
        return f"half_normal({given['scale']!r})"
    if label.startswith("half-Cauchy"):
        return f"half_cauchy({given['scale']!r})"
    if label.startswith("half-t"):
        return f"half_student_t({given['df']!r}, {given['scale']!r})"
    if label.startswith("exponential"):
        return f"exponential({given['rate']!r})"
    return f"log_normal({given['meanlog']!r}, {given['sdlog']!r})"


def fitted(golden, entry):
    mu = entry["mu_prior"]
    effects = bm.EffectSizes(yi=golden["yi"], sei=golden["sei"], study=golden["labels"], measure=golden["measure"])
    priors = {
        "mu": "flat()" if mu.get("flat") else f"normal({mu['mean']!r}, {mu['sd']!r})",
        "tau": tau_prior(entry["tau_prior"]),
    }
    return bm.fit(effects, priors=priors, engine="quadrature")


def cases():
    return [(d, key) for d in DATASETS for key, e in load(d)["fits"].items() if "log_marginal" in e.get("exact", {})]


def number(value):
    return math.inf if value == "Inf" else value


def unit(marginal):
    sd = marginal.sd()
    return sd if math.isfinite(sd) else marginal.eti().high - marginal.eti().low


def same(value, reference, scale, rel=1e-8):
    reference = number(reference)
    return value == reference if math.isinf(reference) else abs(value - reference) <= rel * scale


@pytest.mark.parametrize(("dataset", "key"), cases())
def test_agrees_with_exact_quadrature(dataset, key):
    """Evidence, moments, quantiles, tail probabilities, weights and mean I2 agree to 1e-8 of the posterior's width."""
    golden = load(dataset)
    entry = golden["fits"][key]
    exact, post = entry["exact"], fitted(golden, entry)
    assert post.details.log_normaliser == pytest.approx(exact["log_marginal"], abs=1e-9)
    proper = not entry["mu_prior"].get("flat", False) and not entry["tau_prior"].get("improper", False)
    assert (post.log_evidence is not None) == proper
    for name in ("tau", "mu", "theta_new"):
        marginal, given = post[name], exact[name]
        for word in ("median", "mean", "sd"):
            assert same(getattr(marginal, word)(), given["stats"][word], unit(marginal)), (name, word)
        for limit, reference in zip(marginal.eti(), given["central95"], strict=True):
            assert same(limit, reference, unit(marginal)), name
        for threshold, reference in given.get("p_gt", {}).items():
            at = {"gt_0": 0.0, "gt_0.22314355131421": 0.22314355131421, "gt_-0.22314355131421": -0.22314355131421}
            assert float(marginal.sf(at[threshold])) == pytest.approx(reference, abs=1e-10)
    for study, given in exact["theta_i"].items():
        marginal = post.theta[study]
        for word in ("median", "mean", "sd"):
            assert same(getattr(marginal, word)(), given[word], unit(marginal)), (study, word)
        limits = (given["central_lower"], given["central_upper"])
        assert all(same(a, b, unit(marginal)) for a, b in zip(marginal.eti(), limits, strict=True)), study
    assert post["I2"].mean() == pytest.approx(100.0 * exact["mean_I2"], rel=1e-9)
    assert post.weights() == pytest.approx(exact["mean_weights"], abs=1e-10)


@pytest.mark.parametrize(("dataset", "key"), [c for c in cases() if c[1].split("~")[1].split(" |")[0] in SHAPES])
def test_modes_and_shortest_intervals_agree_with_exact_quadrature(dataset, key):
    """Modes and shortest intervals agree to 1e-8 of the posterior's width, a mode at 0 included."""
    golden = load(dataset)
    entry = golden["fits"][key]
    exact, post = entry["exact"], fitted(golden, entry)
    rows = [(post[n], exact[n]["stats"]["mode"], exact[n]["shortest95"]) for n in ("tau", "mu", "theta_new")]
    rows += [
        (post.theta[s], g["mode"], (g["shortest_lower"], g["shortest_upper"])) for s, g in exact["theta_i"].items()
    ]
    for marginal, mode, shortest in rows:
        assert same(marginal.mode(), mode, unit(marginal))
        assert all(same(a, b, unit(marginal)) for a, b in zip(marginal.hdi(), shortest, strict=True))


@pytest.mark.parametrize(("dataset", "key"), [c for c in cases() if "half-normal(0.5)" in c[1] or "I2" in c[1]])
def test_agrees_with_bayesmeta_within_its_accuracy(dataset, key):
    """The R package's central intervals, medians and weights agree to the three to five digits it states."""
    golden = load(dataset)
    entry = golden["fits"][key]
    peer, post = entry["bayesmeta"], fitted(golden, entry)
    # Its grid of tau leaves limits of mu and of predictions off by up to 1% of the SD.
    for name, marginal, rel in (("tau", post.tau, 1e-6), ("mu", post.mu, 1e-2), ("theta", post.theta_new, 1e-2)):
        limits = peer["central95"][name]
        assert list(marginal.eti()) == pytest.approx(limits, abs=rel * marginal.sd())
        assert marginal.median() == pytest.approx(peer["summary_shortest"]["median"][name], abs=1e-3 * marginal.sd())
    weights = peer["weights_mean"]
    assert post.weights() == pytest.approx(weights, abs=1e-3)


@pytest.mark.parametrize(("dataset", "key"), [c for c in cases() if "half-normal(0.5)" in c[1] and "mu~N" in c[1]])
def test_bayes_factors_agree_with_exact_quadrature(dataset, key):
    """Bayes factors of mu = 0 and of tau = 0 agree to 1e-9."""
    golden = load(dataset)
    entry = golden["fits"][key]
    post = fitted(golden, entry)
    assert bm.bayes_factor_null(post, mu=0.0) == pytest.approx(entry["exact"]["bf01_mu0"], rel=1e-9)
    assert bm.bayes_factor_null(post, tau=0.0) == pytest.approx(entry["exact"]["bf01_tau0"], rel=1e-9)
