"""Exact independent draws: those of tau, and any as a tree. What solved models of every kind share."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmeta.engines.axes.panels import TO_LEGENDRE, WEIGHTS, Rule
from bayesmeta.engines.observed import observed_groups
from bayesmeta.engines.versions import versions
from bayesmeta.marginals.axis import from_axis
from bayesmeta.values import Array

if TYPE_CHECKING:
    import xarray as xr


# Numbers that an array of a block of draws may hold.
BLOCK = 2**20


def in_blocks(function: Callable[..., Array], width: int, *columns: Array) -> Array:
    """Return a function of the rows of columns, computed for some rows at a time.

    All noise is among the columns, so that the same seed gives the same draws whatever the blocks.

    Parameters
    ----------
    function
        Maps columns of m rows each to ``(m,)`` values.
    width
        How many numbers an array of it holds a row.
    columns
        ``(n, ...)`` each.
    """
    size, n = max(1, BLOCK // width), len(columns[0])
    return np.concatenate([function(*(c[i : i + size] for c in columns)) for i in range(0, n, size)])


def draw_tau(rule: Rule, uniform: Array) -> Array:
    """Return the quantiles of tau at `uniform`, from the polynomial that interpolates its density on each panel.

    The panels are so short that the interpolant is exact to about 1e-12; no evaluation of the likelihood is needed.
    """
    g = rule.masses() / rule.panels.weights() * WEIGHTS
    mass = rule.masses().sum(axis=1)
    below = np.concatenate([[0.0], np.cumsum(mass)])
    target = uniform * below[-1]
    panel = np.clip(np.searchsorted(below, target, side="right") - 1, 0, len(mass) - 1)
    half = 0.5 * (rule.panels.right - rule.panels.left)
    coefficients = (g / WEIGHTS) @ TO_LEGENDRE.T * half[:, None]
    cumulative = np.polynomial.legendre.legint(coefficients.T, lbnd=-1)
    low, high = np.full(len(uniform), -1.0), np.full(len(uniform), 1.0)
    rest, series = target - below[panel], cumulative[:, panel]
    for _ in range(52):
        middle = 0.5 * (low + high)
        over = np.polynomial.legendre.legval(middle, series, tensor=False) > rest
        low, high = np.where(over, low, middle), np.where(over, middle, high)
    u = rule.panels.left[panel] + half[panel] * (1.0 + 0.5 * (low + high))
    return from_axis(u, rule.panels.lower[panel], rule.panels.upper[panel])


def _provenance(seed: int | None) -> dict[str, str | int]:
    """Return what the attributes of a tree of exact draws say of their making."""
    made: dict[str, str | int] = {
        "engine": "quadrature",
        "sampling": "exact independent draws",
        "bayesmeta_version": versions()["bayesmeta"],
    }
    return made if seed is None else {**made, "seed": seed}


def tree_of(
    variables: Mapping[str, Array], axes: Mapping[str, tuple[str, list[str]]], data: Any, seed: int | None
) -> "xr.DataTree":
    """Return exact draws as a DataTree with one chain, as the engine's door takes them to lay out and complete.

    Parameters
    ----------
    variables
        Name to ``(draws,)`` or ``(draws, n)``.
    axes
        Of the vectors among them: the dimension's name and labels.
    data
        What was analysed.
    """
    import xarray as xr

    draws = len(next(iter(variables.values())))
    coords: dict[str, Any] = {"chain": [0], "draw": np.arange(draws)} | dict(axes.values())
    named: dict[str, Any] = {
        name: (("chain", "draw", *axes[name][:1]) if name in axes else ("chain", "draw"), value[None])
        for name, value in variables.items()
    }
    groups = {"posterior": xr.Dataset(named, coords=coords, attrs=_provenance(seed)), **observed_groups(data)}
    return xr.DataTree.from_dict({f"/{name}": dataset for name, dataset in groups.items()})
