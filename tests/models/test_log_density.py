"""Every model's compiled log density equals its formula in scipy, at random points."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import integrate, optimize, special, stats

from bayesmeta.model import list_models, load_model

type Point = dict[str, Any]


def _normal_marginal(d, p, mean):
    return stats.norm.logpdf(d.yi, mean, np.sqrt(d.vi + p["tau"] ** 2)).sum()


def _mu(p):
    return stats.norm.logpdf(p["mu"], 0.0, 2.82)


def _tau(p):
    return stats.halfnorm.logpdf(p["tau"], scale=0.5)


def _eta(p, name="eta"):
    return stats.norm.logpdf(p[name]).sum()


def _arms(d, logit_control, logit_treatment):
    return (
        stats.binom.logpmf(d.events_control, d.n_control, special.expit(logit_control))
        + stats.binom.logpmf(d.events_treatment, d.n_treatment, special.expit(logit_treatment))
    ).sum()


def _baselines(p):
    return stats.norm.logpdf(p["baseline"], 0.0, 10.0).sum()


def _risk_ratio(alpha, theta):
    """Solve for the arms' risks of a log risk ratio and a mean of log odds; return their log odds."""
    logits = []
    for a, t in zip(alpha, theta, strict=True):
        most = min(0.0, -t)
        gap = lambda x, a=a, t=t, most=most: (  # noqa: E731
            special.logit(np.exp(most) * special.expit(x)) + special.logit(np.exp(most + t) * special.expit(x)) - 2 * a
        )
        risk = np.exp(most) * special.expit(optimize.brentq(gap, -40, 30, xtol=1e-14))
        logits.append((special.logit(risk), special.logit(risk * np.exp(t))))
    return np.array(logits).T


def _risk_difference(alpha, theta):
    """Solve for the arms' risks of a risk difference and a mean of log odds; return their log odds."""
    logits = []
    for a, t in zip(alpha, theta, strict=True):
        low, high = max(0.0, -t), min(1.0, 1.0 - t)
        gap = lambda p, a=a, t=t: special.logit(p) + special.logit(p + t) - 2 * a  # noqa: E731
        risk = optimize.brentq(gap, low + 1e-13, high - 1e-13, xtol=1e-15)
        logits.append((special.logit(risk), special.logit(risk + t)))
    return np.array(logits).T


def _mu_rd(p):
    return stats.norm.logpdf(p["mu"], 0.0, 0.5) + stats.halfnorm.logpdf(p["tau"], scale=0.15)


def _rd(d, p, theta):
    if np.any(np.abs(theta) >= 1):
        return -np.inf
    mass = np.diff(stats.norm.cdf([-1.0, 1.0], p["mu"], p["tau"]))[0]
    return _arms(d, *_risk_difference(p["baseline"], theta)) + _baselines(p) + _mu_rd(p) - len(theta) * np.log(mass)


def _leaning(d, p, x):
    return _normal_marginal(d, p, p["mu"] + p["bias"] * x) + _mu(p) + _tau(p)


def _selected(d, p):
    """Weights from their shares, cut points 0.025 and 0.05 of the one-sided p."""
    share = p["omega_share"]
    omega = np.array([share[0] * share[1], share[1], 1.0])
    edges = stats.norm.isf([0.05, 0.025]) * d.sei[:, None]
    beyond = stats.norm.sf(edges, p["mu"], np.sqrt(d.vi + p["tau"] ** 2)[:, None])
    chances = np.column_stack([1.0 - beyond[:, 0], beyond[:, 0] - beyond[:, 1], beyond[:, 1]])
    place = (d.yi[:, None] >= edges).sum(axis=1)
    prior = stats.beta(1, 1).logpdf(share[0]) + stats.beta(2, 1).logpdf(share[1])
    return _normal_marginal(d, p, p["mu"]) + np.log(omega[place] / (chances @ omega)).sum() + prior


