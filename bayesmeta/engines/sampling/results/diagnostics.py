"""Whether a NUTS run can be trusted: figures for every quantity, and a verdict in words."""

from collections.abc import Mapping
from functools import partial

import numpy as np

from bayesmeta.engines.sampling.chains import cores_for
from bayesmeta.marginals import convergence
from bayesmeta.posterior import Diagnostics
from bayesmeta.values import Array

RHAT_LIMIT = 1.01
ESS_LIMIT = 400.0
# Betancourt (2016): below 0.3 the momentum resampling explores the energy too slowly.
BFMI_LIMIT = 0.3
# Whose Monte Carlo standard errors travel with the result: the limits and the middle of a 95% interval.
QUANTILES = (0.025, 0.5, 0.975)


def diagnose(
    quantities: Mapping[str, Array], diverging: Array, energy: Array, remedies: tuple[str, ...] = ()
) -> Diagnostics:
    """Return the diagnostics of a run.

    Parameters
    ----------
    quantities
        Name to ``(chains, draws)``.
    diverging, energy
        ``(chains, n)`` sampler statistics of every draw after warm-up, kept or not.
    remedies
        What the engine changed on its own, in order.
    """
    table = _table(quantities)
    figures = {
        "max_rhat": max(row["rhat"] for row in table.values()),
        "min_ess_bulk": min(row["ess_bulk"] for row in table.values()),
        "min_ess_tail": min(row["ess_tail"] for row in table.values()),
        "divergences": float(np.sum(diverging)),
        "min_bfmi": float(convergence.bfmi(energy).min()),
        "chains": float(energy.shape[0]),
        "draws": float(energy.shape[1]),
    }
    ok, verdict = judge(figures, table)
    return Diagnostics(ok=ok, verdict=verdict, figures=figures, table=table, remedies=remedies)


def _table(quantities: Mapping[str, Array]) -> dict[str, dict[str, float]]:
    """Return each quantity's figures, computed on as many threads as there are cores."""
    from concurrent.futures import ThreadPoolExecutor

    draws = np.stack(list(quantities.values()))
    groups = np.array_split(draws, cores_for(len(draws)))
    with ThreadPoolExecutor(len(groups)) as pool:
        parts = list(pool.map(partial(convergence.summaries, quantiles=QUANTILES), groups))
    rows = [
        dict(zip(part, row, strict=True))
        for part in parts
        for row in zip(*(figures.tolist() for figures in part.values()), strict=True)
    ]
    return dict(zip(quantities, rows, strict=True))


def _worst(table: Mapping[str, Mapping[str, float]], key: str, *, largest: bool) -> str:
    return (max if largest else min)(table, key=lambda name: table[name][key])


def judge(figures: Mapping[str, float], table: Mapping[str, Mapping[str, float]]) -> tuple[bool, str]:
    """Return whether the run can be relied on, and why or why not, with what to do."""
    faults = []
    if figures["divergences"] > 0:
        total = figures["chains"] * figures["draws"]
        faults.append(
            f"{figures['divergences']:.0f} of {total:.0f} draws diverged: part of the posterior may be unexplored. "
            "Raise target_accept towards 0.999, or use a prior for tau with less mass near 0"
        )
    # Written so that a NaN counts as a fault.
    if not figures["max_rhat"] < RHAT_LIMIT:
        name = _worst(table, "rhat", largest=True)
        faults.append(
            f"R-hat of {name} is {figures['max_rhat']:.3f}, not below {RHAT_LIMIT}: the chains disagree. "
            "Run longer (tune=, thin=)"
        )
    for kind in ("bulk", "tail"):
        size = figures[f"min_ess_{kind}"]
        if not size > ESS_LIMIT:
            name = _worst(table, f"ess_{kind}", largest=False)
            faults.append(
                f"the {kind} effective sample size of {name} is {size:.0f}, not above {ESS_LIMIT:.0f}. "
                "Run longer (thin=, draws=)"
            )
    if not figures["min_bfmi"] > BFMI_LIMIT:
        faults.append(
            f"E-BFMI is {figures['min_bfmi']:.2f}, not above {BFMI_LIMIT}: the tails are explored too slowly. "
            "Use priors with lighter tails, or run longer"
        )
    if faults:
        return False, "Do not rely on these numbers: " + "; ".join(faults) + "."
    return True, (
        f"No divergences, R-hat at most {figures['max_rhat']:.4f}, effective sample sizes at least "
        f"{figures['min_ess_bulk']:.0f} (bulk) and {figures['min_ess_tail']:.0f} (tail)."
    )
