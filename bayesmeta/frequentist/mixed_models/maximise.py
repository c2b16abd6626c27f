"""Maximum of a smooth log likelihood of a few parameters, with the curvature there."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize

from bayesmeta.errors import ConvergenceError
from bayesmeta.values import Array

type Objective = Callable[[Array], float]
# Step of second differences, and of the finer ones in standard errors; polishing ends where steps are this small.
FIRST_STEP, STEP, SETTLED, POLISH = 2e-3, 0.1, 1e-8, 12


@dataclass(frozen=True, slots=True, eq=False)
class Maximum:
    """Where a log likelihood is largest: ``(p,)`` place, value, ``(p, p)`` minus second derivatives."""

    at: Array
    value: float
    information: Array

    def variance(self, i: int) -> float:
        """Return the variance of one parameter, the others being estimated too.

        Raises
        ------
        ConvergenceError
            If the log likelihood is flat there.
        """
        try:
            found = float(np.linalg.inv(self.information)[i, i])
        except np.linalg.LinAlgError:
            found = np.nan
        if not found > 0.0:
            raise ConvergenceError(
                "The log likelihood is flat at its maximum, so that the estimate has no standard error. Use fewer "
                "parameters (method='EE', or model='CM.EL')."
            )
        return found


def maximise(objective: Objective, starts: list[Array]) -> Maximum:
    """Return the maximum of a log likelihood, from the best of several starts.

    Raises
    ------
    ConvergenceError
        If it has none, as where the effect or a variance goes to infinity.
    """
    best = max(starts, key=objective)
    simplex = np.vstack([best, best + 0.2 * np.eye(len(best))])
    # The simplex need only come near: the last steps are Newton's.
    options: Any = {"xatol": 1e-3, "fatol": 1e-6, "maxiter": 4000, "maxfev": 4000, "initial_simplex": simplex}

    def negative(p: Any) -> float:
        return -objective(p)

    found: Any = minimize(negative, np.asarray(best, dtype=float).tolist(), method="Nelder-Mead", options=options)
    at, step = np.asarray(found.x, dtype=float), np.full(len(best), FIRST_STEP)
    if not found.success or not np.isfinite(found.fun) or np.abs(at).max() > 50.0:
        raise ConvergenceError(
            "The log likelihood has no maximum that could be found: an estimate goes to infinity, as where one arm has "
            "no events. Use a model with priors, bm.fit(counts)."
        )
    for _ in range(POLISH):
        slope, curvature = _derivatives(objective, at, step)
        if not np.all(np.linalg.eigvalsh(curvature) > 0.0):
            break
        move = np.linalg.solve(curvature, slope)
        new = at + move
        if not objective(new) >= objective(at) - 1e-10:
            break
        at, step = new, STEP / np.sqrt(np.diag(curvature))
        if np.all(np.abs(move) < SETTLED):
            break
    return Maximum(at, objective(at), _derivatives(objective, at, step)[1])


def _derivatives(objective: Objective, at: Array, step: Array) -> tuple[Array, Array]:
    """Return the gradient, and minus the matrix of second derivatives, by differences of fourth order."""
    one, two = (_differences(objective, at, h * step) for h in (0.5, 1.0))
    return (4.0 * one[0] - two[0]) / 3.0, (4.0 * one[1] - two[1]) / 3.0


def _differences(objective: Objective, at: Array, step: Array) -> tuple[Array, Array]:
    p, here = len(at), objective(at)
    e = np.diag(step)
    up, down = ([objective(at + sign * e[i]) for i in range(p)] for sign in (1.0, -1.0))
    slope = (np.array(up) - np.array(down)) / (2.0 * step)
    second = np.diag((np.array(up) - 2.0 * here + np.array(down)) / step**2)
    for i in range(p):
        for j in range(i):
            corners = [a * b * objective(at + a * e[i] + b * e[j]) for a in (1.0, -1.0) for b in (1.0, -1.0)]
            second[i, j] = second[j, i] = sum(corners) / (4.0 * step[i] * step[j])
    return slope, -second
