"""The ArviZ 1 / xarray DataTree of a NUTS run, with everything ArviZ's functions look for."""

import warnings
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special
from scipy.interpolate import CubicSpline

from bayesmeta.engines.observed import observed_groups
from bayesmeta.engines.sampling.chains import Run
from bayesmeta.engines.sampling.results import hierarchical
from bayesmeta.engines.sampling.results.pointwise import program_loglik
from bayesmeta.engines.sampling.results.predictive import draw_prior, replicate
from bayesmeta.engines.sampling.results.quantities import Quantities, coefficients, draw_baselines
from bayesmeta.errors import ConvergenceError, ModelError
from bayesmeta.gaussian.covariance import Covariance
from bayesmeta.likelihoods.cut_normal import LEAST_TAU, log_mass
from bayesmeta.model import Gaussian, Model, StudyLikelihoods, resolved
from bayesmeta.priors import Prior
from bayesmeta.studies import TwoByTwo
from bayesmeta.values import Array

if TYPE_CHECKING:
    import xarray as xr

SAMPLE = ("chain", "draw")
PRIOR_DRAWS = 1000
# Nodes over theta and points of the table of log L, for the marginal likelihood of count models: exact
# to 1e-4 down to a study whose likelihood is 15 times narrower than tau.
NODES, GRID = 201, 4001
# Largest error that a crease may cause, and how closely the likelihood is looked at beside it, in its widths.
CREASE_ERROR, BESIDE = 1e-4, 1e-5
# Gauss-Legendre nodes on either side of a crease: in their middle, where they are widest apart, about as close.
CUT_NODES = 161


def datatree(
    model: Model,
    data: Any,
    priors: Mapping[str, Prior],
    run: Run,
    quantities: Quantities,
    options: Mapping[str, Any],
    draws: int | None = None,
    seed: int | None = None,
) -> "xr.DataTree":
    """Return the run as a DataTree with ArviZ's groups, and studies as coordinates.

    ``log_likelihood`` is marginal: the probability of a study's data given mu, tau and whatever else studies
    share, its true effect integrated out. Leave-one-out cross-validation is reliable on it, and is not on the
    likelihood given theta, where each study determines its own parameter.

    Parameters
    ----------
    draws
        Not used: the draws are those of the run.
    seed
        Of the predictive draws.
    """
    import xarray as xr

    run, quantities = draw_baselines(model, data, priors, run, quantities, 0 if seed is None else seed)
    given = None if model.gaussian is None else model.gaussian(data, priors)
    if given is not None and not given.independent:
        return _hierarchical(given, data, run, quantities, options, 0 if seed is None else seed)
    groups = {"posterior": _posterior(data, run, quantities), "sample_stats": _stats(run, options)}
    groups |= by_draws(model, data, priors, run.draws, 0 if seed is None else seed)
    groups |= observed_groups(data)
    return xr.DataTree.from_dict({f"/{name}": dataset for name, dataset in groups.items()})


def by_draws(
    model: Model, data: Any, priors: Mapping[str, Prior], draws: Mapping[str, Array], seed: int
) -> "dict[str, xr.Dataset]":
    """Return the groups that follow from draws of the parameters, ``(chains, draws, ...)``, true effects among them."""
    groups: dict[str, xr.Dataset] = {}
    try:
        loglik = marginal_loglik(model, data, priors, draws)
        if loglik is None:
            warnings.warn(f"The DataTree has no log_likelihood: {_unstated(model)}", stacklevel=2)
    except ConvergenceError as error:
        # The draws themselves are as good as they were.
        warnings.warn(f"The DataTree has no log_likelihood. {error}", stacklevel=2)
        loglik = None
    if loglik is not None:
        groups["log_likelihood"] = _by_study({"y": loglik}, data)
    groups["log_prior"] = _log_prior(model, priors, data, draws)
    return groups | _predictive(model, data, priors, draws, seed)


