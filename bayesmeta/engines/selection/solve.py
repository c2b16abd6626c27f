"""The posterior of a model that says how results came to be reported, without sampling."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmeta.engines.axes.axis_density import AxisDensity
from bayesmeta.engines.axes.parameter_axis import ParameterAxis, parameter_axis
from bayesmeta.engines.draws import tree_of
from bayesmeta.engines.gaussian.lattice import Lattice, evaluated_again, integrate
from bayesmeta.engines.lazy import Lazy
from bayesmeta.engines.selection.interval_chances import Chances
from bayesmeta.engines.selection.places import (
    Places,
    Unselected,
    mu_given,
    selected_places,
    small_study_places,
)
from bayesmeta.engines.selection.weight_rule import WeightRule, found_rule, integrated, rule, share_masses
from bayesmeta.engines.versions import versions
from bayesmeta.errors import ModelError
from bayesmeta.marginals import Transformed, known
from bayesmeta.marginals.share_product import weight_marginals
from bayesmeta.marginals.turned import Turned
from bayesmeta.model import Model, Reporting, Selection, SmallStudy
from bayesmeta.posterior import Diagnostics, Marginal, Posterior
from bayesmeta.priors import Flat, Mirrored, Prior, fixed_value
from bayesmeta.values import Array, FrozenMap

if TYPE_CHECKING:
    import xarray as xr

# Largest error accepted where none is asked for.
TOLERANCE = 1e-8
# Where the first look at the effect ends, in SDs without selection; selection pulls it down.
FIRST, LAST = -12.0, 7.0
# Nodes of each weight while places are looked for.
COARSE = 7
LOG_2PI = math.log(2.0 * math.pi)


@dataclass(frozen=True, eq=False)
class Solution:
    """A posterior on a lattice of heterogeneity, effect or slope, and what is inside it.

    Parameters
    ----------
    stated
        The model, with its data.
    lattice
        Places of what is not known outside the weights.
    names
        Names of the lattice's axes.
    places
        The effect as normals.
    rule, chances
        Of the weights; None where there are none.
    fixed
        Parameters that are known.
    error
        Of the integral over the weights.
    """

    stated: Reporting
    lattice: Lattice
    names: tuple[str, ...]
    places: Places
    rule: WeightRule | None
    chances: Chances | None
    fixed: Mapping[str, float]
    at: tuple[Array, Array]
    error: float

    @property
    def error_estimate(self) -> float:
        """What leaving out every other place changes, all axes together, and the error of the weights' integral."""
        return float(self.lattice.errors.sum()) + self.error

    def parameter(self, name: str) -> Marginal:
        """Return the posterior of the heterogeneity or the slope."""
        if name in self.fixed:
            return known(self.fixed[name])
        d = self.names.index(name)
        v, mass = self.lattice.along(d)
        density = AxisDensity(self.lattice.axes[d], v, mass)
        if name == "bias" and isinstance(self.stated, SmallStudy) and isinstance(self.stated.bias, Mirrored):
            return Turned(density)
        return density

    def squared(self) -> Marginal:
        """Return the posterior of tau squared."""
        base = self.parameter("tau")
        if not isinstance(base, AxisDensity):
            return known(base.mean() ** 2)
        return Transformed(base, np.square, np.sqrt, _log_slope_root)  # type: ignore[arg-type]

    @cached_property
    def weights(self) -> Mapping[str, Marginal]:
        """Return the posterior of each weight that is not known."""
        if self.rule is None or self.chances is None or not isinstance(self.stated, Selection):
            return {}
        masses = share_masses(self.chances, *self.at, self.lattice.mass, self.rule)
        found = weight_marginals(self.rule.u, self.rule.windows, masses)
        return dict(zip(self.stated.omega.labels, found, strict=True))


def _log_slope_root(value: Array) -> Array:
    return np.asarray(-math.log(2.0) - 0.5 * np.log(value))


def solve(
    model: Model,
    data: Any,
    priors: Mapping[str, Prior],
    stated: Reporting,
    *,
    seed: int | None = None,
    tolerance: float | None = None,
) -> Posterior:
    """Return the posterior of a model of reporting.

    Raises
    ------
    ModelError
        If a prior is of a kind that the rule does not suit.
    ConvergenceError
        If the error estimate stays above `tolerance`.
    """
    asked = TOLERANCE if tolerance is None else tolerance
    solution = integrated_selection(stated, asked) if isinstance(stated, Selection) else integrated_slope(stated, asked)
    proper = all(prior.proper for prior in priors.values())
    names: dict[str, Callable[[], Marginal]] = {
        "mu": solution.places.mu,
        "tau": partial(solution.parameter, "tau"),
        "tau2": solution.squared,
        "theta_new": solution.places.new_study,
    }
    if isinstance(stated, SmallStudy):
        names["bias"] = partial(solution.parameter, "bias")
    else:
        names |= {label: partial(_weight, solution, label) for label in stated.omega.labels}
    return Posterior(
        data=data,
        model=model,
        priors=priors,
        engine="quadrature",
        marginals=Lazy(names),
        theta=Lazy({label: partial(solution.places.true_effect, i) for i, label in enumerate(stated.study)}),
        diagnostics=_diagnostics(solution),
        datatree=partial(_datatree, solution, data),
        log_evidence=solution.lattice.log_total if proper else None,
        seed=seed,
        options=FrozenMap({"tolerance": asked}),
        versions=versions(),
        details=solution,
    )


