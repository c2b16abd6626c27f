r"""Local sensitivity by power-scaling: what a slightly weaker or stronger prior or likelihood does to the posterior.

The prior or the likelihood is raised to the power :math:`\alpha` and the posterior compared with the original by the
cumulative Jensen-Shannon distance; the diagnostic is its derivative with respect to :math:`\log_2 \alpha` at 1
(Kallioinen, Paananen, Bürkner & Vehtari 2024, Stat Comput 34:57). Here every scaled posterior is computed anew by
quadrature, with no importance weights and no sampling error; a NUTS posterior goes through ArviZ's ``psense``.
"""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.engines import ENGINES
from bayesmeta.errors import ModelError
from bayesmeta.model import Model, StudyLikelihoods
from bayesmeta.posterior import Marginal, Posterior, check_single_fit, fixed_at
from bayesmeta.priors import Cauchy, HalfNormal, Normal, StudentT, fixed_value
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array

if TYPE_CHECKING:
    import xarray as xr

ALPHAS = (0.99, 1.01)
THRESHOLD = 0.05
"""Sensitivities above this are worth a look (Kallioinen et al. 2024)."""
# The distance is normalised by integrals of the distribution functions over the range looked at; this is the range
# that 4000 draws span.
EDGE = 1.0 / 8000.0
POINTS = 257


@dataclass(frozen=True, slots=True)
class ScaledPrior:
    """A prior of tau raised to a power, its normalising constant left out.

    It offers what integration needs (the density, and hints where it lies), not quantiles.
    """

    base: Any
    alpha: float

    def __repr__(self) -> str:
        return f"{self.base!r} ** {self.alpha:g}"

    @property
    def support(self) -> tuple[float, float]:
        """Range of the prior."""
        low, high = self.base.support
        return float(low), float(high)

    @property
    def proper(self) -> bool:
        """False: the constant is missing, so there is no marginal likelihood."""
        return False

    @property
    def structure(self) -> str:
        """Name without parameters."""
        return f"scaled({self.base.structure})"

    @property
    def tail_exponent(self) -> float:
        """Power of decay."""
        return float(self.base.tail_exponent) * self.alpha

    @property
    def origin_exponent(self) -> float:
        """Power at 0."""
        return float(self.base.origin_exponent) * self.alpha

    @property
    def breaks(self) -> tuple[float, ...]:
        """Points where the density jumps."""
        found: tuple[float, ...] = self.base.breaks
        return found

    def scale_hint(self) -> float:
        """Return a typical magnitude."""
        return float(self.base.scale_hint())

    def logpdf(self, x: ArrayLike) -> Array:
        """Return the log density without its constant."""
        return np.asarray(self.alpha * self.base.logpdf(x))

    def resolve(self, sei: ArrayLike) -> "ScaledPrior":
        """Return the prior itself: what it depends on was filled in before."""
        return self


@dataclass(frozen=True, slots=True)
class PowerScaling:
    """Sensitivity of one quantity.

    Parameters
    ----------
    quantity
        ``"mu"``, ``"tau"`` or ``"theta_new"``.
    prior, likelihood
        Derivative of the distance: of all priors together, and of the likelihood of the studies' data.
    by_prior
        Parameter to the sensitivity to its prior alone.
    diagnosis
        In words.
    """

    quantity: str
    prior: float
    likelihood: float
    by_prior: Mapping[str, float]
    diagnosis: str


def power_scaling(posterior: Posterior) -> tuple[PowerScaling, ...]:
    """Return the sensitivity of mu, tau and a new study's effect to the priors and to the likelihood.

    What the priors fix, such as mu under ``point(0)``, depends on neither and is left out.

    Parameters
    ----------
    posterior
        Of either engine. Quadrature takes normal, flat, Student-t and Cauchy priors of mu and any prior of tau.

    Raises
    ------
    ModelError
        If the prior of mu has no power in closed form, or the posterior is an average of models.
    """
    check_single_fit(posterior, "power_scaling")
    if posterior.engine == "nuts":
        return _by_arviz(posterior)
    names = [n for n in _uncertain(posterior) if n in posterior.marginals]
    parts = {"prior": tuple(posterior.priors), **{f"prior of {n}": (n,) for n in posterior.priors}, "likelihood": ()}
    slopes: dict[str, dict[str, float]] = {n: {} for n in names}
    for part, which in parts.items():
        scaled = [_refit(posterior, which, alpha) for alpha in ALPHAS]
        for n in names:
            distances = [distance(posterior[n], other[n]) for other in scaled]
            each = [d / abs(math.log2(alpha)) for d, alpha in zip(distances, ALPHAS, strict=True)]
            slopes[n][part] = sum(each) / len(each)
    return tuple(
        PowerScaling(
            n,
            found["prior"],
            found["likelihood"],
            {p: found[f"prior of {p}"] for p in posterior.priors},
            diagnosis(found["prior"], found["likelihood"]),
        )
        for n, found in slopes.items()
    )


