"""From a program's draws to the quantities a reader wants: theta, a new study, tau squared, I squared.

What the program integrated out is drawn again from its exact conditional, draw by draw, so these
draws belong to the joint posterior.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy import special

from bayesmeta.engines.sampling.chains import Run
from bayesmeta.engines.sampling.results import hierarchical
from bayesmeta.gaussian.leverage import typical_variance
from bayesmeta.likelihoods.cut_normal import quantile
from bayesmeta.model import Gaussian, Model, StudyLikelihoods
from bayesmeta.priors import Prior
from bayesmeta.values import Array

type Draws = Mapping[str, Array]


@dataclass(frozen=True, slots=True, eq=False)
class Quantities:
    """Draws of everything that is reported or diagnosed.

    Parameters
    ----------
    scalars
        Name to ``(chains, draws)``: mu or ``beta[term]``, tau, tau2, I2, theta_new, and the model's own.
    theta
        ``(chains, draws, k)`` true effects, or None where the model has none.
    per_study
        Name to ``(chains, draws, k)`` of what the model computes for each study, e.g. its weight.
    sampled
        Name to ``(chains, draws, n)`` of further vectors, not reported: sampled and diagnosed, or drawn for a DataTree.
    """

    scalars: dict[str, Array] = field(default_factory=dict)
    theta: Array | None = None
    per_study: dict[str, Array] = field(default_factory=dict)
    sampled: dict[str, Array] = field(default_factory=dict)

    def by_study(self, study: tuple[str, ...]) -> dict[str, Array]:
        """Return study label to ``(chains, draws)`` of its true effect."""
        return {} if self.theta is None else {label: self.theta[..., i] for i, label in enumerate(study)}

    def reported(self, study: tuple[str, ...]) -> dict[str, Array]:
        """Return name to ``(chains, draws)`` of everything reported but theta."""
        vectors = self.per_study.items()
        return {**self.scalars, **{f"{n}[{label}]": v[..., i] for n, v in vectors for i, label in enumerate(study)}}

    def named(self, study: tuple[str, ...]) -> dict[str, Array]:
        """Return name to ``(chains, draws)`` of everything that is diagnosed."""
        theta = {f"theta[{label}]": draws for label, draws in self.by_study(study).items()}
        rest = {f"{n}[{i}]": v[..., i] for n, v in self.sampled.items() for i in range(v.shape[-1])}
        # What is reported goes first: a label may be a number, and rest[1] is a name of its own.
        return {**rest, **self.reported(study), **theta}


def stratified_normal(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Return standard normal noise, ``(chains, draws, ...)``, by Latin hypercube sampling over chains and draws.

    Each number is standard normal and they come in random order, but together they fill the
    distribution evenly: what is drawn from a known conditional adds next to no Monte Carlo error.
    McKay, Beckman & Conover (1979), Technometrics 21:239-245.
    """
    n = shape[0] * shape[1]
    columns = int(np.prod(shape[2:], dtype=int))
    strata = rng.permuted(np.tile(np.arange(n), (columns, 1)), axis=1)
    uniform = (strata + rng.random((columns, n))) / n
    return np.asarray(special.ndtri(uniform).T.reshape(shape))


def baselines(model: Model, data: Any, priors: Mapping[str, Prior], draws: Draws, seed: int) -> Array | None:
    """Return ``(chains, draws, k)`` baselines given the other draws, as the model says; None where it says nothing."""
    if model.baseline_given is None:
        return None
    uniform = special.ndtr(stratified_normal(draws["theta"].shape, np.random.default_rng([seed, 3])))
    return model.baseline_given(data, priors, draws, uniform)


def draw_baselines(
    model: Model, data: Any, priors: Mapping[str, Prior], run: Run, quantities: Quantities, seed: int
) -> tuple[Run, Quantities]:
    """Return both with the baselines that the program integrated out, drawn as the model says."""
    if model.baseline_given is None or "baseline" in run.draws or quantities.theta is None:
        return run, quantities
    baseline = baselines(model, data, priors, {**run.draws, "theta": quantities.theta}, seed)
    assert baseline is not None
    drawn = replace(quantities, sampled={**quantities.sampled, "baseline": baseline})
    return replace(run, draws={**run.draws, "baseline": baseline}), drawn


def effect_labels(model: Model, data: Any, priors: Mapping[str, Prior]) -> tuple[str, ...]:
    """Return the labels of the true effects: the studies', unless the model states others."""
    given = None if model.gaussian is None else model.gaussian(data, priors)
    return tuple(data.study) if given is None or given.independent else tuple(given.reported)


def coefficients(draws: Draws, terms: tuple[str, ...]) -> Array:
    """Return ``(chains, draws, p)`` coefficients, in the order of `terms`: mu alone, or a regression's."""
    return draws["mu"][..., None] if terms == ("mu",) else draws["coefficients"]