def _weight(solution: Solution, label: str) -> Marginal:
    return solution.weights[label]


def integrated_selection(stated: Selection, tolerance: float) -> Solution:
    """Return the solved posterior of a selection model."""
    chances, counts, free = Chances.of(stated), stated.counts, Unselected.of(stated)
    fixed = {n: v for n, p in (("mu", stated.mu), ("tau", stated.tau)) if (v := fixed_value(p)) is not None}
    names = tuple(name for name in ("tau", "mu") if name not in fixed)
    axes = [_tau_axis(stated) if name == "tau" else _effect_axis() for name in names]

    def parameters(psi: Array) -> tuple[Array, Array, Array]:
        tau = psi[:, names.index("tau")] if "tau" in names else np.full(len(psi), fixed["tau"])
        if "mu" not in names:
            return np.full(len(psi), stated.sign * fixed["mu"]), tau, np.ones(len(psi))
        mean, sd = free.at(tau)
        return mean + sd * psi[:, names.index("mu")], tau, sd

    def base(psi: Array) -> Array:
        """Return the log likelihood without selection, and the prior of mu per unit of its axis."""
        mu, tau, sd = parameters(psi)
        value = np.empty(len(mu))
        step = max(1, 2_000_000 // len(free.y))
        for i in range(0, len(mu), step):
            at = slice(i, i + step)
            v = free.v + tau[at, None] ** 2
            value[at] = -0.5 * ((free.y - mu[at, None]) ** 2 / v + np.log(v) + LOG_2PI).sum(axis=1)
        return value if "mu" not in names else value + stated.mu.logpdf(stated.sign * mu) + np.log(sd)

    chosen, error = _rule(chances, counts, axes, parameters, base, tolerance)

    def likelihood(by: WeightRule, psi: Array) -> tuple[Array, Array]:
        mu, tau, _ = parameters(psi)
        value, mean = integrated(chances, mu, tau, by)
        return value + base(psi), mean

    if axes:
        # A coarse rule for the weights finds the places; the fine one is for these alone.
        coarse = rule(counts, chosen.windows, min(chosen.shape[0], COARSE))
        lattice = evaluated_again(integrate(partial(likelihood, coarse), axes, tolerance), partial(likelihood, chosen))
        if lattice.errors.max() > 3.0 * tolerance:
            lattice = integrate(partial(likelihood, chosen), axes, tolerance)
    else:
        lattice = _one_place(partial(likelihood, chosen))
    mu, tau, sd = parameters(lattice.psi)
    places = selected_places(stated, lattice, tau, names.index("mu") if "mu" in names else None, mu, sd, tolerance)
    return Solution(stated, lattice, names, places, chosen, chances, FrozenMap(fixed), (mu, tau), error)


def _rule(
    chances: Chances,
    counts: Array,
    axes: list[ParameterAxis],
    parameters: Callable[[Array], tuple[Array, Array, Array]],
    base: Callable[[Array], Array],
    tolerance: float,
) -> tuple[WeightRule, float]:
    """Return the rule for the weights, from a coarse look at where the posterior is."""
    if not axes:
        psi, density = np.zeros((1, 0)), np.zeros(1)
    else:
        grid = [np.linspace(axis.first, axis.last, 24 if len(axes) == 2 else 80) for axis in axes]
        t = np.stack(np.meshgrid(*grid, indexing="ij"), axis=-1).reshape(-1, len(axes))
        psi = np.column_stack([axis.x(t[:, d]) for d, axis in enumerate(axes)])
        density = base(psi) + sum(axis.log_weight(t[:, d]) for d, axis in enumerate(axes))
        # What selection adds is bounded by a coarse rule; only places that hold something say where weights lie.
        mu, tau, _ = parameters(psi)
        coarse, _ = integrated(chances, mu, tau, rule(counts, [(0.0, 1.0)] * (len(counts) - 1), 6))
        whole = density + coarse
        kept = whole > whole.max() - 25.0
        psi, density = psi[kept], density[kept]
    mu, tau, _ = parameters(psi)
    return found_rule(chances, counts, mu, tau, density, max(0.3 * tolerance, 3e-9))


def _tau_axis(stated: Reporting) -> ParameterAxis:
    if not stated.tau.proper:
        raise ModelError(
            f"The prior {stated.tau!r} of tau is improper: with a model of reporting it is not known whether the "
            "posterior exists. Use a proper prior, e.g. half_normal(0.5), or engine='nuts'."
        )
    return parameter_axis("tau", stated.tau, float(stated.sei.min()), float(np.ptp(stated.y)))


def _effect_axis() -> ParameterAxis:
    """Return the axis of mu, in SDs from its mean without selection."""
    return ParameterAxis("mu", Flat(), "line", 1.0, 0.0, -math.inf, math.inf, FIRST, LAST)


def integrated_slope(stated: SmallStudy, tolerance: float) -> Solution:
    """Return the solved posterior of a model with a slope on study size."""
    turned = isinstance(stated.bias, Mirrored)
    slope_prior = stated.bias.of if isinstance(stated.bias, Mirrored) else stated.bias
    sign = -1.0 if turned else 1.0
    fixed = {n: v for n, p in (("tau", stated.tau), ("bias", stated.bias)) if (v := fixed_value(p)) is not None}
    names = tuple(name for name in ("tau", "bias") if name not in fixed)
    unit = float((stated.x**2 / stated.sei**2).sum() ** -0.5)
    spread = float(np.ptp(stated.y)) / max(float(np.ptp(stated.x)), unit * 1e-3)
    axes = [
        _tau_axis(stated) if name == "tau" else parameter_axis("bias", slope_prior, unit, spread, squared=False)
        for name in names
    ]

    def parameters(psi: Array) -> tuple[Array, Array]:
        tau = psi[:, names.index("tau")] if "tau" in names else np.full(len(psi), fixed["tau"])
        if "bias" in names:
            return tau, sign * psi[:, names.index("bias")]
        return tau, np.full(len(psi), fixed["bias"])

    def likelihood(psi: Array) -> tuple[Array, Array]:
        tau, slope = parameters(psi)
        value = np.empty(len(psi))
        step = max(1, 1_000_000 // len(stated.y))
        for i in range(0, len(psi), step):
            log = mu_given(stated, tau[i : i + step], slope[i : i + step])[0]
            value[i : i + step] = np.logaddexp.reduce(log, axis=1)
        return value, np.zeros((len(psi), 0))

    lattice = integrate(likelihood, axes, tolerance) if axes else _one_place(likelihood)
    tau, slope = parameters(lattice.psi)
    places = small_study_places(stated, lattice, tau, slope)
    return Solution(stated, lattice, names, places, None, None, FrozenMap(fixed), (tau, slope), 0.0)


def _one_place(likelihood: Callable[[Array], tuple[Array, Array]]) -> Lattice:
    value, extra = likelihood(np.zeros((1, 0)))
    empty = np.zeros((1, 0))
    return Lattice(
        (), np.zeros(0), np.zeros(0), empty.astype(np.int64), empty, value, np.ones(1), extra, float(value[0]),
        np.zeros(0), 1,
    )  # fmt: skip


def _diagnostics(solution: Solution) -> Diagnostics:
    nodes = 0 if solution.rule is None else int(np.prod(solution.rule.shape))
    inside = f", and {nodes} nodes of the weights" if nodes else ""
    over = f"a lattice of {len(solution.lattice.mass)} places of {', '.join(solution.names) or 'nothing'}{inside}"
    return Diagnostics(
        ok=True,
        verdict=f"Deterministic integration over {over}; nothing is wrong by more than {solution.error_estimate:.1e} "
        "(relative).",
        figures=FrozenMap(
            {
                "error_estimate": solution.error_estimate,
                "nodes": float(len(solution.lattice.mass) * max(nodes, 1)),
                "evaluations": float(solution.lattice.evaluated),
            }
        ),
    )


def _datatree(solution: Solution, data: Any, draws: int, seed: int | None) -> "xr.DataTree":
    """Return draws: places by their probabilities, blurred as the density is smooth between them."""
    rng = np.random.default_rng(seed)
    places = solution.places
    weight = np.maximum(places.weight, 0.0)
    picked = rng.choice(len(weight), draws, p=weight / weight.sum())
    mu = places.mean[picked] + places.sd[picked] * rng.standard_normal(draws)
    tau = places.tau[picked]
    theta = []
    for i in range(len(solution.stated.study)):
        v = solution.stated.sei[i] ** 2
        shrinkage = v / (v + tau**2)
        y = solution.stated.y[i] - (
            places.slope[picked] * solution.stated.x[i] if isinstance(solution.stated, SmallStudy) else 0.0
        )
        mean = shrinkage * mu + (1.0 - shrinkage) * y
        theta.append(mean + np.sqrt((1.0 - shrinkage) * v) * rng.standard_normal(draws))
    values = {"mu": mu, "tau": tau, "tau2": tau**2, "theta_new": mu + tau * rng.standard_normal(draws)}
    if isinstance(solution.stated, SmallStudy):
        values["bias"] = places.slope[picked]
    values["theta"] = np.column_stack(theta)
    return tree_of(values, {"theta": ("study", list(solution.stated.study))}, data, seed)
