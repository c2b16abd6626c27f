"""The model's PyMC program, sampled with NUTS; remedies are tried where sampling goes badly, and recorded."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from bayesmeta.engines.axes.tau_prior import known_tau, tail_exponent
from bayesmeta.engines.lazy import Lazy
from bayesmeta.engines.sampling.chains import Run, Settings, run
from bayesmeta.engines.sampling.compiled.program_cache import prepare
from bayesmeta.engines.sampling.results.datatree import datatree
from bayesmeta.engines.sampling.results.diagnostics import BFMI_LIMIT, diagnose
from bayesmeta.engines.sampling.results.fitted import Fitted
from bayesmeta.engines.sampling.results.moments import missing_moments
from bayesmeta.engines.sampling.results.quantities import Quantities, derive, effect_labels
from bayesmeta.engines.versions import versions
from bayesmeta.errors import ModelError, unknown
from bayesmeta.gaussian.covariance import Covariance
from bayesmeta.gaussian.power_tails import tails
from bayesmeta.marginals.draws import DrawsMarginal
from bayesmeta.model import DEFAULT_VARIANT, Gaussian, Model
from bayesmeta.posterior import Diagnostics, Posterior
from bayesmeta.priors import Prior
from bayesmeta.values import Array, FrozenMap

PACKAGES = ("pymc", "pytensor", "nutpie", "numba", "arviz")
SUPPORT = {"tau": (0.0, math.inf), "tau2": (0.0, math.inf), "I2": (0.0, 100.0)}
ATTEMPTS = 5
THIN_SCALARS, THIN = 8, 4
CAREFUL, VERY_CAREFUL = 0.99, 0.999
# Fewer divergences than one in so many transitions: smaller steps cure them more often than another parametrisation.
FEW = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Attempt:
    """One run of the sampler, and what it is worth."""

    settings: Settings
    variant: str
    run: Run
    quantities: Quantities
    diagnostics: Diagnostics


def sample(
    model: Model,
    data: Any,
    priors: Mapping[str, Prior],
    *,
    seed: int | None = None,
    draws: int = 4000,
    tune: int = 1000,
    thin: int | None = None,
    chains: int = 4,
    target_accept: float = 0.98,
    variant: str = DEFAULT_VARIANT,
    remedies: bool = True,
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
    thin
        One draw in so many is kept, so that the kept ones are nearly independent; by default 8 where
        the true effects are integrated out, and draws cost next to nothing, else 4.
    target_accept
        Mean acceptance probability that the step size is tuned to, between 0 and 1.
    variant
        Which of the model's PyMC programs; ``"default"`` is its ``build``.
    remedies
        Whether to try again when diagnostics are bad: with smaller steps, in another
        parametrisation, for longer. What was tried is in ``diagnostics.remedies``.
    progress
        Whether to show a progress bar for each chain, on a terminal.

    Raises
    ------
    ModelError
        If an option is out of range, the model has no such variant, or the prior of tau lets it be negative.
    ConvergenceError
        If the sampler cannot start.
    """
    # What is wrong with a prior of tau is wrong with it for every engine.
    known_tau(priors.get("tau"))
    if model.gaussian is not None:
        _check_proper(model.gaussian(data, priors))
    seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
    if thin is None:
        thin = THIN_SCALARS if variant == DEFAULT_VARIANT and _samples_scalars(model, data, priors) else THIN
    settings = Settings(draws=draws, tune=tune, thin=thin, chains=chains, target_accept=target_accept, seed=seed)
    _check(settings, model, variant)
    attempts = [_attempt(model, data, priors, settings, variant, progress)]
    tried: list[str] = []
    while remedies and not attempts[-1].diagnostics.ok and len(attempts) < ATTEMPTS:
        step = _remedy(attempts, model)
        if step is None:
            break
        what, settings, variant = step
        attempts.append(_attempt(model, data, priors, settings, variant, progress))
        tried.append(what)
    return _posterior(model, data, priors, min(attempts, key=_badness), tuple(tried))


def _check_proper(given: Gaussian) -> None:
    """Refuse an improper posterior: a sampler would return numbers for it all the same."""
    if not given.independent:
        tails(given, Covariance(given))
    elif given.tau is not None and known_tau(given.tau) is None:
        tail_exponent(given.tau, len(given.y), sum(not prior.proper for prior in given.beta))


def _samples_scalars(model: Model, data: Any, priors: Mapping[str, Prior]) -> bool:
    """Return whether the program has integrated the true effects out, so that draws cost next to nothing."""
    return model.gaussian is not None and model.gaussian(data, priors).independent


