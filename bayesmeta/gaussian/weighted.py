r"""Weighted least squares given tau2: the moments every tau2 estimator is made of.

The model is :math:`y \sim N(X\beta, \mathrm{diag}(v) + \tau^2 I)`. With weights
:math:`w_i = 1 / (v_i + \tau^2)` and :math:`P = W - W X (X'WX)^{-1} X'W`, everything below is a
quadratic form or a trace in :math:`P`, computed in :math:`O(k p^2)` without forming :math:`P`.

Data are held in a normal form: the most precise study comes first (for a regression, all rows are
ordered by precision), effects are measured from it, and everything divided by a power of two near the smallest
standard error. The division is exact, so results are scale-equivariant to the last bit, and one
study that outweighs the rest by many orders of magnitude cancels nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import frexp, ldexp, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from bayesmeta.gaussian.leverage import trace_p
from bayesmeta.values import Array


@dataclass(frozen=True, slots=True)
class Model:
    """Effects, variances and design in normal form; `X` is None for a single common mean.

    ``y * scale + X_original @ shift`` restores the effects, ``tau2 * scale**2`` the variance.
    """

    y: Array
    v: Array
    X: Array | None
    rows: NDArray[np.intp] | int
    scale: float
    shift: float

    @property
    def order(self) -> NDArray[np.intp]:
        """``(k,)`` index of each row in the original data."""
        if not isinstance(self.rows, int):
            return self.rows
        order = np.arange(len(self.y))
        order[0], order[self.rows] = self.rows, 0
        return order

    @property
    def k(self) -> int:
        """Number of studies."""
        return len(self.y)

    @property
    def p(self) -> int:
        """Number of coefficients."""
        return 1 if self.X is None else self.X.shape[1]

    @property
    def df(self) -> int:
        """Residual degrees of freedom, ``k - p``."""
        return len(self.y) - self.p

    def at(self, tau2: float) -> "MeanAt | RegressionAt":
        """Return the weighted fit at `tau2` (in the model's own unit)."""
        if self.X is None:
            return MeanAt(self.y, 1.0 / (self.v + tau2))
        return RegressionAt(self.y, 1.0 / (self.v + tau2), self.X)


def mean_model(yi: Array, vi: Array) -> Model:
    """Return the normal form of `yi`, `vi` with one common mean."""
    first = int(vi.argmin())
    scale = ldexp(1.0, frexp(sqrt(vi[first]))[1])
    shift = float(yi[first])
    y = (yi - shift) / scale
    # Dividing twice keeps scale**2 from underflowing when standard errors are below 1e-154.
    v = vi / scale
    v /= scale
    if first:
        y[0], y[first] = y[first], y[0]
        v[0], v[first] = v[first], v[0]
    return Model(y, v, None, first, scale, shift)


def regression_model(yi: Array, vi: Array, X: Array, *, intercept: bool) -> Model:
    """Return the normal form with design `X`; effects are centred only when `X` spans a constant."""
    base = mean_model(yi, vi)
    order = np.argsort(vi, kind="stable")
    shift = base.shift if intercept else 0.0
    y = (yi[order] - shift) / base.scale
    return Model(y, vi[order] / base.scale / base.scale, X[order], order, base.scale, shift)


class MeanAt:
    """The weighted mean at one tau2, for rows of which the first is the heaviest."""

    def __init__(self, y: Array, w: Array) -> None:
        self.y, self.w = y, w
        rest = w[1:]
        self._rest = float(np.add.reduce(rest))
        self.total = float(w[0]) + self._rest
        self.mean = float(w.dot(y)) / self.total
        self.residual = y - self.mean
        self._wr = w * self.residual
        self.Q = float(self._wr.dot(self.residual))

    @property
    def beta(self) -> Array:
        """``(1,)`` the weighted mean."""
        return np.array([self.mean])

    @property
    def bread(self) -> Array:
        """``(1, 1)`` inverse of ``X'WX``."""
        return np.array([[1.0 / self.total]])

    @property
    def log_det(self) -> float:
        """``log |X'WX|``."""
        return float(np.log(self.total))

    @property
    def yPPy(self) -> float:
        """``y'PPy``, minus the derivative of Q with respect to tau2."""
        return float(self._wr @ self._wr)

    @property
    def yPPPy(self) -> float:
        """``y'PPPy``, half the second derivative of Q."""
        u = self._wr
        return float((self.w * u) @ u) - float(self.w @ u) ** 2 / self.total

    @cached_property
    def trP(self) -> float:
        """``tr P``; the heaviest study is kept apart because ``1 - h`` cancels for it alone."""
        rest = self.w[1:]
        return float(self.w[0]) * self._rest / self.total + self._rest - float(rest.dot(rest)) / self.total

    @cached_property
    def trPP(self) -> float:
        """``tr PP``, by the same split."""
        w0, rest, total = float(self.w[0]), self.w[1:], self.total
        square = rest * rest
        s2, s3 = float(square.sum()), float(square @ rest)
        return (w0 * self._rest / total) ** 2 + s2 - 2.0 * s3 / total + s2 * (2.0 * w0 * w0 + s2) / total**2

    @cached_property
    def basis(self) -> Array:
        """``(k, 1)`` orthonormal basis of the columns of ``W^(1/2) X``."""
        return np.sqrt(self.w / self.total)[:, None]

    @property
    def leverage(self) -> Array:
        """``(k,)`` diagonal of the hat matrix."""
        return self.w / self.total


class RegressionAt:
    """The weighted regression at one tau2, for rows ordered by decreasing weight.

    Householder QR of rows in that order is stable row by row, whatever the spread of the weights.
    """

    def __init__(self, y: Array, w: Array, X: Array) -> None:
        self.y, self.w, self._X = y, w, X
        root = np.sqrt(w)
        self.basis, self._R = np.linalg.qr(X * root[:, None])
        z = root * y
        projected = self.basis.T @ z
        self._e = z - self.basis @ projected
        self.beta: Array = solve_triangular(self._R, projected, check_finite=False)
        self.residual = self._e / root
        self.Q = float(self._e @ self._e)

    @cached_property
    def bread(self) -> Array:
        """``(p, p)`` inverse of ``X'WX``."""
        inverse = solve_triangular(self._R, np.eye(len(self._R)), check_finite=False)
        product: Array = inverse @ inverse.T
        return product

    @property
    def log_det(self) -> float:
        """``log |X'WX|``."""
        return 2.0 * float(np.log(np.abs(np.diag(self._R))).sum())

    @property
    def leverage(self) -> Array:
        """``(k,)`` diagonal of the hat matrix."""
        return np.asarray(np.einsum("ij,ij->i", self.basis, self.basis))

    @property
    def yPPy(self) -> float:
        """``y'PPy``, minus the derivative of Q with respect to tau2."""
        return float(self.w @ self._e**2)

    @property
    def yPPPy(self) -> float:
        """``y'PPPy``, half the second derivative of Q."""
        u = self.w * self._e
        inner = self.basis.T @ u
        return float(u @ u - inner @ inner)

    @cached_property
    def trP(self) -> float:
        """``tr P``."""
        return trace_p(self.w, self._X)

    @cached_property
    def trPP(self) -> float:
        """``tr PP``."""
        return trace_pdpe(self, None, None)


type At = MeanAt | RegressionAt


def trace_pd(at: At, d: Array) -> float:
    """Return ``tr(P D)`` for a diagonal `d`."""
    return float((at.w * d) @ (1.0 - at.leverage))


def trace_pdpe(at: At, d: Array | None, e: Array | None) -> float:
    """Return ``tr(P D P E)`` for diagonals `d`, `e`; None stands for the identity."""
    wd = at.w if d is None else at.w * d
    we = at.w if e is None else at.w * e
    left = at.basis.T @ (wd[:, None] * at.basis)
    right = left if we is wd else at.basis.T @ (we[:, None] * at.basis)
    return float((wd * we) @ (1.0 - 2.0 * at.leverage)) + float((left * right).sum())


def q_root(model: Model, target: float) -> float:
    r"""Return the tau2 >= 0 at which :math:`Q(\tau^2)` equals `target`, or 0 when Q(0) is already below.

    Q is a Stieltjes function of tau2 (a positive mixture of ``1 / (tau2 + lambda)``), so 1/Q is
    concave and increasing: Newton steps on 1/Q from the left never overshoot and need no bracket.
    """
    t = 0.0
    at = model.at(t)
    while target < at.Q:
        slope = at.yPPy
        step = at.Q * (at.Q - target) / (target * slope)
        new = t + step
        if not new > t * (1.0 + 4e-16):
            break
        t, at = new, model.at(new)
    return t


def profile(model: Model, tau2: Array, function: Callable[[At], float]) -> Array:
    """Return `function` of the weighted fit at each of several tau2."""
    return np.array([function(model.at(float(t))) for t in tau2])
