r"""Estimators of the between-study variance tau2, one function per published method.

Each takes the model in normal form (:mod:`bayesmeta.gaussian.weighted`) and returns tau2 in the
model's unit; a second function gives its standard error, where there is one. Registering a function is all it
takes to add an estimator: `pool`, the batch, the property tests and the golden tests read :data:`TAU2_ESTIMATORS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite, sqrt

import numpy as np
from scipy.special import chdtri

from bayesmeta.errors import ConvergenceError
from bayesmeta.frequentist.generalised import generalised_se
from bayesmeta.frequentist.likelihood import maximise
from bayesmeta.frequentist.normal_form import model_of
from bayesmeta.gaussian.weighted import At, Model, mean_model, q_root, regression_model, trace_pd, trace_pdpe
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array

DEFAULT_ESTIMATOR = "REML"
"""Estimator of tau2 wherever none is named: the one that is nearly unbiased for tau2 over the widest range of designs
(Langan et al. 2019, Res. Synth. Methods 10:83-98), and the default of metafor and of Review Manager on the web."""

type Estimator = Callable[[Model], float]
type StandardError = Callable[[Model, float], float]


@dataclass(frozen=True, slots=True)
class Tau2Estimator:
    """A registered estimator: call it as ``estimator(yi, vi, X=None)`` for tau2 on the data's scale.

    `estimate` maps a model to tau2, `standard_error` a model and its tau2 to the standard error (None where
    there is none), both in the model's unit.
    """

    name: str
    title: str
    reference: str
    estimate: Estimator
    standard_error: StandardError | None = None
    iterative: bool = False

    def __call__(self, yi: Array, vi: Array, X: Array | None = None) -> float:
        """Return tau2 of effects `yi` with sampling variances `vi`, both ``(k,)``; `X` is ``(k, p)``."""
        y, v = np.asarray(yi, dtype=float), np.asarray(vi, dtype=float)
        if X is None:
            model = mean_model(y, v)
        else:
            design = np.asarray(X, dtype=float)
            model = regression_model(y, v, design, intercept=bool((design[:, 0] == 1).all()))
        return self.finite(model) * model.scale**2

    def finite(self, model: Model) -> float:
        """Return tau2 in the model's unit, or raise a ConvergenceError: never NaN."""
        tau2 = self.estimate(model)
        if not isfinite(tau2):
            raise ConvergenceError(
                f"{self.name} found no finite tau2 for these {model.k} studies: the effects differ by more standard "
                "errors than double precision can hold. Check yi and sei for a unit error, or use method='EE'."
            )
        return tau2


TAU2_ESTIMATORS: dict[str, Tau2Estimator] = {}


def register(
    name: str,
    title: str,
    reference: str,
    *,
    standard_error: StandardError | None = None,
    iterative: bool = False,
) -> Callable[[Estimator], Estimator]:
    """Enter the decorated function in :data:`TAU2_ESTIMATORS` under `name`."""

    def enter(function: Estimator) -> Estimator:
        TAU2_ESTIMATORS[name] = Tau2Estimator(name, title, reference, function, standard_error, iterative)
        return function

    return enter


# ---------------------------------------------------------------------- standard errors


def _moment_se(at: At, v: Array, tau2: float, factor: float) -> float:
    """Return the standard error of ``factor * y'Py`` when ``Var(y) = diag(v) + tau2 I``."""
    variance = (
        2.0 * trace_pdpe(at, v, v) + 4.0 * tau2 * trace_pdpe(at, v, None) + 2.0 * tau2**2 * trace_pdpe(at, None, None)
    )
    return factor * sqrt(max(variance, 0.0))


def _inverse_variance_se(model: Model, tau2: float, factor: float) -> float:
    # With W = V^-1, PV is idempotent of rank k - p, which saves two traces.
    at = model.at(0.0)
    return factor * sqrt(2.0 * model.df + 4.0 * tau2 * at.trP + 2.0 * tau2**2 * at.trPP)


def _dl_se(model: Model, tau2: float) -> float:
    return _inverse_variance_se(model, tau2, 1.0 / model.at(0.0).trP)


def _he_se(model: Model, tau2: float) -> float:
    return _moment_se(_unweighted(model), model.v, tau2, 1.0 / model.df)


def _hs_se(model: Model, tau2: float) -> float:
    return _inverse_variance_se(model, tau2, 1.0 / float((1.0 / model.v).sum()))


def _hsk_se(model: Model, tau2: float) -> float:
    return _hs_se(model, tau2) * model.k / model.df


def _sj_se(model: Model, tau2: float) -> float:
    crude = _crude(model)
    return _moment_se(model.at(crude), model.v, tau2, crude / model.df)


def _q_se(model: Model, tau2: float) -> float:
    # Papers on Q-based estimators give no standard error; this is metafor's, that of the empirical Bayes equation.
    at = model.at(tau2)
    return _moment_se(at, model.v, tau2, model.k / model.df / float(at.w.sum()))


def _ml_se(model: Model, tau2: float) -> float:
    w = 1.0 / (model.v + tau2)
    return sqrt(2.0 / float(w @ w))


def _reml_se(model: Model, tau2: float) -> float:
    return sqrt(2.0 / model.at(tau2).trPP)


