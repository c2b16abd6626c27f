"""Integration over one to four parameters: the trapezoidal rule on a lattice that is filled from the modes.

On axes that suit the priors (`engines.axes.parameter_axis`) the rule converges geometrically in every direction, so a
lattice of moderate size is exact to many digits. Only its places that hold something are visited: from each mode
outwards, as long as the density is not negligible. How far the sums over every other place of an axis differ is the
error at twice the step; refining goes on, axis by axis, until that is tolerable.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bayesmeta.engines.axes.parameter_axis import ParameterAxis
from bayesmeta.errors import ConvergenceError
from bayesmeta.values import Array

type Integers = NDArray[np.int64]

# Places kept have a log density above the highest one less that of the tolerance and this: their share is e^-8 of it.
MARGIN = 8.0
# With tails that are a power, places further out are kept for the sake of moments, by the number of axes: in three and
# more they are many, and moments that barely exist are then said not to be there.
HEAVY_DROP = {1: 70.0, 2: 70.0, 3: 35.0, 4: 30.0}
# Widest step: a smooth density on these axes has features of order one.
WIDEST = 0.5
# Evaluations of the likelihood beyond which sampling is quicker.
MOST = 600_000
# Places of the coarse scan along each axis, by the number of axes.
SCAN = {1: 80, 2: 30, 3: 13, 4: 9}
# Local maxima that are followed, and how far below the highest one they matter.
MODES, LOWEST = 8, 60.0
# Half the width of the lattice in places: enough for any axis.
OFFSET = 1 << 14

type Likelihood = Callable[[Array], tuple[Array, Array]]


@dataclass(frozen=True, slots=True, eq=False)
class Lattice:
    """A posterior of d parameters at N places.

    Parameters
    ----------
    axes
        The parameters' axes.
    step, base
        ``(d,)`` spacing, and the place that has the numbers 0.
    place
        ``(N, d)`` numbers of the places.
    psi
        ``(N, d)`` parameters.
    log_density
        ``(N,)`` log density per unit of the axes, unnormalised.
    mass
        ``(N,)`` probabilities.
    extra
        ``(N, m)`` what the likelihood returned beside its value.
    log_total
        Log of the integral.
    errors
        ``(d,)`` how far the sums over every other place of each axis differ, relative: an error of the density of
        each parameter, and an upper bound of the error of everything integrated over them.
    evaluated
        How many times the likelihood was evaluated.
    drop
        Log of the density's peak over that of the last places.
    """

    axes: tuple[ParameterAxis, ...]
    step: Array
    base: Array
    place: Integers
    psi: Array
    log_density: Array
    mass: Array
    extra: Array
    log_total: float
    errors: Array
    evaluated: int
    drop: float = HEAVY_DROP[1]

    def along(self, d: int) -> tuple[Array, Array]:
        """Return evenly spaced places of one axis and their probabilities; both halves of a folded axis."""
        numbers = self.place[:, d]
        low, high = int(numbers.min()), int(numbers.max())
        mass = np.bincount(numbers - low, self.mass, minlength=high - low + 1)
        v = self.base[d] + self.step[d] * np.arange(low, high + 1)
        if self.axes[d].folded:
            whole = np.zeros(high + 1)
            whole[low:] = mass
            half = 0.5 * whole[1:]
            v = self.step[d] * np.arange(-high, high + 1)
            mass = np.concatenate([half[::-1], whole[:1], half])
        pad = self.step[d]
        return np.concatenate([[v[0] - pad], v, [v[-1] + pad]]), np.concatenate([[0.0], mass, [0.0]])


def integrate(
    likelihood: Likelihood, axes: Sequence[ParameterAxis], tolerance: float, *, heavy: bool = False
) -> Lattice:
    """Return the posterior on a lattice whose errors are at most `tolerance`.

    Parameters
    ----------
    likelihood
        Maps ``(n, d)`` parameters to ``(n,)`` log likelihoods and ``(n, m)`` numbers to keep.
    axes
        One for each parameter, with its prior.
    tolerance
        Largest error of the density of each parameter, relative.
    heavy
        Whether a prior's tail is a power: places further out are then kept, for the sake of moments.

    Raises
    ------
    ConvergenceError
        If it takes more evaluations than `MOST`.
    """
    search = _Search(likelihood, tuple(axes), drop_of(tolerance, heavy, len(axes)))
    modes = search.modes()
    # Gaussian densities err by exp(-pi^2 sd^2 / (2 step^2)) at twice the step.
    step = np.min([search.widths(mode) for mode in modes], axis=0) * math.pi / math.sqrt(-2.0 * math.log(tolerance))
    step = np.minimum(step, WIDEST)
    folded = np.array([axis.folded for axis in axes])
    base = np.where(folded, 0.0, modes[0])
    while True:
        lattice = search.filled(modes, step, base)
        worst = lattice.errors > tolerance
        if not worst.any():
            return lattice
        # The log of the error goes as the inverse square of the step.
        share = np.sqrt(np.log(np.minimum(lattice.errors, 0.5)) / math.log(tolerance)) / 1.05
        step = np.where(worst, step * np.clip(share, 0.5, 0.93), step)


def drop_of(tolerance: float, heavy: bool, axes: int) -> float:
    """Return the log of the density's peak over that of the last places kept."""
    least = MARGIN - math.log(tolerance)
    return max(HEAVY_DROP[axes], least) if heavy else least


