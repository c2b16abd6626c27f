r"""Binomial-normal random-effects model of 2x2 tables on the risk difference.

.. math::
    y_{iC} &\sim \mathrm{Binomial}(n_{iC}, p_{iC}), \qquad y_{iT} \sim \mathrm{Binomial}(n_{iT}, p_{iT}), \qquad
    p_{iT} - p_{iC} = \theta_i \\
    \tfrac12 (\mathrm{logit}\, p_{iC} + \mathrm{logit}\, p_{iT}) &= \alpha_i \sim \text{the prior } \mathtt{baseline},
    \qquad \theta_i \mid \mu, \tau \sim N_{(-1, 1)}(\mu, \tau^2)

theta is the risk difference, and so is a new study's: between -1 and 1, where they are distributed as a normal
variable given that it lies there. Its density is that of :math:`N(\mu, \tau^2)` divided by
:math:`\Phi((1-\mu)/\tau) - \Phi((-1-\mu)/\tau)`, which is 1 for all that matters unless tau is large or mu near the
limits. mu and tau are those of the normal distribution before it is cut.

A risk difference rules out some control risks, so a prior of the control risk itself
would need limits that depend on theta, and would pull on theta. The mean of the arms' log odds, which here is
the baseline :math:`\alpha_i`, goes with every theta: with :math:`\xi_i = \mathrm{artanh}\,\theta_i` half the log
odds ratio is :math:`\delta_i = \xi_i + \mathrm{arsinh}(\cosh\alpha_i \sinh\xi_i)`, and the arms' log odds are
:math:`\alpha_i \mp \delta_i`. Exchanging the arms only changes the sign of theta. Nothing is added to zero cells.

Use it for 2x2 tables when the risk difference is what decides, and the studies' risks are alike: where they are not,
risk differences vary more between studies than ratios do. Not where events are rare in some studies and common in
others: a rare event bounds its risk difference by its own rarity. A study without events says that its risk
difference is small; it is given the weight that this has. It says nothing about the direction where its arms are of
equal size; where they are not, it speaks a little for the larger arm, whose risk it bounds more closely.

Given a baseline the likelihood changes abruptly next to no effect where an arm has hardly any events: one risk is about
theta there and the other :math:`e^{2\alpha_i} / \theta_i`. NUTS diverges on that, so its programs have the baselines
integrated out, as quadrature has them: each study's log likelihood of theta is tabulated, to 1e-5 or better, and
baselines are drawn from their distribution given theta afterwards. The program `baselines` is the formulas above, word
for word. It is also what is sampled where the prior of the baseline has edges, is a mixture, or has tails so heavy that
the integral is not reached.

The prior of tau has its median at 0.10, and 5% beyond 0.29, where studies' risk differences would fill more than half
of all that is possible. That of mu says little: 95% of it are within 0.98.

Source: Warn, Thompson & Spiegelhalter (2002), Statistics in Medicine 21:1601-1623, for exact
binomial likelihoods on the risk scales; Richardson, Robins & Wang (2017), Journal of the American
Statistical Association 112:1121-1130, for the baseline (half their log odds product).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from bayesmeta.errors import ConvergenceError
from bayesmeta.likelihoods.baselines import asinh_exp, log_sinh, odds_product_baseline, odds_product_loglik
from bayesmeta.likelihoods.cut_normal import symbolic_log_mass
from bayesmeta.likelihoods.tables import symbolic_look_up, tabulate
from bayesmeta.model import StudyLikelihoods, data_slots
from bayesmeta.priors import Cauchy, HalfNormal, Logistic, Normal, Prior, StudentT
from bayesmeta.studies import TwoByTwo
from bayesmeta.values import Array

if TYPE_CHECKING:
    import pymc as pm

DATA = TwoByTwo
MEASURE = "RD"
PRIORS: dict[str, Prior] = {"mu": Normal(0.0, 0.5), "tau": HalfNormal(0.15), "baseline": Normal(0.0, 10.0)}
# Beyond this a risk difference is as good as 1, and its artanh no longer a number.
LARGEST = 1.0 - 1e-12
# Families of priors whose baselines can be integrated out to many digits.
SMOOTH = (Normal, StudentT, Cauchy, Logistic)
# Within this share of one patient's risk a log likelihood is as good as straight on either side of no effect.
NEAR = 1e-4


def inputs(data: TwoByTwo) -> dict[str, Any]:
    """Return the arrays that the programs with baselines take."""
    names = ("events_treatment", "n_treatment", "events_control", "n_control")
    return {name: getattr(data, name).astype(np.int64) for name in names}


def tables(data: TwoByTwo, priors: Mapping[str, Prior]) -> dict[str, Any]:
    """Return the log likelihoods of theta, the baselines integrated out, as tables; none where that is not possible.

    ``unit`` is the risk difference about which each table goes over from even steps to even ratios.
    """
    if not isinstance(priors["baseline"], SMOOTH):
        return {}
    unit, exact = NEAR / np.maximum(data.n_control, data.n_treatment), study_likelihoods(data, priors)
    reach = np.arcsinh(np.arctanh(LARGEST) / unit)
    try:
        table = tabulate(lambda x: exact.loglik(np.tanh(unit[:, None] * np.sinh(x))), reach, data.study)
    except ConvergenceError:
        # Under a prior with tails as heavy as a Cauchy's the integral is not always reached; sampling does without.
        return {}
    return {"log_likelihood": table, "unit": unit}


def build(data: TwoByTwo, priors: Mapping[str, Prior]) -> "pm.Model":
    """Return the PyMC model, non-centred: theta = mu + tau * eta. Baselines are integrated out where they can be."""
    import pymc as pm

    with pm.Model(coords={"study": data.study}) as model:
        _integrated(data, priors, _non_centred(priors))
    return model


def centred(data: TwoByTwo, priors: Mapping[str, Prior]) -> "pm.Model":
    """Return the same with theta ~ N(mu, tau) cut to its limits: good when the studies say much."""
    import pymc as pm

    with pm.Model(coords={"study": data.study}) as model:
        mu, tau = priors["mu"].rv("mu"), priors["tau"].rv("tau")
        limits = pm.distributions.transforms.Interval(-1.0, 1.0)
        theta = pm.Normal("theta", mu, tau, dims="study", default_transform=limits)
        pm.Potential("possible", -data.k * symbolic_log_mass(mu, tau))
        _integrated(data, priors, theta)
    return model


def with_baselines(data: TwoByTwo, priors: Mapping[str, Prior]) -> "pm.Model":
    """Return the PyMC model as its formulas have it, baselines and all: to read, and to change."""
    import pymc as pm

    with pm.Model(coords={"study": data.study}) as model:
        _arms(data, priors, _non_centred(priors))
    return model


VARIANTS = {"centred": centred, "baselines": with_baselines}


def _non_centred(priors: Mapping[str, Prior]) -> Any:
    import pymc as pm

    mu, tau = priors["mu"].rv("mu"), priors["tau"].rv("tau")
    eta = pm.Normal("eta", 0.0, 1.0, dims="study")
    theta = pm.Deterministic("theta", mu + tau * eta, dims="study")
    inside = pm.math.switch(pm.math.abs(theta) < 1.0, 0.0, -np.inf)
    pm.Potential("possible", inside - symbolic_log_mass(mu, tau), dims="study")
    return theta


def _xi(theta: Any) -> Any:
    import pymc as pm

    return pm.math.arctanh(pm.math.clip(theta, -LARGEST, LARGEST))


def _integrated(data: TwoByTwo, priors: Mapping[str, Prior], theta: Any) -> None:
    import pymc as pm

    slots = tables(data, priors)
    if not slots:
        return _arms(data, priors, theta)
    table = pm.Data("log_likelihood", slots["log_likelihood"], dims=("study", None, None))
    unit = pm.Data("unit", slots["unit"], dims="study")
    reach = pm.math.arcsinh(np.arctanh(np.float64(LARGEST)) / unit)
    pm.Potential("y", symbolic_look_up(table, reach, pm.math.arcsinh(_xi(theta) / unit)), dims="study")
    return None


def _arms(data: TwoByTwo, priors: Mapping[str, Prior], theta: Any) -> None:
    import pymc as pm

    d = data_slots(inputs(data), dims="study")
    alpha, xi = priors["baseline"].rv("baseline", dims="study"), _xi(theta)
    half = xi + pm.math.arcsinh(pm.math.cosh(alpha) * pm.math.sinh(xi))
    pm.Binomial("y_control", d["n_control"], logit_p=alpha - half, observed=d["events_control"], dims="study")
    pm.Binomial("y_treatment", d["n_treatment"], logit_p=alpha + half, observed=d["events_treatment"], dims="study")


def half_log_odds_ratio(alpha: Array, theta: Array) -> tuple[Array, Array]:
    """Return half the log odds ratio, and its slope in alpha, of a risk difference theta."""
    xi = np.arctanh(np.clip(theta, -LARGEST, LARGEST))
    log_cosh = np.logaddexp(alpha, -alpha) - np.log(2.0)
    move = asinh_exp(np.sign(xi), log_cosh + log_sinh(np.abs(xi)))
    return xi + move, np.tanh(move) * np.tanh(alpha)


def study_likelihoods(data: TwoByTwo, priors: Mapping[str, Prior]) -> StudyLikelihoods:
    """Return log p(both arms given theta), the baseline integrated out over its prior."""
    events, n = (data.events_control, data.events_treatment), (data.n_control, data.n_treatment)
    control, treatment = ((e + 0.5) / (total + 1.0) for e, total in zip(events, n, strict=True))

    def loglik(theta: Array) -> Array:
        return odds_product_loglik(half_log_odds_ratio, theta, events, n, priors["baseline"], data.study)

    return StudyLikelihoods(
        study=data.study,
        loglik=loglik,
        center=treatment - control,
        scale=np.sqrt(control * (1.0 - control) / n[0] + treatment * (1.0 - treatment) / n[1]),
        mu=priors["mu"],
        tau=priors["tau"],
        support=(-1.0, 1.0),
    )


def baseline_given(data: TwoByTwo, priors: Mapping[str, Prior], draws: Mapping[str, Array], uniform: Array) -> Array:
    """Return draws of the baselines from their distribution given theta and the tables of counts."""
    events, n = (data.events_control, data.events_treatment), (data.n_control, data.n_treatment)
    return odds_product_baseline(half_log_odds_ratio, draws["theta"], events, n, priors["baseline"], uniform)


def simulate(data: TwoByTwo, p: Mapping[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    """Return replicates of the events, given theta and baselines of shape ``(..., k)``."""
    half = half_log_odds_ratio(p["baseline"], p["theta"])[0]
    control, treatment = p["baseline"] - half, p["baseline"] + half
    return {
        "events_control": rng.binomial(data.n_control.astype(int), special.expit(control)),
        "events_treatment": rng.binomial(data.n_treatment.astype(int), special.expit(treatment)),
    }


def shapes(data: TwoByTwo) -> dict[str, tuple[int, ...]]:
    """Return the parameters that are vectors."""
    return {"baseline": (data.k,)}