def _uncertain(posterior: Posterior) -> list[str]:
    """Return the names of what is looked at, without what the priors fix."""
    free = [n for n in ("mu", "tau") if fixed_at(posterior, n) is None]
    return [*free, "theta_new"] if any(n in posterior.priors for n in free) else []


def diagnosis(prior: float, likelihood: float) -> str:
    """Return what a pair of sensitivities suggests."""
    if prior < THRESHOLD:
        return "no sign of prior sensitivity"
    if likelihood < THRESHOLD:
        return "strong prior or weak likelihood"
    return "possible conflict of prior and data"


def distance(p: Marginal, q: Marginal) -> float:
    """Return the cumulative Jensen-Shannon distance of two distributions, the larger of both directions of the axis.

    References
    ----------
    Nguyen & Vreeken 2015, Non-parametric Jensen-Shannon divergence, ECML PKDD 2015, LNCS 9285:173-189.
    """
    x = np.linspace(float(p.ppf(EDGE)), float(p.ppf(1.0 - EDGE)), POINTS)
    return max(_cjs(p.cdf(x), q.cdf(x), x), _cjs(p.sf(x), q.sf(x), x))


def _cjs(p: Array, q: Array, x: Array) -> float:
    middle = 0.5 * (p + q)
    with np.errstate(divide="ignore", invalid="ignore"):
        both = np.where(p > 0, p * np.log2(p / middle), 0.0) + np.where(q > 0, q * np.log2(q / middle), 0.0)
    # The terms with the integrals of p - q and of q - p cancel in the sum of both directions.
    total = float(np.abs(np.trapezoid(p + q, x)))
    return math.sqrt(max(float(np.trapezoid(both, x)), 0.0) / total)


def _refit(posterior: Posterior, which: tuple[str, ...], alpha: float) -> Posterior:
    """Return the posterior with some priors raised to a power, or the likelihood when none is named."""
    model, data, priors = posterior.model, posterior.data, dict(posterior.priors)
    sei = getattr(data, "sei", None)
    if sei is not None:
        # Before the likelihood is scaled: a prior made of the standard errors does not follow those that stand for it.
        priors = {name: prior.resolve(sei) for name, prior in priors.items()}
    if not which:
        model, data = _scaled_likelihood(model, data, alpha)
    for name in which:
        priors[name] = scaled_prior(priors[name], alpha)
    return ENGINES["quadrature"](model, data, priors)


def scaled_prior(prior: Any, alpha: float) -> Any:
    """Return a prior raised to a power: of the same family where that is so."""
    if fixed_value(prior) is not None:
        return prior
    if isinstance(prior, Normal):
        return Normal(prior.loc, prior.scale / math.sqrt(alpha))
    if isinstance(prior, HalfNormal):
        return HalfNormal(prior.scale / math.sqrt(alpha))
    if isinstance(prior, StudentT | Cauchy):
        df = 1.0 if isinstance(prior, Cauchy) else prior.df
        power = alpha * (df + 1.0) - 1.0
        return StudentT(power, prior.loc, prior.scale * math.sqrt(df / power))
    if not prior.proper and prior.support[0] < 0:
        return prior
    if prior.support[0] < 0:
        raise ModelError(
            f"{prior!r} raised to a power is no prior that can be integrated in closed form: use a normal, Student-t, "
            "Cauchy or flat prior of mu, or power_scaling() of a posterior with engine='nuts'."
        )
    return ScaledPrior(prior, alpha)