def block_groups(
    given: Gaussian, model: Model, data: Any, priors: Mapping[str, Prior], draws: Mapping[str, Array], seed: int
) -> "dict[str, xr.Dataset]":
    """Return the groups that follow from draws of the parameters of a normal model of any structure."""
    import xarray as xr

    chains, n = next(iter(draws.values())).shape[:2]
    coords, rng = _coords(chains, n), np.random.default_rng([seed, 2])

    def group(variable: Array, dim: str, labels: Sequence[str]) -> "xr.Dataset":
        return xr.Dataset({"y": ((*SAMPLE, dim), variable)}, coords={**coords, dim: list(labels)})

    y = hierarchical.replicated(given, draws, rng)
    loglik = hierarchical.block_loglik(given, draws)
    groups = {
        "log_likelihood": group(loglik, "block", hierarchical.block_labels(Covariance(given))),
        "posterior_predictive": group(y, "row", given.study),
        "log_prior": _log_prior(model, priors, data, draws),
    }
    prior = _prior_draws(model, data, priors, rng)
    return groups if prior is None else {**groups, "prior": _prior_group(prior)}


def _hierarchical(
    given: Gaussian, data: Any, run: Run, quantities: Quantities, options: Mapping[str, Any], seed: int
) -> "xr.DataTree":
    """Return the run of a normal model of any structure: true effects, rows, and blocks of rows have their own labels.

    ``log_likelihood`` is that of each block of rows given the parameters: leaving one out leaves a whole study out.
    """
    import xarray as xr

    chains, draws = next(iter(run.stats.values())).shape
    coords, rng = _coords(chains, draws), np.random.default_rng([seed, 2])

    def group(variables: Mapping[str, Array], dim: str, labels: Sequence[str]) -> "xr.Dataset":
        return xr.Dataset(
            {name: ((*SAMPLE, dim), value) for name, value in variables.items()},
            coords={**coords, dim: list(labels)},
        )

    posterior = xr.Dataset({name: (SAMPLE, value) for name, value in quantities.scalars.items()}, coords=coords)
    sampled = {name: ((*SAMPLE, f"{name}_dim"), value) for name, value in quantities.sampled.items()}
    assert quantities.theta is not None
    theta = group({"theta": quantities.theta}, "effect", tuple(given.reported))
    y = hierarchical.replicated(given, run.draws, rng)
    loglik = hierarchical.block_loglik(given, run.draws)
    groups = {
        "posterior": posterior.assign(sampled).merge(theta),
        "sample_stats": _stats(run, options),
        "log_likelihood": group({"y": loglik}, "block", hierarchical.block_labels(Covariance(given))),
        "posterior_predictive": group({"y": y}, "row", given.study),
        **observed_groups(data),
    }
    return xr.DataTree.from_dict({f"/{name}": dataset for name, dataset in groups.items()})


def _coords(chains: int, draws: int) -> dict[str, Any]:
    return {"chain": np.arange(chains), "draw": np.arange(draws)}


def _by_study(variables: Mapping[str, Array], data: Any) -> "xr.Dataset":
    import xarray as xr

    chains, draws = next(iter(variables.values())).shape[:2]
    return xr.Dataset(
        {name: ((*SAMPLE, "study"), value) for name, value in variables.items()},
        coords={**_coords(chains, draws), "study": list(data.study)},
    )


def _posterior(data: Any, run: Run, quantities: Quantities) -> "xr.Dataset":
    import xarray as xr

    variables: dict[str, Any] = {name: (SAMPLE, value) for name, value in quantities.scalars.items()}
    vectors = {**quantities.per_study, **quantities.sampled}
    if quantities.theta is not None:
        vectors["theta"] = quantities.theta
    k = len(data.study)
    for name, value in vectors.items():
        variables[name] = ((*SAMPLE, "study" if value.shape[-1] == k else f"{name}_dim"), value)
    chains, draws = next(iter(run.stats.values())).shape
    return xr.Dataset(variables, coords={**_coords(chains, draws), "study": list(data.study)})


def _stats(run: Run, options: Mapping[str, Any]) -> "xr.Dataset":
    import xarray as xr

    chains, draws = next(iter(run.stats.values())).shape
    dataset = xr.Dataset({name: (SAMPLE, value) for name, value in run.stats.items()}, coords=_coords(chains, draws))
    dataset.attrs = {"sampler": "NUTS (nutpie)", **{name: str(value) for name, value in options.items()}}
    return dataset


def marginal_loglik(model: Model, data: Any, priors: Mapping[str, Prior], draws: Mapping[str, Array]) -> Array | None:
    """Return ``(chains, draws, k)`` log p(data_i | mu, tau, ...), or None where the model does not say it."""
    if model.gaussian is not None:
        return _gaussian_loglik(model.gaussian(data, priors), draws)
    if model.study_likelihoods is not None:
        return _integrated_loglik(model.study_likelihoods(data, priors), draws)
    if model.marginal_loglik is not None:
        return _stated_loglik(model, data, draws)
    return program_loglik(model, data, priors, draws)


