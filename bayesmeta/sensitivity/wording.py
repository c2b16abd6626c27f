"""Results of sensitivity analyses in words: direction, threshold and estimand with every probability."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bayesmeta.effects import MEASURES, Measure
from bayesmeta.words import interval_text, joined, level_text, number, probability_text, small_number

if TYPE_CHECKING:
    import xarray as xr
    from rich.table import Table

    from bayesmeta.sensitivity.drivers import Driver
    from bayesmeta.sensitivity.multiverse import Multiverse

FEW = 3


def p_text(low: float, high: float) -> str:
    """Return the range of a probability, e.g. ``0.954 to >0.999``."""
    a, b = probability_text(low), probability_text(high)
    return a if a == b else f"{a} to {b}"


def multiverse_text(result: "Multiverse") -> str:
    """Return what a multiverse found: ranges, the share beyond the usual mark, and what drives the result."""
    target = 0.5 + result.level / 2.0
    events = list(result.events.values())
    said = joined([event.text for event in events])
    lines = [f"{result.m} Bayesian analyses and {len(result.classical['estimator'])} classical ones."]
    for name, estimand in (("p_mu", "mean effect"), ("p_theta_new", "true effect of a new study")):
        low, middle, high = result.range(name)
        lines.append(
            f"P(benefit: {said} | data), {estimand}: {p_text(low, high)} (median {probability_text(middle)}); "
            f"at least {target:g} in {100 * result.share(target, name):.0f}% of the analyses."
        )
        n = int((result.column(f"{name}_exactly") > 0).sum())
        if n:
            edges = joined([event.edge for event in events])
            lines.append(exact_line(f"{edges}, {estimand}", n, "analysis", "analyses"))
    lines.append("What drives P(benefit) of the mean effect (share of the variance of its log odds, alone / in all):")
    lines += [f"  {line}" for line in driver_lines(result.drivers("p_mu"))]
    lines += _classical_lines(result)
    if result.reasons or result.missing:
        lines.append(f"Not computed: {len(result.reasons)} analyses, {len(result.missing)} data sets.")
        lines += [f"  {reason}" for reason in dict.fromkeys([*result.missing, *result.reasons.values()])][:FEW]
    return "\n".join(lines)


def driver_lines(drivers: "Sequence[Driver]") -> list[str]:
    """Return one line a choice."""
    if not drivers:
        return ["no choice has more than one level"]
    return [
        f"{d.choice} ({d.levels} levels): {share(d.main)} / {share(d.total)}; "
        f"{probability_text(d.low)} with {d.low_level} to {probability_text(d.high)} with {d.high_level}"
        for d in drivers
    ]


def share(value: float) -> str:
    """Return a share of variance in percent."""
    return "-" if not np.isfinite(value) else f"{100 * value:.0f}%"


def _classical_lines(result: "Multiverse") -> list[str]:
    low, high = (np.asarray(result.classical[name], dtype=float) for name in ("low", "high"))
    there = np.isfinite(low) & np.isfinite(high)
    if not there.any():
        return []
    null = np.array([result.events[m].threshold for m in result.classical["measure"]])
    excluded = ((low > null) | (high < null))[there]
    return [
        f"The classical {level_text(result.level)} confidence interval of the mean effect excludes no effect in "
        f"{int(excluded.sum())} of {int(there.sum())} analyses."
    ]


def grid_table(grid: "xr.Dataset") -> "Table":
    """Return the table a paper prints: one row a pair of priors, natural scale."""
    from rich.table import Table

    scale = MEASURES[grid.attrs["measure"]]
    level = level_text(grid.attrs["level"])
    p = "p_mu" in grid
    table = Table(title=f"P({grid.attrs['event']} | data) by prior" if p else None)
    table.add_column("prior of mu", overflow="fold")
    table.add_column("prior of tau", overflow="fold")
    heads = (grid.attrs["measure"], f"{level} credible interval", "tau", f"{level} posterior prediction interval")
    for head in (*heads, *(("P, mean", "P, new study") if p else ())):
        table.add_column(head, justify="right")
    mus, taus = _named(grid, "mu_prior"), _named(grid, "tau_prior")
    for i, mu in enumerate(mus):
        for j, tau in enumerate(taus):
            table.add_row(mu, tau, *_cells(grid.isel(mu_prior=i, tau_prior=j), scale, with_p=p))
    return table


def _named(grid: "xr.Dataset", dim: str) -> list[str]:
    """Return each prior's label with its text form, where the label is not the text form itself."""
    pairs = zip(map(str, grid[dim].values), map(str, grid[f"{dim}_text"].values), strict=True)
    return [label if label == text else f"{label}: {text}" for label, text in pairs]


def _cells(cell: "xr.Dataset", scale: Measure, *, with_p: bool) -> list[str]:
    value = {str(name): float(cell[name]) for name in cell.data_vars}
    if np.isnan(value["mu_median"]):
        return ["no answer"]
    natural = {name: float(scale.to_natural(v)) for name, v in value.items() if name.startswith(("mu_", "theta_new_"))}
    cells = [
        number(natural["mu_median"]),
        interval_text(natural["mu_low"], natural["mu_high"]),
        small_number(value["tau_median"]),
        interval_text(natural["theta_new_low"], natural["theta_new_high"]),
    ]
    return [*cells, *(probability_text(value[name]) for name in ("p_mu", "p_theta_new"))] if with_p else cells


def _exact_lines(grid: "xr.Dataset", name: str) -> list[str]:
    """Return in how many pairs of priors the effect is known to be the threshold, which is on neither side of it."""
    exact = grid[f"{name}_exactly"]
    n = int((np.asarray(exact) > 0).sum())
    return [exact_line(exact.attrs["event"], n, "pair of priors", "pairs of priors")] if n else []


def exact_line(event: str, n: int, one: str, several: str) -> str:
    """Return that a quantity is known to be the threshold, e.g. ``OR = 1, mean effect``, and how that counts."""
    return f"Known to be {event}, in {n} {one if n == 1 else several}: that counts neither as below nor as above."


def grid_lines(grid: "xr.Dataset") -> list[str]:
    """Return the range of each probability over the priors, and what could not be computed."""
    lines = []
    for name in ("p_mu", "p_theta_new"):
        if name in grid:
            value = np.asarray(grid[name])
            lines.append(
                f"P({grid[name].attrs['event']} | data) over {int(np.isfinite(value).sum())} pairs of priors: "
                f"{p_text(float(np.nanmin(value)), float(np.nanmax(value)))}."
            )
    lines += [line for name in ("p_mu", "p_theta_new") if name in grid for line in _exact_lines(grid, name)]
    return [*lines, *(f"Not computed: {reason}" for reason in grid.attrs["not_computed"])]