def _theta_given_rest(gaussian: Gaussian, draws: Draws, rng: np.random.Generator) -> Array:
    """Draw theta from its normal conditional given the coefficients and tau."""
    prediction = coefficients(draws, gaussian.terms) @ gaussian.X.T
    if gaussian.tau is None:
        return prediction
    tau2 = draws["tau"][..., None] ** 2
    shrinkage = gaussian.v / (gaussian.v + tau2)
    mean = shrinkage * prediction + (1.0 - shrinkage) * gaussian.y
    return mean + np.sqrt(shrinkage * tau2) * stratified_normal(mean.shape, rng)


def _new_study(
    draws: Draws, tau: Array | None, likelihoods: StudyLikelihoods | None, rng: np.random.Generator
) -> Array:
    mu = draws["mu"]
    if tau is None:
        return mu
    if likelihoods is not None and likelihoods.random_effects == "t":
        uniform = special.ndtr(stratified_normal(mu.shape, rng))
        return np.asarray(mu + tau * special.stdtrit(likelihoods.df, uniform))
    if likelihoods is not None and all(np.isfinite(likelihoods.support)):
        return quantile(mu, tau, likelihoods.support, special.ndtr(stratified_normal(mu.shape, rng)))
    return mu + tau * stratified_normal(mu.shape, rng)


def derive(model: Model, data: Any, priors: Mapping[str, Prior], run: Run, seed: int) -> Quantities:
    """Return every quantity's draws.

    Parameters
    ----------
    run
        What the sampler returned.
    seed
        Of what is drawn here.
    """
    # A stream of its own: the sampler's chains use the seed itself.
    rng = np.random.default_rng([seed, 1])
    gaussian = model.gaussian(data, priors) if model.gaussian else None
    likelihoods = model.study_likelihoods(data, priors) if model.study_likelihoods else None
    draws = run.draws
    if gaussian is not None and not gaussian.independent:
        return _hierarchical(gaussian, run, rng)
    vectors = {
        name: value for name, value in draws.items() if value.ndim == 3 and name not in ("theta", "coefficients")
    }
    further = {} if model.reported is None else model.reported(data, draws)
    return Quantities(
        scalars={**further, **_scalars(model, draws, gaussian, likelihoods, rng)},
        theta=_theta(model, data, gaussian, draws, rng),
        per_study={n: v for n, v in vectors.items() if n in run.derived and v.shape[-1] == len(data.study)},
        sampled={n: v for n, v in vectors.items() if n not in run.derived},
    )


def _hierarchical(given: Gaussian, run: Run, rng: np.random.Generator) -> Quantities:
    """Return the quantities of a normal model of any structure; further scalars of the program are the model's own."""
    named, theta = hierarchical.reported(given, run.draws, rng)
    # Coefficients of which only differences mean something are drawn, and not reported.
    coefficients = set() if given.means is None else {given.name_of(term) for term in given.terms}
    own = {n: v for n, v in run.draws.items() if v.ndim == 2 and n not in named and n not in coefficients}
    hidden = ("theta", "coefficients")
    sampled = {n: v for n, v in run.draws.items() if v.ndim == 3 and n not in run.derived and n not in hidden}
    return Quantities(scalars={**named, **own}, theta=theta, sampled=sampled)


def _theta(model: Model, data: Any, gaussian: Gaussian | None, draws: Draws, rng: np.random.Generator) -> Array | None:
    if "theta" in draws:
        return draws["theta"]
    if model.theta_given is not None:
        mean, sd = model.theta_given(data, draws)
        return mean + sd * stratified_normal(mean.shape, rng)
    return None if gaussian is None else _theta_given_rest(gaussian, draws, rng)


def _scalars(
    model: Model,
    draws: Draws,
    gaussian: Gaussian | None,
    likelihoods: StudyLikelihoods | None,
    rng: np.random.Generator,
) -> dict[str, Array]:
    scalars: dict[str, Array] = {}
    regression = gaussian is not None and gaussian.terms != ("mu",)
    if gaussian is not None and regression:
        scalars |= {f"beta[{term}]": draws["coefficients"][..., j] for j, term in enumerate(gaussian.terms)}
    scalars |= {n: v for n, v in draws.items() if v.ndim == 2 and not (regression and n == "intercept")}
    tau = draws.get("tau")
    if tau is not None:
        scalars["tau2"] = tau**2
        typical = None if gaussian is None else typical_variance(gaussian.v, gaussian.X)
        if typical is not None:
            scalars["I2"] = 100.0 * tau**2 / (tau**2 + typical)
    offered = gaussian is not None or likelihoods is not None or model.random_effects is not None
    if offered and "mu" in draws and "theta_new" not in scalars:
        scalars["theta_new"] = _new_study(draws, tau, likelihoods, rng)
    return scalars
