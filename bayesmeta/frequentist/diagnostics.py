"""Which studies drive the result: deletion diagnostics, residuals and the Baujat plot's numbers."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtr

from bayesmeta.errors import DataError
from bayesmeta.frequentist.leave_one_out import LEAVE_ONE_OUT, refit_without, subset
from bayesmeta.frequentist.normal_form import model_of
from bayesmeta.frequentist.pool import CiRule, pool
from bayesmeta.frequentist.result import PooledFit
from bayesmeta.frequentist.small_study import block
from bayesmeta.frequentist.tau2 import DEFAULT_ESTIMATOR
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array, frozen_array

if TYPE_CHECKING:
    import pandas as pd

BAUJAT = "Baujat, Mahe, Pignon & Hill (2002), Stat. Med. 21:2641-2652."


@dataclass(frozen=True, slots=True, eq=False)
class Deletions:
    """The full fit and everything the fits without each study say, in the order of the studies."""

    full: PooledFit
    beta: Array
    vcov: Array
    tau2: Array
    Q: Array
    factor: Array

    @property
    def leverage_total(self) -> Array:
        """``(k,)`` variances of the effects under the full model, ``vi + tau2``."""
        return self.full.effects.vi + (self.full.tau2 or 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Influence:
    """Deletion diagnostics of a pooled fit or meta-regression, one value a study.

    Parameters
    ----------
    hat
        Leverages, diagonal of the hat matrix.
    residual, standardized
        ``yi`` less its fitted value, and that over its standard error (internally studentised).
    rstudent
        Externally studentised: the study against the fit without it.
    pearson
        ``residual / sqrt(vi + tau2)``.
    dffits
        Change of the study's fitted value when it is left out, in standard errors.
    cook_d
        Cook's distance: change of all coefficients together.
    cov_r
        Determinant of the coefficients' covariance without the study, over that with all.
    tau2_del, Q_del
        tau2 and Q without the study.
    dfbetas
        ``(k, p)`` change of each coefficient, in standard errors.
    weight
        Percent.
    influential
        ``(k,)`` True where a rule of `rules` is met.
    """

    fit: PooledFit
    hat: Array
    residual: Array
    standardized: Array
    rstudent: Array
    pearson: Array
    dffits: Array
    cook_d: Array
    cov_r: Array
    tau2_del: Array
    Q_del: Array
    dfbetas: Array
    weight: Array
    influential: NDArray[np.bool_]
    caution: str
    reference: str = LEAVE_ONE_OUT
    rules: str = field(
        default="|DFFITS| > 3 sqrt(p / (k - p)), or Cook's distance beyond the median of chi-squared(p), "
        "or hat > 3 p / k, or any |DFBETAS| > 1"
    )

    @property
    def study(self) -> tuple[str, ...]:
        """Study labels."""
        return self.fit.study

    @property
    def k(self) -> int:
        """Number of studies."""
        return len(self.study)

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame, one row a study."""
        import pandas as pd

        frame = pd.DataFrame({"study": self.study, **{name: getattr(self, name) for name in _COLUMNS}})
        for j, term in enumerate(self.fit.terms):
            frame[f"dfbetas_{term}"] = self.dfbetas[:, j]
        frame["influential"] = self.influential
        return frame

    def __str__(self) -> str:
        shown = ("rstudent", "dffits", "cook_d", "cov_r", "tau2_del", "Q_del", "hat", "weight")
        width = max(len(s) for s in self.study)
        head = " ".join(f"{name:>9}" for name in (*shown, "dfbetas"))
        lines = [f"{'':{width}} {head}"]
        # With moderators the printed DFBETAS is the largest of the study's.
        largest = self.dfbetas[np.arange(self.k), np.abs(self.dfbetas).argmax(axis=1)]
        for i, name in enumerate(self.study):
            numbers = " ".join(f"{v:9.4g}" for v in (*(getattr(self, s)[i] for s in shown), largest[i]))
            lines.append(f"{name:{width}} {numbers}{' *' if self.influential[i] else ''}")
        lines.append(f"* {self.rules}")
        title = f"Influence of each study, {self.fit.method} ({self.fit.ci_rule}), k = {self.k}"
        return block(title, lines, caution=self.caution, reference=self.reference)


