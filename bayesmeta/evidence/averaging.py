"""Averages of models, weighted by their evidence."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.errors import DataError, ModelError
from bayesmeta.evidence.bayes_factors import check_same_data, log_evidence, measure_of_mu
from bayesmeta.marginals import Known, known
from bayesmeta.marginals.average import Average
from bayesmeta.posterior import AVERAGE, Diagnostics, Marginal, Posterior
from bayesmeta.values import Array, FrozenMap, IntervalKind, frozen_array
from bayesmeta.words import joined

if TYPE_CHECKING:
    import xarray as xr


# Draws of an average are independent, laid out in as many chains as those of a fit by quadrature.
AVERAGE_CHAINS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Averaged:
    """How a model average was made.

    Parameters
    ----------
    posteriors
        The fits.
    prior_weights, weights
        ``(n,)`` probabilities of the models before and after the data.
    """

    posteriors: tuple[Posterior, ...]
    prior_weights: Array
    weights: Array

    def inclusion_bayes_factor(self, included: Sequence[bool]) -> float:
        """Return the Bayes factor of the models marked True against the others: posterior odds over prior odds.

        Raises
        ------
        ModelError
            If there is not one value per model, or all are the same.
        """
        mask = np.asarray(included, dtype=bool)
        if mask.shape != self.weights.shape or mask.all() or not mask.any():
            raise ModelError(f"included= needs {len(self.weights)} true/false values, some of each.")
        prior = self.prior_weights[mask].sum() / self.prior_weights[~mask].sum()
        # Infinite where the others are improbable beyond the floats.
        with np.errstate(divide="ignore"):
            return float(self.weights[mask].sum() / self.weights[~mask].sum() / prior)


def known_value(posterior: Posterior, name: str) -> float | None:
    """Return the value of mu, a coefficient, tau, tau2 or I2 (percent) where a fit knows it, else None."""
    if name in posterior.marginals:
        marginal = posterior[name]
        return marginal.value if isinstance(marginal, Known) else None
    if isinstance(posterior.details, Averaged):
        values = {known_value(fitted, name) for fitted in posterior.details.posteriors}
        return values.pop() if len(values) == 1 else None
    # Quadrature takes a model without a tau as one in which all studies share an effect.
    return 0.0 if name in ("tau", "tau2", "I2") and "tau" not in {*posterior.marginals, *posterior.priors} else None


def model_average(posteriors: Sequence[Posterior], weights: ArrayLike | None = None) -> Posterior:
    """Return the average of several fits to the same data, each weighted by how well it predicted them.

    Parameters
    ----------
    posteriors
        Fits with proper priors: other models, or other priors of the same model.
    weights
        ``(n,)`` prior probabilities of the models; equal when None.

    Returns
    -------
    Posterior
        Its ``details`` is an `Averaged` with the models' posterior probabilities.

    Raises
    ------
    ModelError
        If a fit has no marginal likelihood, or the weights are not probabilities.
    DataError
        If there are none, or they are of different data or effect measures.

    References
    ----------
    Hoeting, Madigan, Raftery & Volinsky (1999), Statistical Science 14:382-401.
    """
    fits = tuple(posteriors)
    if not fits:
        raise DataError("Give at least one fit to average.")
    check_same_data(fits, "A model average weighs")
    if len(about := {measure_of_mu(f) for f in fits}) > 1:
        raise DataError(
            f"mu has not one meaning in these fits, which are about {joined(sorted(about))}: fit one measure."
        )
    prior = np.full(len(fits), 1.0 / len(fits)) if weights is None else np.asarray(weights, dtype=float)
    if prior.shape != (len(fits),) or not np.all(prior > 0) or not np.isfinite(prior).all():
        raise ModelError(f"weights= needs {len(fits)} numbers > 0, the prior probability of each model.")
    prior = prior / prior.sum()
    log = np.array([log_evidence(f) for f in fits]) + np.log(prior)
    peak = float(log.max())
    after = np.exp(log - peak)
    total = float(after.sum())
    details = Averaged(fits, frozen_array(prior), frozen_array(after / total))
    worst = max(f.diagnostics.figures.get("error_estimate", math.inf) for f in fits)
    shares = ", ".join(f"{f.model.name} {w:.4g}" for f, w in zip(fits, details.weights, strict=True))
    return Posterior(
        data=fits[0].data,
        model=fits[0].model,
        priors=fits[0].priors,
        engine=AVERAGE,
        marginals=FrozenMap(_marginals(details)),
        theta=FrozenMap({s: Average(details.weights, [f.theta[s] for f in fits]) for s in fits[0].theta}),
        diagnostics=Diagnostics(
            ok=all(f.diagnostics.ok for f in fits),
            verdict=f"Average over {len(fits)} fits with posterior probabilities {shares}.",
            figures={"error_estimate": worst},
        ),
        datatree=partial(_mixed_draws, details),
        log_evidence=peak + math.log(total),
        versions=fits[0].versions,
        details=details,
    )


def _marginals(averaged: Averaged) -> dict[str, Marginal]:
    """Return the average of every quantity that each fit has or knows; that of models without a tau has none."""
    fits = averaged.posteriors
    named = [name for fitted in fits for name in fitted.marginals]
    coefficients = [name for name in named if name.startswith("beta[")]
    found: dict[str, Marginal] = {}
    for name in dict.fromkeys(["mu", *coefficients, "tau", "tau2", "I2", "theta_new", *named]):
        has = [name in fitted.marginals for fitted in fits]
        # First those that lack it: the marginals of the others may take long to make.
        if not any(has) or any(known_value(f, name) is None for f, h in zip(fits, has, strict=True) if not h):
            continue
        values = [known_value(fitted, name) for fitted in fits]
        parts = [f.marginals[name] if v is None else known(v) for f, v in zip(fits, values, strict=True)]
        kind: IntervalKind = "posterior prediction" if name == "theta_new" else "credible"
        same = values[0] if _all_alike(values) else None
        found[name] = Average(averaged.weights, parts, kind=kind) if same is None else known(same, kind)
    return found


def _all_alike(values: Sequence[float | None]) -> bool:
    """Return whether every fit knows a quantity, and knows the same."""
    return None not in values and len(set(values)) == 1


def _mixed_draws(averaged: Averaged, draws: int, seed: int | None) -> "xr.DataTree":
    """Return draws of the average: a multinomial number from each fit, shuffled; what not every fit has is left out."""
    import pandas as pd
    import xarray as xr

    rng = np.random.default_rng(seed)
    draws += -draws % AVERAGE_CHAINS
    counts = rng.multinomial(draws, averaged.weights).tolist()
    sets = []
    for fitted, n in zip(averaged.posteriors, counts, strict=True):
        # One draw of a fit that has no share says which quantities it has.
        one = fitted.to_datatree(max(n, 1), int(rng.integers(2**31)))["posterior"].to_dataset()
        sets.append(one.stack(sample=("chain", "draw")).reset_index("sample", drop=True).isel(sample=slice(n)))
    full = _shared(averaged.posteriors, sets)
    mixed = xr.concat(full, dim="sample").isel(sample=rng.permutation(draws))
    chains = np.arange(AVERAGE_CHAINS), np.arange(draws // AVERAGE_CHAINS)
    places = pd.MultiIndex.from_product(chains, names=("chain", "draw"))
    mixed = mixed.assign_coords(xr.Coordinates.from_pandas_multiindex(places, "sample")).unstack("sample")
    mixed = mixed.transpose("chain", "draw", ...)
    return xr.DataTree.from_dict({"/posterior": mixed.assign_attrs(engine=AVERAGE)})


def _shared(fits: Sequence[Posterior], sets: "Sequence[xr.Dataset]") -> "list[xr.Dataset]":
    """Return each fit's draws of the quantities that all fits have, or know without drawing."""
    kept: list[dict[str, Any]] = [{} for _ in sets]
    for name in dict.fromkeys(["mu", "tau", "tau2", *(str(name) for one in sets for name in one.data_vars)]):
        values = [None if name in one else known_value(f, name) for f, one in zip(fits, sets, strict=True)]
        if any(v is None and name not in one for v, one in zip(values, sets, strict=True)) or _all_alike(values):
            continue
        # Coefficients of other moderators are other quantities.
        if len({_labels(one[name]) for one in sets if name in one}) > 1:
            continue
        for own, one, value in zip(kept, sets, values, strict=True):
            own[name] = one[name] if value is None else ("sample", np.full(one.sizes["sample"], value))
    return [one[[]].assign(own) for one, own in zip(sets, kept, strict=True)]


def _labels(variable: "xr.DataArray") -> frozenset[tuple[str, frozenset[str]]]:
    return frozenset((str(dim), frozenset(map(str, index))) for dim, index in variable.indexes.items())
