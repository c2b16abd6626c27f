r"""Estimators of the between-study variance tau2, one function per published method.

Each takes the model in normal form (:mod:`bayesmeta.frequentist.weighted`) and returns tau2 and its
standard error in the model's unit. Registering a function is all it takes to add an estimator:
`pool`, the batch, the property tests and the golden tests read :data:`TAU2_ESTIMATORS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite, sqrt

import numpy as np
from scipy.special import chdtri

from bayesmeta.errors import ConvergenceError
from bayesmeta.frequentist.likelihood import maximise
from bayesmeta.frequentist.weighted import At, Model, mean_model, q_root, regression_model, trace_pd, trace_pdpe
from bayesmeta.values import Array

type Estimate = tuple[float, float | None]


@dataclass(frozen=True, slots=True)
class Tau2Estimator:
    """A registered estimator: call it as ``estimator(yi, vi, X=None)`` for tau2 on the data's scale."""

    name: str
    title: str
    reference: str
    estimate: Callable[[Model], Estimate]
    iterative: bool = False

    def __call__(self, yi: Array, vi: Array, X: Array | None = None) -> float:
        """Return tau2 of effects `yi` with sampling variances `vi`, both ``(k,)``; `X` is ``(k, p)``."""
        y, v = np.asarray(yi, dtype=float), np.asarray(vi, dtype=float)
        if X is None:
            model = mean_model(y, v)
        else:
            design = np.asarray(X, dtype=float)
            model = regression_model(y, v, design, intercept=bool((design[:, 0] == 1).all()))
        return self.finite(model)[0] * model.scale**2

    def finite(self, model: Model) -> Estimate:
        """Return tau2 and its standard error in the model's unit, or raise a ConvergenceError: never NaN."""
        tau2, se = self.estimate(model)
        if not isfinite(tau2):
            raise ConvergenceError(
                f"{self.name} found no finite tau2 for these {model.k} studies: the effects differ by more standard "
                "errors than double precision can hold. Check yi and sei for a unit error, or use method='EE'."
            )
        return tau2, se


TAU2_ESTIMATORS: dict[str, Tau2Estimator] = {}


def register(
    name: str, title: str, reference: str, *, iterative: bool = False
) -> Callable[[Callable[[Model], Estimate]], Callable[[Model], Estimate]]:
    """Enter the decorated function in :data:`TAU2_ESTIMATORS` under `name`."""

    def enter(function: Callable[[Model], Estimate]) -> Callable[[Model], Estimate]:
        TAU2_ESTIMATORS[name] = Tau2Estimator(name, title, reference, function, iterative)
        return function

    return enter


def _moment_se(at: At, v: Array, tau2: float, factor: float) -> float:
    """Return the standard error of ``factor * y'Py`` when ``Var(y) = diag(v) + tau2 I``."""
    variance = (
        2.0 * trace_pdpe(at, v, v) + 4.0 * tau2 * trace_pdpe(at, v, None) + 2.0 * tau2**2 * trace_pdpe(at, None, None)
    )
    return factor * sqrt(max(variance, 0.0))


def _inverse_variance_se(at: At, df: int, tau2: float, factor: float) -> float:
    # With W = V^-1, PV is idempotent of rank k - p, which saves two traces.
    return factor * sqrt(2.0 * df + 4.0 * tau2 * at.trP + 2.0 * tau2**2 * at.trPP)


def _common_effect(model: Model) -> Estimate:
    return 0.0, None


register("EE", "common effect", "Hedges & Vevea (1998), Psychol. Methods 3:486-504.")(_common_effect)
register("FE", "fixed effects", "Hedges & Vevea (1998), Psychol. Methods 3:486-504.")(_common_effect)


@register("DL", "DerSimonian-Laird", "DerSimonian & Laird (1986), Control. Clin. Trials 7:177-188.")
def dersimonian_laird(model: Model) -> Estimate:
    """Method of moments from Cochran's Q with inverse-variance weights."""
    at = model.at(0.0)
    tau2 = max(0.0, (at.Q - model.df) / at.trP)
    return tau2, _inverse_variance_se(at, model.df, tau2, 1.0 / at.trP)