def _check(settings: Settings, model: Model, variant: str) -> None:
    for name, least in (("draws", 4), ("tune", 1), ("thin", 1), ("chains", 1)):
        value = getattr(settings, name)
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise ModelError(f"{name}={value!r}: it must be a whole number of at least {least}.")
    accept = settings.target_accept
    if not isinstance(accept, int | float | np.floating) or not 0.0 < accept < 1.0:
        raise ModelError(f"target_accept={settings.target_accept!r}: it must lie between 0 and 1, e.g. 0.95.")
    if not isinstance(settings.seed, int) or not 0 <= settings.seed < 2**64:
        raise ModelError(f"seed={settings.seed!r}: it must be a whole number from 0 to 2**64 - 1.")
    if variant not in model.programs:
        raise unknown(f"variant of model {model.name!r}:", variant, model.programs)


def _attempt(
    model: Model, data: Any, priors: Mapping[str, Prior], settings: Settings, variant: str, progress: bool
) -> Attempt:
    result = run(prepare(model, data, priors, variant), settings, progress=progress)
    quantities = derive(model, data, priors, result, settings.seed)
    diagnostics = diagnose(quantities.named(effect_labels(model, data, priors)), result.diverging, result.energy)
    return Attempt(settings, variant, result, quantities, diagnostics)


def _badness(attempt: Attempt) -> tuple[float, ...]:
    figures = attempt.diagnostics.figures
    size = min(figures["min_ess_bulk"], figures["min_ess_tail"])
    return (float(not attempt.diagnostics.ok), figures["divergences"], -size if math.isfinite(size) else 0.0)


def _remedy(attempts: list[Attempt], model: Model) -> tuple[str, Settings, str] | None:
    """Return what to try next, in words, and its settings; None when nothing is left."""
    first, last = attempts[0], attempts[-1]
    figures, settings = last.diagnostics.figures, last.settings
    rough = figures["divergences"] > 0 or not figures["min_bfmi"] > BFMI_LIMIT
    if rough and settings.target_accept < CAREFUL:
        what = f"target_accept raised from {settings.target_accept:g} to {CAREFUL:g}, after {_why(last)}"
        return what, replace(settings, target_accept=CAREFUL), last.variant
    if settings.thin == first.settings.thin:
        longer = replace(settings, thin=4 * settings.thin, tune=2 * settings.tune)
        if not rough:
            return f"run 4 times longer, after {_why(last)}", longer, last.variant
        settings = longer
    few = rough and _few_divergences(last)
    following = next((name for name in model.programs if name not in {a.variant for a in attempts}), None)
    if following is not None and not (few and settings.target_accept < VERY_CAREFUL):
        what = f"parametrisation {following!r} in place of {last.variant!r}, after {_why(last)}"
        return what, replace(settings, target_accept=max(CAREFUL, first.settings.target_accept)), following
    variant = last.variant if few else first.variant
    if any(a.variant == variant and a.settings.target_accept >= VERY_CAREFUL for a in attempts):
        return None
    what = f"target_accept raised to {VERY_CAREFUL:g}, after {_why(last)}"
    return what, replace(settings, target_accept=VERY_CAREFUL), variant


def _few_divergences(attempt: Attempt) -> bool:
    figures = attempt.diagnostics.figures
    return figures["min_bfmi"] > BFMI_LIMIT and FEW * figures["divergences"] <= attempt.run.diverging.size


def _why(attempt: Attempt) -> str:
    figures = attempt.diagnostics.figures
    return (
        f"{figures['divergences']:.0f} divergences, R-hat {figures['max_rhat']:.3f}, "
        f"effective sample size {min(figures['min_ess_bulk'], figures['min_ess_tail']):.0f}"
    )


def _posterior(
    model: Model, data: Any, priors: Mapping[str, Prior], attempt: Attempt, remedies: tuple[str, ...]
) -> Posterior:
    options = {**asdict(attempt.settings), "variant": attempt.variant}
    seed, labels = options.pop("seed"), effect_labels(model, data, priors)
    return Posterior(
        data=data,
        model=model,
        priors=priors,
        engine="nuts",
        marginals=_marginals(attempt.quantities.reported(labels), missing_moments(model, data, priors)),
        theta=_marginals(attempt.quantities.by_study(labels), {}),
        diagnostics=replace(attempt.diagnostics, remedies=remedies),
        datatree=partial(datatree, model, data, priors, attempt.run, attempt.quantities, options),
        seed=seed,
        options=FrozenMap(options),
        versions=versions(*PACKAGES),
        details=None if model.gaussian is None else Fitted(model.gaussian(data, priors), attempt.run.draws, seed),
    )


def _marginals(quantities: Mapping[str, Array], missing: Mapping[str, tuple[bool, bool, str]]) -> Lazy:
    def marginal(name: str, draws: Array) -> DrawsMarginal:
        no_mean, no_sd, why = missing.get(name, (False, False, ""))
        what = "mean and SD" if no_mean else "SD"
        return DrawsMarginal(
            draws,
            support=SUPPORT.get(name, (-math.inf, math.inf)),
            kind="posterior prediction" if name.endswith("_new") else "credible",
            no_mean=no_mean,
            no_sd=no_sd,
            notes=(f"No finite {what}: {why}.",) if no_sd else (),
        )

    return Lazy({name: partial(marginal, name, draws) for name, draws in quantities.items()})