def _unstated(model: Model) -> str:
    """Return why a tree has no likelihood to leave studies out of, and what to do for one."""
    other = " or leave studies out of a fit of binomial_normal" if issubclass(model.data_type, TwoByTwo) else ""
    return (
        f"model {model.name!r} samples what belongs to single studies, and its file does not say the likelihood "
        "without it, which leaving studies out needs. State marginal_loglik(data, parameters) in a file of your "
        f"own{other}."
    )


def _stated_loglik(model: Model, data: Any, draws: Mapping[str, Array]) -> Array:
    assert model.marginal_loglik is not None
    loglik = np.asarray(model.marginal_loglik(data, draws))
    expected = (*next(iter(draws.values())).shape[:2], len(data.study))
    if loglik.shape != expected:
        raise ModelError(
            f"marginal_loglik of model {model.name!r} returned shape {loglik.shape}, not (chains, draws, studies) = "
            f"{expected}. Return one log probability of each study's data at every draw."
        )
    return loglik


def _gaussian_loglik(gaussian: Gaussian, draws: Mapping[str, Array]) -> Array:
    prediction = coefficients(draws, gaussian.terms) @ gaussian.X.T
    tau2 = 0.0 if gaussian.tau is None else draws["tau"][..., None] ** 2
    variance = gaussian.v + tau2
    return np.asarray(-0.5 * (np.log(2 * np.pi * variance) + (gaussian.y - prediction) ** 2 / variance))


def _integrated_loglik(likelihoods: StudyLikelihoods, draws: Mapping[str, Array]) -> Array:
    """Average each study's likelihood over theta given mu and tau, at every draw.

    log L_i is smooth but for creases, so it is tabulated once, finely where the draws are, and interpolated by cubic
    splines at the nodes of the integral over theta.
    """
    mu, tau = draws["mu"].ravel(), draws["tau"].ravel()
    width, creases = float(np.min(likelihoods.scale)), likelihoods.creases
    bends = likelihoods.random_effects == "normal" and _bends(likelihoods, float(np.quantile(tau, 0.95)))
    if bends or np.isfinite(likelihoods.support).all():
        nodes, log_weights = _cut_nodes(mu, tau, likelihoods.support, creases)
    else:
        creases = ()
        nodes, log_weights = _effect_nodes(likelihoods)
    center = creases[0] if creases else float(np.median(mu))
    at = np.arcsinh((mu[:, None] + tau[:, None] * nodes - center) / width)
    low, high = float(at.min()), float(at.max())
    cuts = [cut for cut in np.arcsinh((np.sort(creases) - center) / width) if low < cut < high]
    pieces = []
    for start, end in pairwise([low, *cuts, high]):
        grid = np.linspace(start, end, GRID)
        theta = np.tile(center + width * np.sinh(grid), (len(likelihoods.study), 1))
        pieces.append(((at >= start) & (at <= end), CubicSpline(grid, likelihoods.loglik(theta), axis=1)))
    columns = []
    for i in range(len(likelihoods.study)):
        log = np.empty(at.shape)
        for here, spline in pieces:
            log[here] = CubicSpline.construct_fast(spline.c[:, :, i], spline.x)(at[here])
        columns.append(special.logsumexp(log + log_weights, axis=1))
    return np.stack(columns, axis=-1).reshape(*draws["mu"].shape, -1)


def _bends(likelihoods: StudyLikelihoods, tau: float) -> bool:
    """Return whether a likelihood bends so abruptly that evenly spaced sums over the random effect would be off.

    Where the slope jumps by d, the trapezoidal rule with spacing h errs by ``h^2 d f / 12``, with f the height there.
    """
    if not likelihoods.creases:
        return False
    beside, studies = BESIDE * float(np.min(likelihoods.scale)), len(likelihoods.study)
    # In sets of three: below a crease, at it, and above.
    theta = np.repeat(likelihoods.creases, 3) + np.tile(beside * np.array([-1.0, 0.0, 1.0]), len(likelihoods.creases))
    low, middle, high = likelihoods.loglik(np.tile(theta, (studies, 1))).reshape(studies, -1, 3).transpose(2, 0, 1)
    jump = np.abs(high - 2.0 * middle + low) / beside
    error = (17.0 * tau / NODES) ** 2 * jump * np.maximum(0.25 * jump, 0.4 / tau) / 12.0
    return bool(error.max() > CREASE_ERROR)