_COLUMNS = (
    "hat",
    "weight",
    "residual",
    "pearson",
    "standardized",
    "rstudent",
    "dffits",
    "cook_d",
    "cov_r",
    "tau2_del",
    "Q_del",
)


def influence(effects: EffectSizes, *, method: str = DEFAULT_ESTIMATOR, ci: CiRule = "wald") -> Influence:
    r"""Refit without each study and say how far the study moves the result; tau2 is estimated anew each time.

    Parameters
    ----------
    effects
        ``k`` effects on the analysis scale, at least two more than there are coefficients (2 without moderators).
    method, ci
        As in :func:`pool`. Hartung-Knapp scaling enters every diagnostic that uses the covariance of the coefficients,
        as in metafor.

    Returns
    -------
    Influence
        One value a study, metafor's definitions.

    Raises
    ------
    DataError
        With too few studies, or when the model cannot be fitted without some study (the message names it).

    References
    ----------
    Viechtbauer & Cheung (2010), Res. Synth. Methods 1:112-125.
    """
    deletions = _delete_each(effects, method, ci)
    full, X = deletions.full, effects.X
    assert X is not None
    total = deletions.leverage_total
    hat, free, without = _leave_out(effects, full.tau2 or 0.0)
    residual = free * without
    change = full.beta - deletions.beta
    moved = np.einsum("ij,ij->i", X, change)
    deleted = effects.yi - np.einsum("ij,ij->i", X, deletions.beta)
    predicted = np.einsum("ij,ijk,ik->i", X, deletions.vcov, X)
    total_del = effects.vi + deletions.tau2
    dfbetas = np.array(
        [
            c / np.sqrt(np.diag(_bread(X, effects.vi + t)) * s)
            for c, t, s in zip(change, deletions.tau2, deletions.factor, strict=True)
        ]
    )
    dffits = moved / np.sqrt(hat * total_del * deletions.factor)
    cook_d = np.einsum("ij,jk,ik->i", change, np.linalg.inv(full.vcov), change)
    return Influence(
        fit=full,
        hat=frozen_array(hat),
        residual=frozen_array(residual),
        standardized=frozen_array(without * np.sqrt(free / total)),
        rstudent=frozen_array(deleted / np.sqrt(total_del * deletions.factor + predicted)),
        pearson=frozen_array(residual / np.sqrt(total)),
        dffits=frozen_array(dffits),
        cook_d=frozen_array(cook_d),
        cov_r=frozen_array(np.linalg.det(deletions.vcov) / np.linalg.det(full.vcov)),
        tau2_del=deletions.tau2,
        Q_del=deletions.Q,
        dfbetas=frozen_array(dfbetas),
        weight=full.weights,
        influential=_flags(full, hat, dffits, cook_d, dfbetas),
        caution=_caution(full.k),
    )


def _flags(full: PooledFit, hat: Array, dffits: Array, cook_d: Array, dfbetas: Array) -> NDArray[np.bool_]:
    p, k = full.p, full.k
    flags: NDArray[np.bool_] = (
        (np.abs(dffits) > 3.0 * np.sqrt(p / (k - p)))
        | (chdtr(p, cook_d) > 0.5)
        | (hat > 3.0 * p / k)
        | (np.abs(dfbetas) > 1.0).any(axis=1)
    )
    return flags


def _caution(k: int) -> str:
    text = (
        "The cut-offs are rules of thumb, not tests. A flag asks for a look at the study, it does not allow "
        "leaving it out; studies that mask one another are not found one at a time."
    )
    return text if k >= 10 else f"With {k} studies most studies are influential. " + text