# ---------------------------------------------------------------------- estimators


def _common_effect(model: Model) -> float:
    return 0.0


register("EE", "common effect", "Hedges & Vevea (1998), Psychol. Methods 3:486-504.")(_common_effect)
register("FE", "fixed effects", "Hedges & Vevea (1998), Psychol. Methods 3:486-504.")(_common_effect)


@register(
    "DL", "DerSimonian-Laird", "DerSimonian & Laird (1986), Control. Clin. Trials 7:177-188.", standard_error=_dl_se
)
def dersimonian_laird(model: Model) -> float:
    """Method of moments from Cochran's Q with inverse-variance weights."""
    at = model.at(0.0)
    return max(0.0, (at.Q - model.df) / at.trP)


@register(
    "HE",
    "Hedges",
    "Hedges & Olkin (1985), Statistical Methods for Meta-Analysis, Academic Press.",
    standard_error=_he_se,
)
def hedges(model: Model) -> float:
    """Method of moments from the unweighted sum of squares."""
    at = _unweighted(model)
    return max(0.0, (at.Q - trace_pd(at, model.v)) / model.df)


def _unweighted(model: Model) -> At:
    return Model(model.y, np.ones(model.k), model.X, model.rows, 1.0, 0.0).at(0.0)


@register(
    "HS",
    "Hunter-Schmidt",
    "Schmidt & Hunter (2015), Methods of Meta-Analysis, 3rd ed., Sage.",
    standard_error=_hs_se,
)
def hunter_schmidt(model: Model) -> float:
    """Weighted variance of the effects less their average sampling variance."""
    at = model.at(0.0)
    return max(0.0, (at.Q - model.k) / float(at.w.sum()))


@register(
    "HSk",
    "Hunter-Schmidt with small-sample correction",
    "Brannick, Potter, Benitez & Morris (2019), Organ. Res. Methods 22:490-514.",
    standard_error=_hsk_se,
)
def hunter_schmidt_k(model: Model) -> float:
    """Hunter-Schmidt with the weighted variance divided by its degrees of freedom."""
    at = model.at(0.0)
    return max(0.0, (model.k / model.df * at.Q - model.k) / float(at.w.sum()))


@register("SJ", "Sidik-Jonkman", "Sidik & Jonkman (2005), Appl. Stat. 54:367-384.", standard_error=_sj_se)
def sidik_jonkman(model: Model) -> float:
    """Model-error variance from a crude first estimate, the mean squared deviation of the effects."""
    crude = _crude(model)
    return crude / model.df * model.at(crude).Q


def _crude(model: Model) -> float:
    deviation = model.y - model.y.mean()
    return float(deviation @ deviation) / model.k


@register(
    "PM",
    "Paule-Mandel",
    "Paule & Mandel (1982), J. Res. Natl. Bur. Stand. 87:377-385.",
    standard_error=_q_se,
    iterative=True,
)
def paule_mandel(model: Model) -> float:
    r"""Return the root of :math:`Q(\tau^2) = k - p`."""
    return q_root(model, float(model.df))


@register(
    "PMM",
    "median-unbiased Paule-Mandel",
    "Viechtbauer (2021), median-unbiased estimators of heterogeneity, European Congress of Methodology, Valencia.",
    standard_error=_q_se,
    iterative=True,
)
def paule_mandel_median(model: Model) -> float:
    r"""Return the root of :math:`Q(\tau^2)` = median of :math:`\chi^2_{k-p}`."""
    return q_root(model, float(chdtri(model.df, 0.5)))


@register(
    "EB",
    "empirical Bayes",
    "Morris (1983), J. Am. Stat. Assoc. 78:47-55.",
    standard_error=_q_se,
    iterative=True,
)
def empirical_bayes(model: Model) -> float:
    """Morris's empirical Bayes estimator; it solves the equation of Paule and Mandel."""
    return q_root(model, float(model.df))


@register(
    "ML",
    "maximum likelihood",
    "Hardy & Thompson (1996), Stat. Med. 15:619-629.",
    standard_error=_ml_se,
    iterative=True,
)
def maximum_likelihood(model: Model) -> float:
    """Return the global maximum of the likelihood; standard error from the expected information."""
    return maximise(model, restricted=False)


@register(
    "REML",
    "restricted maximum likelihood",
    "Viechtbauer (2005), J. Educ. Behav. Stat. 30:261-293.",
    standard_error=_reml_se,
    iterative=True,
)
def restricted_maximum_likelihood(model: Model) -> float:
    """Return the global maximum of the restricted likelihood; standard error from the expected information."""
    return maximise(model, restricted=True)


def tau2_standard_error(
    effects: EffectSizes, method: str, tau2: float, fixed_weights: Array | None = None
) -> float | None:
    """Return the standard error of an estimate of tau2, or None where the method has none."""
    model = model_of(effects)
    tau2 = tau2 / model.scale / model.scale
    if method == "GENQ" and fixed_weights is not None:
        return generalised_se(model, fixed_weights[model.order], tau2) * model.scale**2
    estimator = TAU2_ESTIMATORS.get(method)
    if estimator is None or estimator.standard_error is None:
        return None
    return estimator.standard_error(model, tau2) * model.scale**2
