"""The model's PyMC program, sampled with NUTS (nutpie)."""

import math
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmeta.draws import DrawsMarginal
from bayesmeta.engines.diagnostics import diagnose
from bayesmeta.engines.quantities import Quantities, derive
from bayesmeta.model import Model
from bayesmeta.posterior import Posterior
from bayesmeta.priors import Prior
from bayesmeta.values import Array

if TYPE_CHECKING:
    import xarray as xr

VERSIONS = ("bayesmeta", "pymc", "nutpie", "arviz", "numpy", "scipy")
SUPPORT = {"tau": (0.0, math.inf), "tau2": (0.0, math.inf), "I2": (0.0, 100.0)}


def sample(
    model: Model,
    data: Any,
    priors: Mapping[str, Prior],
    *,
    seed: int | None = None,
    draws: int = 2000,
    tune: int = 1000,
    chains: int = 4,
    target_accept: float = 0.95,
    progress: bool = False,
) -> Posterior:
    """Return the posterior of `model`, sampled with NUTS.

    Parameters
    ----------
    model, data, priors
        As `bayesmeta.fit` prepares them.
    seed
        The same seed gives the same draws; drawn from the system, and recorded, when None.
    draws, tune, chains
        Draws kept and warm-up draws of each chain, and number of chains.
    target_accept
        Mean acceptance probability that the step size is tuned to, between 0 and 1.
    progress
        Whether to show a progress bar.
    """
    import nutpie

    seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
    compiled = nutpie.compile_pymc_model(model.build(data, priors))
    trace = nutpie.sample(
        compiled, draws=draws, tune=tune, chains=chains, seed=seed, target_accept=target_accept, progress_bar=progress
    )
    raw = {str(name): np.asarray(value) for name, value in trace.posterior.data_vars.items()}
    quantities = derive(model, data, priors, raw, seed)
    stats = trace.sample_stats
    named = {**quantities.scalars, **_per_study(data.study, quantities.theta)}
    return Posterior(
        data=data,
        model=model,
        priors=priors,
        engine="nuts",
        marginals=_marginals(quantities),
        theta=MappingProxyType(
            {s: DrawsMarginal(d) for s, d in zip(data.study, _columns(quantities.theta), strict=False)}
        ),
        diagnostics=diagnose(named, np.asarray(stats.diverging), np.asarray(stats.energy)),
        datatree=partial(_datatree, trace, quantities, tuple(data.study)),
        seed=seed,
        options=MappingProxyType(
            {"draws": draws, "tune": tune, "chains": chains, "target_accept": target_accept, "variant": "default"}
        ),
        versions=MappingProxyType({name: version(name) for name in VERSIONS}),
    )


def _columns(theta: Array | None) -> list[Array]:
    return [] if theta is None else [theta[..., i] for i in range(theta.shape[-1])]


def _per_study(study: tuple[str, ...], theta: Array | None) -> dict[str, Array]:
    return {f"theta[{label}]": column for label, column in zip(study, _columns(theta), strict=False)}


def _marginals(quantities: Quantities) -> Mapping[str, DrawsMarginal]:
    return MappingProxyType(
        {
            name: DrawsMarginal(
                value,
                support=SUPPORT.get(name, (-math.inf, math.inf)),
                kind="posterior prediction" if name == "theta_new" else "credible",
            )
            for name, value in quantities.scalars.items()
        }
    )


def _datatree(
    trace: "xr.DataTree", quantities: Quantities, study: tuple[str, ...], draws: int, seed: int | None
) -> "xr.DataTree":
    import xarray as xr

    posterior = trace.posterior.to_dataset()
    for name, value in quantities.scalars.items():
        posterior[name] = (("chain", "draw"), value)
    if quantities.theta is not None:
        posterior = posterior.drop_vars("theta", errors="ignore").assign_coords(study=list(study))
        posterior["theta"] = (("chain", "draw", "study"), quantities.theta)
    return xr.DataTree.from_dict({"/posterior": posterior, "/sample_stats": trace.sample_stats.to_dataset()})