@register("HE", "Hedges", "Hedges & Olkin (1985), Statistical Methods for Meta-Analysis, Academic Press.")
def hedges(model: Model) -> Estimate:
    """Method of moments from the unweighted sum of squares."""
    at = _unweighted(model)
    tau2 = max(0.0, (at.Q - trace_pd(at, model.v)) / model.df)
    return tau2, _moment_se(at, model.v, tau2, 1.0 / model.df)


def _unweighted(model: Model) -> At:
    return Model(model.y, np.ones(model.k), model.X, model.order, 1.0, 0.0).at(0.0)


@register("HS", "Hunter-Schmidt", "Schmidt & Hunter (2014), Methods of Meta-Analysis, 3rd ed., Sage.")
def hunter_schmidt(model: Model) -> Estimate:
    """Weighted variance of the effects less their average sampling variance."""
    at = model.at(0.0)
    total = float(at.w.sum())
    tau2 = max(0.0, (at.Q - model.k) / total)
    return tau2, _inverse_variance_se(at, model.df, tau2, 1.0 / total)


@register(
    "HSk",
    "Hunter-Schmidt with small-sample correction",
    "Brannick, Potter, Benitez & Morris (2019), Res. Synth. Methods 10:490-514.",
)
def hunter_schmidt_k(model: Model) -> Estimate:
    """Hunter-Schmidt with the weighted variance divided by its degrees of freedom."""
    at = model.at(0.0)
    total, ratio = float(at.w.sum()), model.k / model.df
    tau2 = max(0.0, (ratio * at.Q - model.k) / total)
    return tau2, _inverse_variance_se(at, model.df, tau2, ratio / total)


@register("SJ", "Sidik-Jonkman", "Sidik & Jonkman (2005), Appl. Stat. 54:367-384.")
def sidik_jonkman(model: Model) -> Estimate:
    """Model-error variance from a crude first estimate, the mean squared deviation of the effects."""
    deviation = model.y - model.y.mean()
    crude = float(deviation @ deviation) / model.k
    at = model.at(crude)
    factor = crude / model.df
    tau2 = factor * at.Q
    return tau2, _moment_se(at, model.v, tau2, factor)


def _q_based(model: Model, target: float) -> Estimate:
    # The papers give no standard error; this is metafor's, that of the empirical Bayes moment equation.
    tau2 = q_root(model, target)
    at = model.at(tau2)
    return tau2, _moment_se(at, model.v, tau2, model.k / model.df / float(at.w.sum()))


@register("PM", "Paule-Mandel", "Paule & Mandel (1982), J. Res. Natl. Bur. Stand. 87:377-385.", iterative=True)
def paule_mandel(model: Model) -> Estimate:
    r"""Return the root of :math:`Q(\tau^2) = k - p`."""
    return _q_based(model, float(model.df))


@register(
    "PMM",
    "median-unbiased Paule-Mandel",
    "Viechtbauer (2021), in Handbook of Meta-Analysis, Chapman and Hall/CRC, ch. 11.",
    iterative=True,
)
def paule_mandel_median(model: Model) -> Estimate:
    r"""Return the root of :math:`Q(\tau^2)` = median of :math:`\chi^2_{k-p}`."""
    return _q_based(model, float(chdtri(model.df, 0.5)))


@register("EB", "empirical Bayes", "Morris (1983), J. Am. Stat. Assoc. 78:47-55.", iterative=True)
def empirical_bayes(model: Model) -> Estimate:
    """Morris's empirical Bayes estimator; it solves the equation of Paule and Mandel."""
    return _q_based(model, float(model.df))


@register("ML", "maximum likelihood", "Hardy & Thompson (1996), Stat. Med. 15:619-629.", iterative=True)
def maximum_likelihood(model: Model) -> Estimate:
    """Return the global maximum of the likelihood; standard error from the expected information."""
    tau2 = maximise(model, restricted=False)
    w = 1.0 / (model.v + tau2)
    return tau2, sqrt(2.0 / float(w @ w))


@register(
    "REML",
    "restricted maximum likelihood",
    "Viechtbauer (2005), J. Educ. Behav. Stat. 30:261-293.",
    iterative=True,
)
def restricted_maximum_likelihood(model: Model) -> Estimate:
    """Return the global maximum of the restricted likelihood; standard error from the expected information."""
    tau2 = maximise(model, restricted=True)
    return tau2, sqrt(2.0 / model.at(tau2).trPP)
