r"""REML and ML of models with several variance components: the classical twin of `multilevel` and its like.

.. math:: y \sim N\bigl(X\beta,\; V + \textstyle\sum_j s_j(\psi) B_j\bigr)

The model is the one that the Bayesian engine fits, stated in the same file; its priors are left out.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import chdtrc, chdtri, ndtr, ndtri, stdtr, stdtrit

from bayesmeta.errors import DataError, ModelError, unknown
from bayesmeta.frequentist.reml import Likelihood, Method, maximum
from bayesmeta.frequentist.robust import Robust, Working, robust_vcov
from bayesmeta.gaussian.blup import effects as predicted_effects
from bayesmeta.gaussian.covariance import Covariance
from bayesmeta.gaussian.statement import Gaussian
from bayesmeta.model import Model, load_model
from bayesmeta.studies import DiagnosticTable, EffectSizes
from bayesmeta.values import Array, FrozenMap, Interval, Travels, frozen_array
from bayesmeta.words import joined

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class ComponentsFit(Travels):
    """A classical fit with several variance components, on the analysis scale.

    Parameters
    ----------
    model
        Name of the model.
    method
        ``"REML"`` or ``"ML"``.
    robust
        Kind of the cluster-robust covariance; None for the model's own.
    level
        Confidence level.
    terms, beta, vcov
        ``(p,)`` names, coefficients, and their ``(p, p)`` covariance.
    df
        ``(p,)`` degrees of freedom of t; None where the normal distribution is used.
    psi
        Variance parameters by name: standard deviations and correlations.
    loglik
        Log likelihood, restricted for REML (with ``0.5 log |X'X|``, as metafor's).
    Q, Q_df, Q_p
        Test of any heterogeneity: weighted squared residuals without random effects.
    k, n
        Studies or clusters, and rows.
    """

    model: str
    method: Method
    robust: Robust | None
    level: float
    terms: tuple[str, ...]
    beta: Array
    vcov: Array
    df: Array | None
    psi: Mapping[str, float]
    loglik: float
    Q: float
    Q_df: int
    Q_p: float
    k: int
    n: int
    likelihood: Likelihood
    fixed: Mapping[str, float]

    @property
    def given(self) -> Gaussian:
        """The model's rows, design and random effects."""
        return self.likelihood.given

    @property
    def mu(self) -> float:
        """Mean effect, of a model with one."""
        if len(self.beta) != 1:
            raise ModelError(f"There is no one mean effect but the coefficients {', '.join(self.terms)}: use .beta.")
        return float(self.beta[0])

    @property
    def se(self) -> Array:
        """``(p,)`` standard errors."""
        return np.asarray(np.sqrt(np.diagonal(self.vcov)))

    @property
    def statistic(self) -> Array:
        """``(p,)`` coefficients over their standard errors."""
        return np.asarray(self.beta / self.se)

    @property
    def p_value(self) -> Array:
        """``(p,)`` two-sided p-values."""
        at = -np.abs(self.statistic)
        return np.asarray(2.0 * (ndtr(at) if self.df is None else stdtr(self.df, at)))

    @property
    def ci(self) -> tuple[Interval, ...]:
        """Confidence interval of each coefficient."""
        tail = 0.5 * (1.0 + self.level)
        reach = ndtri(tail) if self.df is None else stdtrit(self.df, tail)
        rule = "wald" if self.df is None else self.robust or "t"
        return tuple(
            Interval(float(b - d), float(b + d), self.level, "confidence", rule)
            for b, d in zip(self.beta, reach * self.se, strict=True)
        )

    @property
    def tau2(self) -> float | Mapping[str, float]:
        """Variance between studies or clusters; by outcome where there are several."""
        several = {name[4:-1]: value**2 for name, value in self.psi.items() if name.startswith("tau[")}
        return several or self.psi["tau"] ** 2

    @property
    def omega2(self) -> float:
        """Variance between effects of one cluster."""
        if "omega" not in self.psi:
            raise ModelError(f"Model {self.model!r} has no omega: {', '.join(self.psi)}.")
        return self.psi["omega"] ** 2

    @property
    def rho(self) -> float | None:
        """Correlation between random effects; None where the model has none."""
        return self.psi.get("rho")

    @property
    def parameters(self) -> int:
        """Number of estimated coefficients and variance parameters."""
        return len(self.beta) + len(self.psi) - len(self.fixed)

    @property
    def aic(self) -> float:
        """Akaike's criterion."""
        return -2.0 * self.loglik + 2.0 * self.parameters

    @property
    def bic(self) -> float:
        """Schwarz's criterion; with REML for the rows less the coefficients, as metafor's."""
        n = self.n - len(self.beta) if self.method == "REML" else self.n
        return -2.0 * self.loglik + self.parameters * math.log(n)

    @cached_property
    def _psi(self) -> Array:
        return np.array([list(self.psi.values())])

    def blup(self) -> "pd.DataFrame":
        """Return the predicted true effects that the model reports, with their standard errors.

        Standard errors include that of the coefficients (Robinson 1991, Statistical Science 6:15-32).
        """
        import pandas as pd

        given, rows = self.given, {}
        model_vcov = np.linalg.inv(self.likelihood.parts(self._psi)[1][0])
        for label, effect in given.reported.items():
            found = predicted_effects(self.likelihood.covariance, self._psi, effect, given.X, given.y)
            slope = found.slope[0]
            variance = found.variance[0] + slope @ model_vcov @ slope
            rows[label] = {"estimate": float(found.base[0] + slope @ self.beta), "se": math.sqrt(float(variance))}
        return pd.DataFrame.from_dict(rows, orient="index")

    def predict(self) -> tuple[Interval, ...]:
        """Return prediction intervals of new true effects, e.g. a new row of a new study, as the model states them."""
        found = []
        for effect in self.given.predicted.values():
            at = predicted_effects(self.likelihood.covariance, self._psi, effect, self.given.X, self.given.y)
            center = float(effect.x @ self.beta)
            sd = math.sqrt(float(effect.x @ self.vcov @ effect.x + at.variance[0]))
            tail = 0.5 * (1.0 + self.level)
            reach = sd * float(ndtri(tail) if self.df is None else stdtrit(self.df.min(), tail))
            found.append(Interval(center - reach, center + reach, self.level, "prediction", "normal"))
        return tuple(found)

    def profile_interval(self, name: str) -> Interval:
        """Return the profile likelihood interval of a variance parameter: SDs and correlations on their own scale.

        Raises
        ------
        ModelError
            If there is no such parameter, or it was fixed.
        """
        if name not in self.psi or name in self.fixed:
            raise unknown("estimated variance parameter:", name, [n for n in self.psi if n not in self.fixed])
        names = list(self.psi)
        place = names.index(name)
        known = {names.index(n): v for n, v in self.fixed.items()}
        drop = 0.5 * float(chdtri(1, 1.0 - self.level))

        def lacks(value: float) -> float:
            best = maximum(self.likelihood, {**known, place: value})
            return float(self.likelihood(best[None])[0]) - self.loglik + drop

        at = self.psi[name]
        low_end, high_end = (0.0, math.inf) if place < len(self.given.components) else (-1.0, 1.0)
        low = low_end if lacks(low_end) >= 0.0 or at <= low_end else float(brentq(lacks, low_end, at, xtol=1e-9))
        if high_end == 1.0:
            high = 1.0 if lacks(1.0) >= 0.0 else float(brentq(lacks, at, 1.0, xtol=1e-9))
        else:
            end = 2.0 * max(at, float(np.std(self.given.y)), 1e-8)
            while lacks(end) > 0.0:
                end *= 2.0
            high = float(brentq(lacks, at, end, xtol=1e-9))
        return Interval(low, high, self.level, "confidence", "profile likelihood")

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame, one row a coefficient."""
        import pandas as pd

        columns: dict[str, Any] = {"beta": self.beta, "se": self.se, "statistic": self.statistic, "p": self.p_value}
        columns["low"], columns["high"] = zip(*self.ci, strict=True)
        if self.df is not None:
            columns["df"] = self.df
        return pd.DataFrame(columns, index=list(self.terms))

    def __str__(self) -> str:
        robust = f", {self.robust} standard errors" if self.robust else ""
        lines = [f"{self.model} by {self.method}{robust}: {self.n} rows of {self.k} studies; analysis scale"]
        for j, term in enumerate(self.terms):
            low, high = self.ci[j]
            df = "" if self.df is None else f", df {self.df[j]:.1f}"
            lines.append(
                f"  {term}: {self.beta[j]:.4f}, SE {self.se[j]:.4f}, {100 * self.level:g}% CI {low:.4f} to {high:.4f}"
                f"{df}, p {self.p_value[j]:.4f}"
            )
        for name, value in self.psi.items():
            lines.append(f"  {name}: {value:.4f}{' (fixed)' if name in self.fixed else ''}")
        fit = f"log likelihood {self.loglik:.4f}, AIC {self.aic:.2f}"
        lines.append(f"  Q({self.Q_df}) = {self.Q:.2f}, p {self.Q_p:.4g}; {fit}")
        return "\n".join(lines)


def components(
    effects: Any,
    *,
    model: str | Path | Model = "multilevel",
    method: Method = "REML",
    robust: Robust | None = None,
    test: Literal["z", "t"] = "z",
    fixed: Mapping[str, float] | None = None,
    level: float = 0.95,
) -> ComponentsFit:
    """Return the REML or ML fit of a normal hierarchical model.

    Parameters
    ----------
    effects
        What the model takes, e.g. `EffectSizes` with several rows a study.
    model
        A model that states itself as a normal one; its priors are not used.
    method
        ``"REML"`` or ``"ML"``.
    robust
        ``"CR0"``, ``"CR1"``, ``"CR1S"``, ``"CR2"`` or ``"CR3"``: covariance of the coefficients that holds whatever the
        correlations within a cluster are, with t and Satterthwaite's degrees of freedom; None for the model's own.
    test
        Without `robust`: ``"z"``, or ``"t"`` with as many degrees of freedom as the coarsest level has that a column
        varies between, less the coefficients ("contain").
    fixed
        Variance parameters that are known, by name, e.g. ``{"omega": 0.0}``.
    level
        Confidence level.

    Raises
    ------
    ModelError
        If the model does not state itself as a normal one, or an option is unknown.
    DataError
        If the data are not what the model takes, or there are too few clusters for robust standard errors.

    References
    ----------
    Viechtbauer (2010), J. Stat. Softw. 36(3); Konstantopoulos (2011), Res. Synth. Methods 2:61-76.
    """
    if method not in ("REML", "ML"):
        raise unknown("method =", method, ("REML", "ML"))
    if test not in ("z", "t"):
        raise unknown("test =", test, ("z", "t"))
    if not 0.0 < level < 1.0:
        raise ModelError(f"level is {level!r}; it is a coverage strictly between 0 and 1, e.g. 0.95 for 95%.")
    loaded = load_model(model)
    if loaded.gaussian is None:
        raise ModelError(f"Model {loaded.name!r} does not state itself as a normal one, so it has no REML fit.")
    if not isinstance(effects, loaded.data_type):
        raise DataError(
            f"Model {loaded.name!r} takes {loaded.data_type.__name__}, but was given {type(effects).__name__}."
        )
    if isinstance(effects, EffectSizes):
        _check_rows(effects, loaded)
    given = loaded.gaussian(effects, loaded.priors)
    names = list(given.parameters)
    for name in fixed or {}:
        if name not in names:
            raise unknown("variance parameter:", name, names)
    likelihood = Likelihood.of(given, method)
    psi = maximum(likelihood, {names.index(n): float(v) for n, v in (fixed or {}).items()})
    _, A, u, _ = likelihood.parts(psi[None])
    vcov = np.linalg.inv(A[0])
    beta = vcov @ u[0]
    df = _contained(given, likelihood.covariance) if test == "t" else None
    if robust is not None:
        vcov, df = robust_vcov(_working(likelihood, psi, beta, effects), robust)
    Q = float(Likelihood.of(given, method).parts(np.zeros((1, len(names))))[3][0])
    rank = given.n - len(beta)
    return ComponentsFit(
        model=loaded.name,
        method=method,
        robust=robust,
        level=level,
        terms=given.terms,
        beta=frozen_array(beta),
        vcov=frozen_array(vcov),
        df=None if df is None else frozen_array(df),
        psi=FrozenMap(dict(zip(names, psi.tolist(), strict=True))),
        loglik=float(likelihood(psi[None])[0]),
        Q=Q,
        Q_df=rank,
        Q_p=float(chdtrc(rank, Q)),
        k=int(getattr(effects, "k", given.n)),
        n=given.n,
        likelihood=likelihood,
        fixed=FrozenMap({n: float(v) for n, v in (fixed or {}).items()}),
    )


def _check_rows(effects: EffectSizes, model: Model) -> None:
    """Refuse moderators and dependent rows that the model would leave out without a word."""
    if effects.moderators and not model.takes_moderators:
        raise DataError(
            f"The effects have moderators ({joined(effects.moderators)}), and model {model.name!r} does not use them: "
            "use model='multilevel' or 'meta_regression', or leave them out of the effect sizes."
        )
    if not model.takes_dependent_rows:
        effects.check_independent(f"Model {model.name!r}")


def _working(likelihood: Likelihood, psi: Array, beta: Array, effects: Any) -> Working:
    given, covariance = likelihood.given, likelihood.covariance
    rows = np.arange(given.n)
    Phi = covariance.known(rows) + np.tensordot(covariance.scales(psi[None])[0], covariance.matrices(rows), 1)
    # Blocks that clusters do not hold together would be taken for independent.
    cluster = getattr(effects, "cluster", None) or given.study
    for block in covariance.blocks:
        if len({cluster[i] for i in block}) > 1:
            cluster = tuple(cluster[block[0]] if i in set(block) else label for i, label in enumerate(cluster))
    return Working(given.X, given.y - given.X @ beta, Phi, tuple(cluster))


def _contained(given: Gaussian, covariance: Covariance) -> Array:
    """Return degrees of freedom by containment: rows or levels between which a column varies, less the coefficients."""
    n, p = given.X.shape
    found = np.full(p, float(n - p))
    for loading in covariance.loadings:
        for j in range(p):
            values = [given.X[loading.level == level, j] for level in range(len(loading.names))]
            if all(np.ptp(value) == 0.0 for value in values if value.size):
                found[j] = min(found[j], len(loading.names) - p)
    return np.asarray(np.maximum(found, 1.0))


def diagnostic(
    tables: DiagnosticTable, *, method: Method = "REML", robust: Robust | None = None, level: float = 0.95
) -> ComponentsFit:
    """Return the bivariate model of sensitivity and specificity by REML or ML, coefficients on the logit scale.

    Specificity takes the place of the false positive rate of Reitsma's model: its coefficient, and the correlation,
    have the other sign; everything else is the same.

    Parameters
    ----------
    tables
        True and false positives and negatives.
    method
        ``"REML"`` or ``"ML"``.
    robust
        As in `components`.
    level
        Confidence level.

    References
    ----------
    Reitsma et al. (2005), J. Clin. Epidemiol. 58:982-990.
    """
    return components(tables, model="diagnostic_accuracy", method=method, robust=robust, level=level)
