"""The ArviZ DataTree of a posterior by quadrature: exact independent draws, and every group that ArviZ looks for."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmeta.engines.sampling.results.datatree import block_groups, by_draws
from bayesmeta.engines.sampling.results.predictive import draw_theta
from bayesmeta.engines.sampling.results.quantities import baselines
from bayesmeta.model import Model
from bayesmeta.priors import Prior, fixed_value
from bayesmeta.values import Array

if TYPE_CHECKING:
    import xarray as xr

# Draws are independent; they are laid out in chains because that is what R-hat and rank plots compare.
CHAINS = 4
INTERCEPT = "intercept"
# Where tau is known to be 0, sums over random effects need one that is not, and that no likelihood notices.
NO_SPREAD = 1e-12


def complete(
    model: Model,
    data: Any,
    priors: Mapping[str, Prior],
    exact: Callable[[int, int | None], "xr.DataTree"],
    draws: int,
    seed: int | None,
) -> "xr.DataTree":
    """Return draws with what follows from them: log likelihood, log prior, and what data and parameters are predicted.

    ``log_likelihood`` is marginal, as in the tree of a sampled posterior: the probability of a study's data given the
    parameters that studies share, its true effect integrated out.

    Parameters
    ----------
    exact
        Makes the tree of the draws alone, of one chain.
    draws
        How many; rounded up to a multiple of four, the number of chains.
    """
    import xarray as xr

    drawn = exact(draws + -draws % CHAINS, seed)
    posterior = _in_chains(drawn["posterior"].to_dataset())
    given = _parameters(model, data, priors, posterior)
    number = 0 if seed is None else seed
    statement = None if model.gaussian is None else model.gaussian(data, priors)
    if statement is not None and not statement.independent:
        groups = block_groups(statement, model, data, priors, given, number)
    else:
        known = baselines(model, data, priors, given, number)
        if known is not None:
            given["baseline"] = known
            posterior = posterior.assign(baseline=(("chain", "draw", "study"), known))
        groups = by_draws(model, data, priors, given, number)
        if "prior" in groups:
            groups["prior"] = _prior_of_all(model, data, priors, groups["prior"], posterior, number)
    others = {str(name): node.to_dataset() for name, node in drawn.children.items() if name != "posterior"}
    return xr.DataTree.from_dict({f"/{name}": ds for name, ds in {"posterior": posterior, **groups, **others}.items()})


def _in_chains(posterior: "xr.Dataset") -> "xr.Dataset":
    """Return one chain of independent draws as four."""
    import xarray as xr

    n = posterior.sizes["draw"] // CHAINS
    variables: dict[str, Any] = {
        str(name): (value.dims, value.values.reshape(CHAINS, n, *value.shape[2:]))
        for name, value in posterior.data_vars.items()
    }
    coords = {**posterior.coords, "chain": np.arange(CHAINS), "draw": np.arange(n)}
    return xr.Dataset(variables, coords=coords, attrs=posterior.attrs)


def _parameters(model: Model, data: Any, priors: Mapping[str, Prior], posterior: "xr.Dataset") -> dict[str, Array]:
    """Return name to ``(chains, draws, ...)`` of what the model's own functions are given, known values included."""
    given = {str(name): np.asarray(value) for name, value in posterior.data_vars.items()}
    if "beta" in given and model.gaussian is not None:
        terms = model.gaussian(data, priors).terms
        whole = given.pop("beta")
        moderators = [j for j, term in enumerate(terms) if term != INTERCEPT]
        given |= {"coefficients": whole, "beta": whole[..., moderators]}
        if INTERCEPT in terms:
            given[INTERCEPT] = whole[..., terms.index(INTERCEPT)]
    shape = next(iter(given.values())).shape[:2]
    for name, prior in priors.items():
        value = fixed_value(prior)
        if value is not None and name not in given:
            given[name] = np.full(shape, max(value, NO_SPREAD) if name == "tau" else value)
    return given


def _prior_of_all(
    model: Model, data: Any, priors: Mapping[str, Prior], prior: "xr.Dataset", posterior: "xr.Dataset", seed: int
) -> "xr.Dataset":
    """Return prior draws of everything that there are posterior draws of, in the same dimensions."""
    import xarray as xr

    rng = np.random.default_rng([seed, 5])
    draws = {str(name): np.asarray(value) for name, value in prior.data_vars.items()}
    theta = draw_theta(model, data, priors, draws, rng)
    if theta is not None:
        # A new study is one more like the others.
        new = draw_theta(model, data, priors, draws, rng)
        assert new is not None
        draws |= {"theta": theta, "theta_new": new[..., 0]}
    if "tau" in draws:
        draws["tau2"] = draws["tau"] ** 2
    if "beta" in posterior and model.gaussian is not None:
        slopes = iter(np.moveaxis(draws["beta"], -1, 0)) if "beta" in draws else iter(())
        terms = model.gaussian(data, priors).terms
        draws["beta"] = np.stack([draws[INTERCEPT] if term == INTERCEPT else next(slopes) for term in terms], axis=-1)
    kept = {str(name): (value.dims, draws[str(name)]) for name, value in posterior.data_vars.items() if name in draws}
    coords = {**posterior.coords, "chain": prior.coords["chain"], "draw": prior.coords["draw"]}
    return xr.Dataset(kept, coords=coords)