def _rd_study(one, theta):
    def log(a):
        return _arms(one, *_risk_difference([a], [theta]))

    # Beyond 12 the risks are within 1e-9 of 0, 1 or the difference, and only the prior goes on.
    grid = np.linspace(-12.0, 12.0, 57)
    most = max(log(a) for a in grid)
    inside = integrate.quad(
        lambda a: np.exp(log(a) - most) * stats.norm.pdf(a, 0.0, 10.0),
        *(-12.0, 12.0),
        points=grid[1:-1],
        limit=400,
        epsabs=1e-13,
        epsrel=1e-11,
    )[0]
    tails = sum(np.exp(log(a) - most) for a in (-12.0, 12.0)) * stats.norm.sf(1.2)
    return most + np.log(inside + tails)


def _rd_integrated(d, p, theta):
    """Integrate each study's baseline out by adaptive quadrature of scipy's probabilities."""
    if np.any(np.abs(theta) >= 1):
        return -np.inf
    mass = np.diff(stats.norm.cdf([-1.0, 1.0], p["mu"], p["tau"]))[0]
    total = _mu_rd(p) - len(theta) * np.log(mass)
    for i, t in enumerate(theta):
        total += _rd_study(d.drop([label for j, label in enumerate(d.study) if j != i]), t)
    return total


def _rates(d, p, theta):
    control = stats.poisson.logpmf(d.events_control, d.time_control * np.exp(p["baseline"]))
    treatment = stats.poisson.logpmf(d.events_treatment, d.time_treatment * np.exp(p["baseline"] + theta))
    return (control + treatment).sum() + _baselines(p)


def _rate_shares(d, theta):
    """Write the treatment arm's share of a study's events as a binomial of scipy's."""
    ratio = d.time_treatment * np.exp(theta) / d.time_control
    total = d.events_treatment + d.events_control
    return stats.binom.logpmf(d.events_treatment, total, ratio / (1.0 + ratio)).sum()


def _tables(d, theta):
    """Write Fisher's noncentral hypergeometric distribution with scipy's central one and an odds ratio."""
    total = 0.0
    for i, t in enumerate(theta):
        events = int(d.events_treatment[i] + d.events_control[i])
        n, n_t = int(d.n_treatment[i] + d.n_control[i]), int(d.n_treatment[i])
        total += stats.nchypergeom_fisher.logpmf(int(d.events_treatment[i]), n, n_t, events, np.exp(t))
    return total


def _theta(p):
    return stats.norm.logpdf(p["theta"], p["mu"], p["tau"]).sum()


def _effect(p):
    return p["mu"] + p["tau"] * p["eta"]


def _prediction(d, p):
    return p["intercept"] + d.X[:, [0, 2]] @ p["beta"]


def _regression(p):
    return stats.norm.logpdf([p["intercept"], *p["beta"]], 0.0, 2.82).sum()


def _beta_binomial(d, p):
    size = (1 - p["rho"]) / p["rho"]
    total = 0.0
    for arm, logit in (("control", p["baseline"]), ("treatment", p["baseline"] + p["mu"])):
        a, b = size * special.expit(logit), size * special.expit(-logit)
        total += stats.betabinom.logpmf(getattr(d, f"events_{arm}"), getattr(d, f"n_{arm}"), a, b).sum()
    return total + stats.norm.logpdf(p["baseline"], 0, 10) + stats.beta.logpdf(p["rho"], 1, 1)


def _robust(d, p):
    lam = p["mixing"]
    sd = np.sqrt(d.vi + p["tau"] ** 2 / lam)
    return stats.norm.logpdf(d.yi, p["mu"], sd).sum() + stats.gamma.logpdf(lam, 2.0, scale=0.5).sum()


def _adapted(d, p):
    """Baselines of binomial_normal_random_baseline, and their derivatives with respect to what is sampled."""
    a, b = d.events_control + 0.5, d.n_control - d.events_control + 0.5
    v, omega2 = 1 / a + 1 / b, p["baseline_sd"] ** 2
    posterior_mean = (p["baseline"] / omega2 + np.log(a / b) / v) / (1 / omega2 + 1 / v)
    posterior_sd = (1 / omega2 + 1 / v) ** -0.5
    return posterior_mean + posterior_sd * p["baseline_eta"], posterior_sd


def _random_baseline(p):
    center = stats.norm.logpdf(p["baseline"], 0, 10) + stats.halfnorm.logpdf(p["baseline_sd"], scale=2)
    return center + _eta(p) + _mu(p) + _tau(p)