def _effect_nodes(likelihoods: StudyLikelihoods) -> tuple[Array, Array]:
    """Return standardised nodes and log weights (trapezoid rule) of the random effects' distribution."""
    if likelihoods.random_effects == "t":
        # Steps that grow outwards reach the t distribution's tails.
        s, df = np.linspace(-6.0, 6.0, NODES), likelihoods.df
        x, log_slope = np.sinh(s), np.log(np.cosh(s))
        log_density = -special.betaln(df / 2, 0.5) - 0.5 * np.log(df) - (df + 1) / 2 * np.log1p(x**2 / df)
    else:
        s = x = np.linspace(-8.5, 8.5, NODES)
        log_slope, log_density = np.zeros(NODES), -0.5 * x**2 - 0.5 * np.log(2 * np.pi)
    return x, np.asarray(log_density + log_slope + np.log(s[1] - s[0]))


def _cut_nodes(mu: Array, tau: Array, limits: tuple[float, float], creases: tuple[float, ...]) -> tuple[Array, Array]:
    """Return nodes between the limits and log weights of the cut normal, ``(n, nodes)``.

    Gauss-Legendre between creases, beside which nodes are closest together.
    """
    spread = np.maximum(tau, LEAST_TAU)
    # A normal whose middle is beyond a limit has its mass next to it.
    reach = np.hypot((mu - np.clip(mu, *limits)) / spread, 8.5)
    low, high = np.maximum((limits[0] - mu) / spread, -reach), np.minimum((limits[1] - mu) / spread, reach)
    inner = [np.clip((crease - mu) / spread, low, high) for crease in sorted(creases)]
    z, weight = np.polynomial.legendre.leggauss(CUT_NODES)
    whole = -0.5 * np.log(2.0 * np.pi) - log_mass(mu, spread, limits)
    parts = []
    for start, end in pairwise([low, *inner, high]):
        half = 0.5 * (end - start)[:, None]
        x = start[:, None] + half * (1.0 + z)
        with np.errstate(divide="ignore"):
            parts.append((x, np.log(half * weight) - 0.5 * x**2 + whole[:, None]))
    x, log_weight = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
    return x, np.asarray(log_weight)


def _log_prior(model: Model, priors: Mapping[str, Prior], data: Any, draws: Mapping[str, Array]) -> "xr.Dataset":
    import xarray as xr

    variables = {}
    for name, prior in priors.items():
        if name in draws and prior.support[0] < prior.support[1]:
            known = resolved(prior, data)
            value = known.logpdf(draws[name])
            # A vector of parameters with one prior counts as one component.
            variables[name] = (SAMPLE, value if value.ndim == 2 else value.sum(axis=-1))
    chains, n = next(iter(draws.values())).shape[:2]
    return xr.Dataset(variables, coords=_coords(chains, n))


def _prior_draws(
    model: Model, data: Any, priors: Mapping[str, Prior], rng: np.random.Generator
) -> dict[str, Array] | None:
    """Return draws from the priors; None where one is improper, and predicts nothing."""
    if not all(resolved(prior, data).proper for prior in priors.values()):
        return None
    return draw_prior(model, data, priors, (1, PRIOR_DRAWS), rng)


def _prior_group(draws: Mapping[str, Array]) -> "xr.Dataset":
    import xarray as xr

    variables = {
        name: ((*SAMPLE, *(f"{name}_dim{i}" for i in range(value.ndim - 2))), value) for name, value in draws.items()
    }
    return xr.Dataset(variables, coords=_coords(1, PRIOR_DRAWS))


def _predictive(
    model: Model, data: Any, priors: Mapping[str, Prior], draws: Mapping[str, Array], seed: int
) -> "dict[str, xr.Dataset]":
    """Return predictive draws from the posterior and from the priors, where the model can simulate."""
    rng = np.random.default_rng([seed, 2])
    groups: dict[str, xr.Dataset] = {}
    replicates = replicate(model, data, priors, draws, rng)
    if replicates is not None:
        groups["posterior_predictive"] = _by_study(replicates, data)
    drawn = _prior_draws(model, data, priors, rng)
    if drawn is not None:
        groups["prior"] = _prior_group(drawn)
        replicates = replicate(model, data, priors, drawn, rng)
        if replicates is not None:
            groups["prior_predictive"] = _by_study(replicates, data)
    return groups