def _scaled_likelihood(model: Model, data: Any, alpha: float) -> tuple[Model, Any]:
    """Return model and data whose likelihood of the studies' data, given their true effects, has the power alpha."""
    if isinstance(data, EffectSizes) and model.abilities.closed_form:
        # N(y; theta, v) ** alpha is N(y; theta, v / alpha) up to a constant.
        V = None if data.V is None else data.V / alpha
        return model, replace(data, sei=data.sei / math.sqrt(alpha), V=V, counts=None, observed={})
    likelihoods = model.study_likelihoods
    assert likelihoods is not None

    def powered(own: Any, priors: Any) -> StudyLikelihoods:
        given = likelihoods(own, priors)
        wider = 1.0 / math.sqrt(alpha)
        normal = None if given.normal is None else (given.normal[0], given.normal[1] * wider)
        return replace(
            given, loglik=lambda theta: alpha * given.loglik(theta), scale=given.scale * wider, normal=normal
        )

    return replace(model, study_likelihoods=powered), data


def _by_arviz(posterior: Posterior) -> tuple[PowerScaling, ...]:
    import arviz_stats

    if not _uncertain(posterior):
        return ()
    tree = _with_terms(posterior)
    names = [n for n in _uncertain(posterior) if n in tree["posterior"].data_vars]
    priors = [n for n in posterior.priors if n in tree["log_prior"].data_vars]

    def sense(group: str, which: list[str] | None) -> Any:
        return arviz_stats.psense(tree, var_names=names, group=group, group_var_names=which)

    # Raised to whatever power, a prior that is the same at every draw (a uniform one) changes nothing.
    level = [p for p in priors if np.ptp(np.asarray(tree["log_prior"][p])) == 0.0]
    alone = {p: dict.fromkeys(names, 0.0) if p in level else sense("prior", [p]) for p in priors}
    whole = dict.fromkeys(names, 0.0) if level == priors else sense("prior", priors)
    likelihood = sense("likelihood", None)
    return tuple(
        PowerScaling(
            n,
            float(whole[n]),
            float(likelihood[n]),
            {p: float(found[n]) for p, found in alone.items()},
            diagnosis(float(whole[n]), float(likelihood[n])),
        )
        for n in names
    )


def _with_terms(posterior: Posterior) -> "xr.DataTree":
    """Return the draws with the log prior of every parameter and the log likelihood of the studies' data.

    The likelihood that is scaled is that of each study's estimate given its true effect; a program that integrates
    the true effects out records the likelihood given mu and tau instead, which is replaced here.
    """
    import xarray as xr

    with warnings.catch_warnings():
        # What it is missing is made below, or refused.
        warnings.filterwarnings("ignore", message="The DataTree has no log_likelihood")
        tree, data = posterior.to_datatree(), posterior.data
    draws = tree["posterior"]
    groups = dict(tree.children)
    sei = getattr(data, "sei", None)
    if "log_prior" not in groups:
        own = {n: p if sei is None else p.resolve(sei) for n, p in posterior.priors.items() if n in draws.data_vars}
        logged = {n: xr.DataArray(p.logpdf(np.asarray(draws[n])), dims=draws[n].dims) for n, p in own.items()}
        groups["log_prior"] = xr.DataTree(xr.Dataset(logged))
    if isinstance(data, EffectSizes) and "theta" in draws.data_vars:
        theta = draws["theta"]
        yi, s = (xr.DataArray(v, dims="study", coords={"study": theta["study"]}) for v in (data.yi, data.sei))
        groups["log_likelihood"] = xr.DataTree(xr.Dataset({"y": -0.5 * ((yi - theta) / s) ** 2}))
    if "log_likelihood" not in groups:
        raise ModelError(
            f"The draws of model {posterior.model.name!r} carry no log likelihood, so its power cannot be changed. "
            "Fit it with engine='quadrature' where the model offers it, or a model that is computed (binomial_normal "
            "for two arms' events)."
        )
    return xr.DataTree(children=groups)


def power_lines(found: tuple[PowerScaling, ...]) -> list[str]:
    """Return one line a quantity."""
    return [
        f"{s.quantity}: sensitivity to the priors {s.prior:.3f} "
        f"({', '.join(f'{name} {value:.3f}' for name, value in s.by_prior.items())}), "
        f"to the likelihood {s.likelihood:.3f}: {s.diagnosis}."
        for s in found
    ]