def _network(d, p):
    """Arms of each study one after the other; relative effects are written out for three treatments."""
    m, treatments = p["mu"], list(d.treatments)
    effect = [0.0, m[0], 0.5 * m[0] + np.sqrt(0.75) * m[1]]
    total, seen = 0.0, {}
    for i, (label, treatment) in enumerate(zip(d.study, d.treatment, strict=True)):
        own = effect[treatments.index(treatment)] + p["tau"] / np.sqrt(2.0) * p["eta"][i]
        number, first = seen.setdefault(label, (len(seen), own))
        risk = special.expit(p["baseline"][number] + own - first)
        total += stats.binom.logpmf(d.columns["events"][i], d.columns["n"][i], risk)
    return total + stats.norm.logpdf(m, 0.0, 2.82).sum() + _baselines(p) + _eta(p) + _tau(p)


FORMULAS: dict[tuple[str, str], Callable[[Any, Point], float]] = {
    ("common_effect", "default"): lambda d, p: stats.norm.logpdf(d.yi, p["mu"], d.sei).sum() + _mu(p),
    ("normal_normal", "default"): lambda d, p: _normal_marginal(d, p, p["mu"]) + _mu(p) + _tau(p),
    ("normal_normal", "non_centred"): lambda d, p: (
        stats.norm.logpdf(d.yi, _effect(p), d.sei).sum() + _eta(p) + _mu(p) + _tau(p)
    ),
    ("normal_normal", "centred"): lambda d, p: (
        stats.norm.logpdf(d.yi, p["theta"], d.sei).sum() + _theta(p) + _mu(p) + _tau(p)
    ),
    ("meta_regression", "default"): lambda d, p: _normal_marginal(d, p, _prediction(d, p)) + _regression(p) + _tau(p),
    ("meta_regression", "non_centred"): lambda d, p: (
        stats.norm.logpdf(d.yi, _prediction(d, p) + p["tau"] * p["eta"], d.sei).sum()
        + _eta(p)
        + _regression(p)
        + _tau(p)
    ),
    ("binomial_normal", "default"): lambda d, p: (
        _arms(d, p["baseline"], p["baseline"] + _effect(p)) + _eta(p) + _baselines(p) + _mu(p) + _tau(p)
    ),
    ("binomial_normal", "centred"): lambda d, p: (
        _arms(d, p["baseline"], p["baseline"] + p["theta"]) + _theta(p) + _baselines(p) + _mu(p) + _tau(p)
    ),
    ("binomial_normal_symmetric", "default"): lambda d, p: (
        _arms(d, p["baseline"] - _effect(p) / 2, p["baseline"] + _effect(p) / 2)
        + _eta(p)
        + _baselines(p)
        + _mu(p)
        + _tau(p)
    ),
    ("binomial_normal_symmetric", "centred"): lambda d, p: (
        _arms(d, p["baseline"] - p["theta"] / 2, p["baseline"] + p["theta"] / 2)
        + _theta(p)
        + _baselines(p)
        + _mu(p)
        + _tau(p)
    ),
    ("binomial_normal_rr", "default"): lambda d, p: (
        _arms(d, *_risk_ratio(p["baseline"], _effect(p))) + _eta(p) + _baselines(p) + _mu(p) + _tau(p)
    ),
    ("binomial_normal_rr", "centred"): lambda d, p: (
        _arms(d, *_risk_ratio(p["baseline"], p["theta"])) + _theta(p) + _baselines(p) + _mu(p) + _tau(p)
    ),
    ("binomial_normal_rd", "default"): lambda d, p: _rd_integrated(d, p, _effect(p)) + _eta(p),
    ("binomial_normal_rd", "centred"): lambda d, p: _rd_integrated(d, p, p["theta"]) + _theta(p),
    ("binomial_normal_rd", "baselines"): lambda d, p: _rd(d, p, _effect(p)) + _eta(p),
    ("binomial_normal_random_baseline", "default"): lambda d, p: (
        _arms(d, _adapted(d, p)[0], _adapted(d, p)[0] + _effect(p))
        + stats.norm.logpdf(_adapted(d, p)[0], p["baseline"], p["baseline_sd"]).sum()
        + np.log(_adapted(d, p)[1]).sum()
        + _random_baseline(p)
    ),
    ("binomial_normal_random_baseline", "non_centred"): lambda d, p: (
        _arms(
            d,
            p["baseline"] + p["baseline_sd"] * p["baseline_eta"],
            p["baseline"] + p["baseline_sd"] * p["baseline_eta"] + _effect(p),
        )
        + _eta(p, "baseline_eta")
        + _random_baseline(p)
    ),
    ("beta_binomial", "default"): lambda d, p: _beta_binomial(d, p) + _mu(p),
    ("poisson_normal", "default"): lambda d, p: _rates(d, p, _effect(p)) + _eta(p) + _mu(p) + _tau(p),
    ("poisson_normal", "centred"): lambda d, p: _rates(d, p, p["theta"]) + _theta(p) + _mu(p) + _tau(p),
    ("poisson_normal_conditional", "default"): lambda d, p: _rate_shares(d, _effect(p)) + _eta(p) + _mu(p) + _tau(p),
    ("poisson_normal_conditional", "centred"): lambda d, p: _rate_shares(d, p["theta"]) + _theta(p) + _mu(p) + _tau(p),
    ("hypergeometric_normal", "default"): lambda d, p: _tables(d, _effect(p)) + _eta(p) + _mu(p) + _tau(p),
    ("hypergeometric_normal", "centred"): lambda d, p: _tables(d, p["theta"]) + _theta(p) + _mu(p) + _tau(p),
    ("pet", "default"): lambda d, p: _leaning(d, p, d.sei) + stats.halfcauchy.logpdf(p["bias"], scale=1.0),
    ("peese", "default"): lambda d, p: _leaning(d, p, d.vi) + stats.halfcauchy.logpdf(p["bias"], scale=5.0),
    ("selection_stepfun", "default"): lambda d, p: _selected(d, p) + _mu(p) + _tau(p),
    ("network_binomial", "default"): _network,
    ("robust_t", "default"): lambda d, p: _robust(d, p) + _mu(p) + _tau(p),
}