@dataclass(frozen=True, slots=True, eq=False)
class Baujat:
    """Coordinates of the Baujat plot.

    Parameters
    ----------
    x
        ``(k,)`` squared Pearson residual: the study's share of the heterogeneity.
    y
        ``(k,)`` squared change of the study's fitted value without it, in units of its variance: its influence.
    """

    study: tuple[str, ...]
    x: Array
    y: Array
    method: str
    caution: str = (
        "Studies to the right contribute most to heterogeneity, studies at the top move the result most; with fewer "
        "than 10 studies single points say little."
    )
    reference: str = BAUJAT

    @property
    def k(self) -> int:
        """Number of studies."""
        return len(self.study)

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame, one row a study."""
        import pandas as pd

        return pd.DataFrame({"study": self.study, "x": self.x, "y": self.y})

    def __str__(self) -> str:
        width = max(len(s) for s in self.study)
        lines = [f"{'':{width}} {'x':>10} {'y':>10}"]
        order = np.argsort(-self.x, kind="stable")
        lines += [f"{self.study[i]:{width}} {self.x[i]:10.4g} {self.y[i]:10.4g}" for i in order]
        title = f"Baujat plot: contribution to heterogeneity (x) and influence (y), {self.method}, k = {self.k}"
        return block(title, lines, caution=self.caution, reference=self.reference)


def baujat(effects: EffectSizes, *, method: str = DEFAULT_ESTIMATOR, ci: CiRule = "wald") -> Baujat:
    """Return each study's contribution to heterogeneity and its influence on the result.

    Parameters
    ----------
    effects
        As for :func:`influence`.
    method, ci
        As in :func:`pool`; Baujat et al. used the common-effect model, ``method="EE"``.

    Raises
    ------
    DataError
        As for :func:`influence`.

    References
    ----------
    Baujat et al. (2002), Stat. Med. 21:2641-2652.
    """
    deletions = _delete_each(effects, method, ci)
    X = effects.X
    assert X is not None
    residual = effects.yi - X @ deletions.full.beta
    moved = np.einsum("ij,ij->i", X, deletions.full.beta - deletions.beta)
    variance = np.einsum("ij,ijk,ik->i", X, deletions.vcov, X)
    x = frozen_array(residual**2 / deletions.leverage_total)
    return Baujat(effects.study, x, frozen_array(moved**2 / variance), method)


def _delete_each(effects: EffectSizes, method: str, ci: CiRule) -> Deletions:
    assert effects.X is not None
    k, p = effects.X.shape
    if k < p + 1 + (p > 1):
        raise DataError(
            f"Influence needs a fit without each study: at least {p + 1 + (p > 1)} studies for {p} "
            f"coefficient{'s' if p > 1 else ''}, there {'is' if k == 1 else 'are'} {k}."
        )
    full = pool(effects, method=method, ci=ci)
    fits = [refit_without(effects, i, method=method, ci=ci) for i in range(k)]
    keep = [np.arange(k) != i for i in range(k)]
    # The Hartung-Knapp factor of each refit: its covariance over the one without scaling.
    factor = [
        fit.vcov[0, 0] / _bread(effects.X[rows], effects.vi[rows] + (fit.tau2 or 0.0))[0, 0]
        for fit, rows in zip(fits, keep, strict=True)
    ]
    return Deletions(
        full=full,
        beta=frozen_array([fit.beta for fit in fits]),
        vcov=frozen_array([fit.vcov for fit in fits]),
        tau2=frozen_array([fit.tau2 or 0.0 for fit in fits]),
        Q=frozen_array([fit.Q for fit in fits]),
        factor=frozen_array(factor),
    )


def _bread(X: Array, total: Array) -> Array:
    """Return the inverse of ``X'WX`` with ``W = diag(1 / total)``."""
    r = np.linalg.qr(X / np.sqrt(total)[:, None], mode="r")
    inverse = np.linalg.inv(r)
    product: Array = inverse @ inverse.T
    return product


def _leave_out(effects: EffectSizes, tau2: float) -> tuple[Array, Array, Array]:
    """Return leverages ``h``, ``1 - h`` and the residuals from the fits without each study, `tau2` held fixed.

    Both follow from the fit of the other studies, ``(1 - h) / h = total / x'Vx``, so a study that outweighs all the
    others together loses no digits to ``1 - h``.
    """
    X = effects.X
    assert X is not None
    ratio, residual = np.empty(effects.k), np.empty(effects.k)
    for i in range(effects.k):
        form = model_of(subset(effects, np.arange(effects.k) != i))
        at = form.at(tau2 / form.scale / form.scale)
        beta = at.beta * form.scale
        beta[0] += form.shift
        ratio[i] = (X[i] @ at.bread @ X[i]) * form.scale**2 / (effects.vi[i] + tau2)
        residual[i] = effects.yi[i] - X[i] @ beta
    return ratio / (1.0 + ratio), 1.0 / (1.0 + ratio), residual
