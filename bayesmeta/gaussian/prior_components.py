"""Priors of the coefficients as finite mixtures of normals, in the form the closed formulas need."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from bayesmeta.errors import ModelError
from bayesmeta.priors import Prior, fixed_value
from bayesmeta.values import Array

MAX_COMPONENTS = 8000
CLOSED = frozenset({"flat", "normal", "student_t", "cauchy"})


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """``C`` normal components of the joint prior of ``p`` coefficients.

    Parameters
    ----------
    log_weight
        ``(C,)`` logs of the mixture weights.
    precision
        ``(C, p, p)``; a flat coefficient has precision 0.
    weighted
        ``(C, p)`` precision times mean.
    quadratic
        ``(C,)`` mean' precision mean.
    half_logdet
        ``(C,)`` half the log determinant of the proper part's precision.
    flat
        ``(p,)`` which coefficients have a flat prior.
    """

    log_weight: Array
    precision: Array
    weighted: Array
    quadratic: Array
    half_logdet: Array
    flat: Array

    @property
    def n_flat(self) -> int:
        """Number of coefficients with a flat prior."""
        return int(self.flat.sum())

    def __len__(self) -> int:
        return len(self.log_weight)

    def take(self, index: NDArray[np.intp]) -> "Components":
        """Return the components at `index`."""
        return Components(
            self.log_weight[index],
            self.precision[index],
            self.weighted[index],
            self.quadratic[index],
            self.half_logdet[index],
            self.flat,
        )

    def transformed(self, S: Array, origin: Array) -> "Components":
        """Return the same prior for gamma, where ``beta = origin + S gamma``.

        The evidence does not change: the Jacobian goes into ``half_logdet``.
        """
        if len(S) == 0:
            return self
        shift = self.weighted - np.einsum("cij,j->ci", self.precision, origin)
        quadratic = (
            self.quadratic - 2.0 * self.weighted @ origin + np.einsum("i,cij,j->c", origin, self.precision, origin)
        )
        jacobian = math.log(abs(float(np.linalg.det(S)))) if len(S) > 1 else math.log(abs(float(S[0, 0])))
        return Components(
            self.log_weight,
            S.T @ self.precision @ S,
            shift @ S,
            quadratic,
            self.half_logdet + jacobian,
            self.flat,
        )


# One coefficient's prior: log weights, means and precisions of its components.
type Normals = tuple[Array, Array, Array]


def components(priors: Sequence[Prior], terms: Sequence[str], fineness: float = 1.0) -> Components:
    """Return the joint prior of independent coefficients.

    Parameters
    ----------
    fineness
        Multiplies the number of nodes that stand for a Student-t prior's scale.

    Raises
    ------
    ModelError
        If a prior is neither flat, normal, Student-t or Cauchy nor a mixture of these.
    """
    if not priors:
        return Components(
            np.zeros(1), np.zeros((1, 0, 0)), np.zeros((1, 0)), np.zeros(1), np.zeros(1), np.zeros(0, bool)
        )
    parts = [normals(prior, term, fineness) for prior, term in zip(priors, terms, strict=True)]
    size = math.prod(len(part[0]) for part in parts)
    if size > MAX_COMPONENTS:
        raise ModelError(
            f"The priors of {', '.join(terms)} make {size} normal components, more than {MAX_COMPONENTS}: at most one "
            "coefficient may have a Student-t or Cauchy prior with engine='quadrature'. Use engine='nuts'."
        )
    picks = np.array(list(product(*(range(len(part[0])) for part in parts))))
    columns = [tuple(values[picks[:, j]] for values in part) for j, part in enumerate(parts)]
    log_weight = np.sum([c[0] for c in columns], axis=0)
    mean, precision = (np.column_stack([c[i] for c in columns]) for i in (1, 2))
    flat = np.array([not prior.proper for prior in priors])
    log_precision = np.log(np.where(flat, 1.0, precision))
    return Components(
        log_weight,
        precision[:, :, None] * np.eye(len(terms)),
        precision * mean,
        np.sum(precision * mean**2, axis=1),
        0.5 * log_precision.sum(axis=1),
        flat,
    )


def is_normal_mixture(prior: Prior) -> bool:
    """Return whether a prior is flat, fixed, normal, Student-t or Cauchy, or a mixture of such."""
    parts = getattr(prior, "components", None)
    if parts:
        return all(is_normal_mixture(part) for part in parts)
    return fixed_value(prior) is not None or getattr(prior, "name", "") in CLOSED


def normals(prior: Prior, term: str, fineness: float = 1.0) -> Normals:
    """Return one coefficient's prior as normal components."""
    name = prior.structure.partition("(")[0]
    kind = getattr(prior, "name", name)
    if kind == "flat":
        return np.zeros(1), np.zeros(1), np.zeros(1)
    if kind == "normal":
        return np.zeros(1), np.array([prior.loc]), np.array([prior.scale**-2.0])  # type: ignore[attr-defined]
    if kind in ("student_t", "cauchy"):
        df = prior.df if kind == "student_t" else 1.0  # type: ignore[attr-defined]
        return student_t(df, prior.loc, prior.scale, fineness)  # type: ignore[attr-defined]
    if hasattr(prior, "components"):
        weights: tuple[float, ...] = prior.weights  # type: ignore[attr-defined]
        total = math.fsum(weights)
        parts = [
            (math.log(w / total), normals(part, term, fineness))
            for w, part in zip(weights, prior.components, strict=True)
        ]
        return (
            np.concatenate([w + part[0] for w, part in parts]),
            np.concatenate([part[1] for _, part in parts]),
            np.concatenate([part[2] for _, part in parts]),
        )
    raise ModelError(
        "Many analyses at once, and regressions, take flat, normal, Student-t and Cauchy priors and their mixtures for "
        f"{term}, not {prior!r}. Fit a mean effect one analysis at a time with bayesmeta.fit, use engine='nuts', or "
        "approximate the prior by a mixture of normals."
    )


def log_step(df: float) -> float:
    """Return the step in the log precision from one component of a Student-t prior to the next."""
    return min(0.3, 0.7 / math.sqrt(0.5 * df + 0.5))


def student_t(df: float, loc: float, scale: float, fineness: float = 1.0) -> Normals:
    """Return Student-t(df, loc, scale) as normals: ``loc + scale * N(0, 1) / sqrt(g)``, ``g ~ Gamma(df/2, df/2)``.

    The trapezoidal rule in log g converges geometrically, because every likelihood is analytic and slow there.
    The step follows the width of log g; the ends are where what is left out is below 1e-17.
    """
    half = 0.5 * df
    step = log_step(df) / fineness
    # s = log g has density exp(half * (s - exp(s))). Left far enough for data that contradict the prior by
    # exp(45) scales, and for the prior's own tail exp(half * s) to fall below 1e-17.
    left = -min(90.0 + 40.0 / half, 3000.0 * step, 600.0)
    right = math.log(1.0 + math.sqrt(90.0 / half) + 45.0 / half)
    s = np.arange(math.floor(left / step), math.ceil(right / step) + 1) * step
    log_weight = half * math.log(half) - math.lgamma(half) + half * (s - np.exp(s)) + math.log(step)
    return np.asarray(log_weight), np.full(len(s), float(loc)), np.exp(s) / scale**2