class _Search:
    """The density on the axes, and how often it was asked for."""

    def __init__(self, likelihood: Likelihood, axes: tuple[ParameterAxis, ...], drop: float) -> None:
        self.likelihood, self.axes, self.drop = likelihood, axes, drop
        self.evaluated = 0

    def at(self, t: Array) -> tuple[Array, Array, Array]:
        """Return log densities, parameters, and what the likelihood keeps, at ``(n, d)`` places."""
        self.evaluated += len(t)
        if self.evaluated > MOST:
            raise ConvergenceError(
                f"The posterior of {', '.join(axis.name for axis in self.axes)} takes more than {MOST} evaluations of "
                "the likelihood. Raise tolerance=, fix a parameter, e.g. with point(0.5), or use engine='nuts'."
            )
        psi = np.column_stack([axis.x(t[:, d]) for d, axis in enumerate(self.axes)])
        value, extra = self.likelihood(psi)
        value = value + sum(axis.log_weight(t[:, d]) for d, axis in enumerate(self.axes))
        return np.where(np.isfinite(value), value, -np.inf), psi, extra

    def modes(self) -> list[Array]:
        """Return the places of local maxima, the highest first."""
        count = SCAN[len(self.axes)]
        grid = [np.linspace(axis.first, axis.last, count) for axis in self.axes]
        t = np.stack(np.meshgrid(*grid, indexing="ij"), axis=-1)
        value = self.at(t.reshape(-1, len(grid)))[0].reshape(t.shape[:-1])
        highest = (value == ndimage.maximum_filter(value, size=3, mode="nearest")) & (value > value.max() - LOWEST)
        starts = t[highest][np.argsort(-value[highest])][:MODES]
        width = np.array([g[1] - g[0] for g in grid])
        found = [self._climbed(start, width) for start in starts]
        return [t for t, _ in sorted(found, key=lambda pair: -pair[1])]

    def _climbed(self, t: Array, width: Array) -> tuple[Array, float]:
        """Return the local maximum near a place, to a hundredth of a unit, and its log density: a search by pattern."""
        star = np.stack(np.meshgrid(*[[-1, 0, 1]] * len(t), indexing="ij"), axis=-1).reshape(-1, len(t))
        width, best = 0.5 * width, -math.inf
        while width.max() > 2e-3:
            around = t + star * width
            value = self.at(around)[0]
            top = int(np.argmax(value))
            if value[top] > best + 1e-12:
                best, t = float(value[top]), around[top]
            else:
                width = 0.5 * width
        return np.where([axis.folded for axis in self.axes], np.abs(t), t), best

    def widths(self, mode: Array) -> Array:
        """Return the standard deviation along each axis near a mode, the other parameters fixed there."""
        near = 1e-2 * np.eye(len(mode))
        value = self.at(np.concatenate([[mode], mode + near, mode - near]))[0]
        bend = (2.0 * value[0] - value[1 : len(mode) + 1] - value[len(mode) + 1 :]) / 1e-4
        return np.asarray(1.0 / np.sqrt(np.maximum(bend, 1e-2)))

    def filled(self, modes: Sequence[Array], step: Array, base: Array) -> Lattice:
        """Return the lattice of all places that hold something and can be reached from a mode."""
        d, folded = len(base), np.array([axis.folded for axis in self.axes])
        near = np.concatenate([np.eye(d, dtype=np.int64), -np.eye(d, dtype=np.int64)])
        front = _unique(np.rint((np.array(modes) - base) / step).astype(np.int64))
        seen, best = np.sort(codes(front)), -math.inf
        found: list[tuple[Integers, Array, Array, Array]] = []
        while len(front):
            value, psi, extra = self.at(base + front * step)
            found.append((front, value, psi, extra))
            best = max(best, float(value.max()))
            onwards = (front[value > best - self.drop][:, None] + near).reshape(-1, d)
            onwards = _unique(onwards[~(folded & (onwards < 0)).any(axis=1)])
            numbers = codes(onwards)
            near_seen = np.searchsorted(seen, numbers).clip(max=len(seen) - 1)
            new = seen[near_seen] != numbers
            # Sorting two sorted pieces is merging them.
            front, seen = onwards[new], np.sort(np.concatenate([seen, numbers[new]]), kind="stable")
        place, value, psi, extra = (np.concatenate(part) for part in zip(*found, strict=True))
        kept = value > best - self.drop
        return self._summed(place[kept], value[kept], psi[kept], extra[kept], step, base)

    def _summed(self, place: Integers, value: Array, psi: Array, extra: Array, step: Array, base: Array) -> Lattice:
        return _sums(self.axes, place, value, psi, extra, step, base, self.evaluated, self.drop)


