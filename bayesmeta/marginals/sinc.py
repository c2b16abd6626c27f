"""A quantity whose density is known at the points of a uniform grid, which is all that is needed of it.

The grid lies on an arcsinh axis, ``x = center + scale * sinh(v)``: it is fine in the middle and reaches
far into heavy tails. On it a smooth density is its own sinc interpolant to within rounding, and the
integral of that is a sum of sine integrals (Stenger 1993, Numerical Methods Based on Sinc and Analytic
Functions, ch. 3-4).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import sici

from bayesmeta.errors import ConvergenceError
from bayesmeta.marginals.search import Searched, invert
from bayesmeta.values import Array, IntervalKind

# First spacing; it is halved until the checks below pass.
FIRST_STEP = 0.2
NEGLIGIBLE = 1e-15
MAX_NODES = 4001
# With more nodes than this the axis is centred on the peak and begun again.
RECENTRED = 1000
# The tip of a peak is where it has lost less than a tenth, and is sought to this share of the space it may lie in.
TIP, SHARPEST = 0.9, 1e-9
# A grid that errs by more than this, relative to the peak, where a peak may be has missed one.
MISSED = 1e-7
# Where the density is first looked at, on one side of the axis: closely near the middle, then in larger strides.
ENCLOSE = np.concatenate([np.arange(0.4, 5.0, 0.4), 5.0 * 1.12 ** np.arange(20)])


@dataclass(frozen=True, slots=True, eq=False)
class SincDensity(Searched):
    """A quantity with a smooth density, tabulated.

    Parameters
    ----------
    v
        ``(n,)`` uniform grid on the arcsinh axis.
    mass
        ``(n,)`` probabilities of the grid points, adding up to one.
    center, scale
        Middle and unit of the axis.
    error
        Largest difference between the interpolant and the density half-way between grid points,
        relative to the peak.
    infinite_sd
        True where the second moment does not exist.
    kind
        ``"posterior prediction"`` for a new study's effect.
    notes
        What does not exist, and why.
    infinite_mean
        Minus infinity or infinity where the mean is that, else 0.
    extra_first, extra_variance
        Share of the mean and of the variance beyond the grid, where a tail is so heavy that there is one.
    measure
        Effect measure whose analysis scale the quantity is on; empty for other quantities.
    """

    v: Array
    mass: Array
    center: float
    scale: float
    error: float
    infinite_sd: bool = False
    kind: IntervalKind = "credible"
    notes: tuple[str, ...] = ()
    extra_first: float = 0.0
    extra_variance: float = 0.0
    infinite_mean: float = 0.0
    measure: str = ""

    @property
    def support(self) -> tuple[float, float]:  # type: ignore[override]
        """The whole line."""
        return (-math.inf, math.inf)

    @property
    def step(self) -> float:
        """Spacing of the grid."""
        return float(self.v[1] - self.v[0])

    @property
    def x(self) -> Array:
        """``(n,)`` grid points, in the unit of the quantity."""
        return np.asarray(self.center + self.scale * np.sinh(self.v))

    def _offsets(self, x: Array) -> Array:
        return np.asarray((np.arcsinh((x - self.center) / self.scale)[:, None] - self.v) / self.step)

    def _cdf(self, x: Array) -> Array:
        value = (0.5 + sici(np.pi * self._offsets(x))[0] / np.pi) @ self.mass
        return np.clip(value, 0.0, 1.0)

    def _sf(self, x: Array) -> Array:
        value = (0.5 - sici(np.pi * self._offsets(x))[0] / np.pi) @ self.mass
        return np.clip(value, 0.0, 1.0)

    def _pdf(self, x: Array) -> Array:
        z = (x - self.center) / self.scale
        basis = sinc_basis((np.arcsinh(z) - self.v[0]) / self.step, np.arange(float(len(self.v))))
        return np.maximum(basis @ self.mass, 0.0) / (self.step * self.scale * np.sqrt(1.0 + z * z))

    def _logpdf(self, x: Array) -> Array:
        with np.errstate(divide="ignore"):
            return np.log(self._pdf(x))

    def mean(self) -> float:
        """Return the mean; infinite where the notes say so."""
        if self.infinite_mean:
            return self.infinite_mean
        return self.center + self.scale * float(self.mass @ np.sinh(self.v)) + self.extra_first

    def sd(self) -> float:
        """Return the standard deviation; infinite where the notes say so."""
        if self.infinite_sd:
            return math.inf
        z = np.sinh(self.v)
        return math.hypot(
            self.scale * math.sqrt(float(self.mass @ (z - float(self.mass @ z)) ** 2)), math.sqrt(self.extra_variance)
        )

    def _ppf(self, q: Array) -> Array:
        out = np.where(q <= 0.0, -np.inf, np.inf)
        for chosen, rising in (((q > 0.0) & (q <= 0.5), True), ((q > 0.5) & (q < 1.0), False)):
            if chosen.any():
                out[chosen] = self._tail_quantile(q[chosen] if rising else 1.0 - q[chosen], rising)
        return out

    def _tail_quantile(self, tail: Array, rising: bool) -> Array:
        running = np.cumsum(self.mass)
        near = np.searchsorted(running, tail if rising else 1.0 - tail).clip(0, len(self.v) - 1)
        x = self.x
        # The running sum is a rough cdf: the quantile is within a few grid points of where it says.
        low, high = x[np.maximum(near - 4, 0)], x[np.minimum(near + 4, len(x) - 1)]
        function = self._cdf if rising else self._sf
        return invert(
            lambda at: np.maximum(function(at), 1e-30),
            self._pdf,
            np.log(tail),
            rising,
            (low, high),
            x[near],
            self.scale,
        )


def sinc_basis(w: Array, m: Array) -> Array:
    """Return ``sinc(w - m)`` for every place `w` (any shape) and every whole number `m`, along a last axis.

    One sine a place instead of one an element: ``sin(pi (w - m))`` differs between grid points by its sign only.
    """
    nearest = np.rint(w)
    rest = w - nearest
    top = np.sin(np.pi * rest) / np.pi * (1.0 - 2.0 * (nearest % 2.0))
    # On a grid point the series is one at that point and zero elsewhere: 1e-300 / 1e-300 and 0.
    exact = rest == 0.0
    gap = w[..., None] - m
    if exact.any():
        top = np.where(exact, 1e-300 * (1.0 - 2.0 * (nearest % 2.0)), top)
        gap[gap == 0.0] = 1e-300
    np.divide(top[..., None], gap, out=gap)
    gap *= 1.0 - 2.0 * (m % 2.0)
    return np.asarray(gap)


def tabulate(
    density: Callable[[Array], Array],
    center: float,
    scale: float,
    *,
    tolerance: float = 1e-11,
    kind: IntervalKind = "credible",
    about: str = "a posterior density",
    places: Array | None = None,
) -> SincDensity:
    """Return the quantity with the given density, on a grid that was refined until it represents it.

    Parameters
    ----------
    density
        Maps ``(n,)`` values to densities, up to a constant.
    center, scale
        Rough mean and standard deviation.
    tolerance
        Largest error of the interpolated density, relative to its peak.
    about
        What it is the density of, for messages.
    places
        Values where there may be a peak so narrow that a grid would miss it.

    Raises
    ------
    ConvergenceError
        If no grid of a sensible size encloses and resolves the density.
    """

    n = RECENTRED
    while True:

        def at(v: Array, center: float = center, scale: float = scale) -> Array:
            return np.asarray(density(center + scale * np.sinh(v)) * np.cosh(v))

        look = np.arcsinh(((np.empty(0) if places is None else places) - center) / scale)
        low, high = _enclose(at, about, look)
        v = np.linspace(low, high, max(16, math.ceil((high - low) / FIRST_STEP)) + 1)
        v, g, error = _refined(at, v, tolerance, n, look[(look > low) & (look < high)])
        if error <= tolerance:
            return SincDensity(v, g / g.sum(), center, scale, error, kind=kind)
        if n == MAX_NODES:
            break
        # A narrow peak beside the middle of the axis takes many nodes; at the middle it takes few.
        (center, scale), n = _peak(density, center + scale * np.sinh(v), g / np.cosh(v)), MAX_NODES
    raise ConvergenceError(
        f"Quadrature of {about}: it was not resolved with {len(v)} nodes between {center + scale * math.sinh(low):.4g} "
        f"and {center + scale * math.sinh(high):.4g}. Use engine='nuts', and report the data as a bug."
    )


def _refined(
    at: Callable[[Array], Array], v: Array, tolerance: float, most: int, look: Array
) -> tuple[Array, Array, float]:
    """Return a grid, the values there and their error, once that is tolerable or there are more nodes than `most`.

    The error is looked for half-way between nodes, and at the places `look`.
    """
    g, error = at(v), math.inf
    while error > tolerance and len(v) <= most:
        step = v[1] - v[0]
        between = v[:-1] + 0.5 * step
        known = at(between)
        guess = sinc_basis((between - v[0]) / step, np.arange(float(len(v)))) @ g
        # Halving the step squares the error of a sinc interpolant; half of that is counted on.
        error = float(np.max(np.abs(guess - known)) / np.max(g)) ** 1.5
        v, g = _interleave(v, between), _interleave(g, known)
        if error <= tolerance and look.size:
            guess = sinc_basis((look - v[0]) / (v[1] - v[0]), np.arange(float(len(v)))) @ g
            missed = float(np.max(np.abs(guess - at(look))) / np.max(g))
            error = missed if missed > MISSED else error
    return v, g, error


def _peak(density: Callable[[Array], Array], x: Array, value: Array) -> tuple[float, float]:
    """Return where a tabulated density is highest, and how wide its tip is, which may fit between two places."""
    top = int(np.clip(np.argmax(value), 1, len(x) - 2))
    low, high = float(x[top - 1]), float(x[top + 1])

    def fallen(at: float) -> float:
        return -float(density(np.array([at]))[0])

    found = minimize_scalar(fallen, bounds=(low, high), method="bounded", options={"xatol": SHARPEST * (high - low)})
    peak = float(found.x)
    away = (x[-1] - x[0]) * 0.5 ** np.arange(60.0)
    sides = 0.5 * (density(peak - away) + density(peak + away))
    return peak, 2.0 * float(away[np.argmax(sides > TIP * -found.fun)])


def _enclose(at: Callable[[Array], Array], about: str, look: Array) -> tuple[float, float]:
    """Return the ends of the axis beyond which the density is negligible, also at the places `look`."""
    inner = look[np.abs(look) < ENCLOSE[-1]]
    v = np.sort(np.concatenate([-ENCLOSE, [0.0], ENCLOSE, inner]))
    g = at(v)
    used = np.flatnonzero(g > NEGLIGIBLE * g.max())
    if used[0] == 0 or used[-1] == len(v) - 1:
        raise ConvergenceError(
            f"Quadrature of {about}: it does not die away. Use priors with lighter tails, or engine='nuts'."
        )
    return float(v[used[0] - 1]), float(v[used[-1] + 1])


def _interleave(a: Array, b: Array) -> Array:
    out = np.empty(len(a) + len(b))
    out[::2], out[1::2] = a, b
    return out