# Likelihoods with the baselines integrated out are tabulated.
PRECISION = {("binomial_normal_rd", "default"): 1e-7, ("binomial_normal_rd", "centred"): 1e-7}
# PyMC's half-Cauchy takes the logarithm of 2 in single precision.
PRECISION |= {("pet", "default"): 1e-9, ("peese", "default"): 1e-9}

# Programs that a file writes itself; those that are made from its statement are held against it elsewhere.
WRITTEN = [name for name in list_models() if hasattr(load_model(name).module, "build")]
PROGRAMS = [(name, variant) for name in WRITTEN for variant in ("default", *load_model(name).variants)]


def _random_point(model, rng: np.random.Generator) -> tuple[Point, Point, float]:
    """Return a point as the formula and as PyMC take it, and the log Jacobian between them."""
    natural, transformed, jacobian = {}, {}, 0.0
    for rv in model.free_RVs:
        value = model.rvs_to_values[rv]
        z = rng.normal(0.0, 0.7, model.initial_point()[value.name].shape)
        transformed[value.name] = z
        if value.name.endswith("_log__"):
            natural[rv.name], jacobian = np.exp(z), jacobian + z.sum()
        elif value.name.endswith("_logodds__"):
            natural[rv.name] = special.expit(z)
            jacobian += (special.log_expit(z) + special.log_expit(-z)).sum()
        elif value.name == "theta_interval__":
            natural[rv.name] = 2.0 * special.expit(z) - 1.0
            jacobian += (np.log(2.0) + special.log_expit(z) + special.log_expit(-z)).sum()
        else:
            assert value.name == rv.name
            natural[rv.name] = z
    return natural, transformed, jacobian


@pytest.mark.parametrize(("name", "variant"), PROGRAMS)
def test_compiled_log_density_is_the_formula(name, variant, make):
    """At random points the program's log density is the docstring's formula, written with scipy.stats."""
    model = load_model(name)
    data = make(model.data_type)
    built = model.programs[variant](data, model.priors)
    logp = built.compile_logp(mode="FAST_COMPILE")
    rng = np.random.default_rng(5)
    for _ in range(4):
        natural, transformed, jacobian = _random_point(built, rng)
        expected = FORMULAS[name, variant](data, natural) + jacobian
        assert float(logp(transformed)) == pytest.approx(expected, rel=PRECISION.get((name, variant), 1e-10))