def evaluated_again(lattice: Lattice, likelihood: Likelihood) -> Lattice:
    """Return the same places with another likelihood, close to the one they were found with."""
    t = lattice.base + lattice.place * lattice.step
    value, extra = likelihood(lattice.psi)
    value = value + sum(axis.log_weight(t[:, d]) for d, axis in enumerate(lattice.axes))
    value = np.where(np.isfinite(value), value, -np.inf)
    return _sums(
        lattice.axes, lattice.place, value, lattice.psi, extra, lattice.step, lattice.base, lattice.evaluated,
        lattice.drop,
    )  # fmt: skip


def _sums(
    axes: tuple[ParameterAxis, ...],
    place: Integers,
    value: Array,
    psi: Array,
    extra: Array,
    step: Array,
    base: Array,
    evaluated: int,
    drop: float,
) -> Lattice:
    folded = np.array([axis.folded for axis in axes])
    peak = float(value.max())
    # Places in the fold belong to both halves.
    mass = np.exp(value - peak) * np.prod(np.where(folded & (place == 0), 0.5, 1.0), axis=1)
    total = float(mass.sum())
    mass = mass / total
    errors = np.array([abs(2.0 * float(mass[place[:, d] % 2 == 0].sum()) - 1.0) for d in range(len(step))])
    log_total = peak + math.log(total) + float(np.log(step).sum())
    return Lattice(axes, step, base, place, psi, value, mass, extra, log_total, errors, evaluated, drop)


def codes(place: Integers) -> Integers:
    """Return one number for each place."""
    return np.asarray((place + OFFSET) @ (1 << 15) ** np.arange(place.shape[1], dtype=np.int64))


def _unique(place: Integers) -> Integers:
    if len(place) == 0:
        return place
    numbers = codes(place)
    order = np.argsort(numbers)
    return np.asarray(place[order[np.concatenate([[True], np.diff(numbers[order]) > 0])]])
