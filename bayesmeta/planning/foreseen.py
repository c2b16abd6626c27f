"""What one size of the next study would show: averages over its true effect and over the control risk."""

import math
from typing import Any

import numpy as np
from scipy.special import ndtr

from bayesmeta.decisions.predictive import theta_nodes
from bayesmeta.events import Benefit
from bayesmeta.planning.criteria import Criterion
from bayesmeta.planning.designs import Design
from bayesmeta.planning.known import Known
from bayesmeta.planning.outlook import Outlook
from bayesmeta.planning.sizes import assurance_of
from bayesmeta.planning.updated import Updated
from bayesmeta.posterior import Posterior
from bayesmeta.values import Array


def outlook_for(
    posterior: Posterior,
    known: Known,
    n: int | None,
    plans: tuple[list[tuple[Design, float]], list[tuple[Design, float]]],
    asked: Criterion,
    about: tuple[float, float, float],
    patients: float | None,
) -> Outlook:
    """Return what a next study of one size would show.

    Parameters
    ----------
    posterior, known
        Of the studies so far; what it knows of the next.
    n
        Patients per arm; None with a given standard error.
    plans
        Designs at the control risks with their probabilities: all of them, and the few at which the updated analysis
        is foreseen.
    asked
        Success.
    about
        No effect (analysis scale), level of intervals, certainty of a conclusion.
    patients
        Over which events are counted.
    """
    (designs, foreseen), (null, _, certainty) = plans, about
    lower = asked.benefit == "lower"
    sign = -1.0 if lower else 1.0
    below = known.mu_below(null)
    benefit = below if lower else 1.0 - below
    finite = math.isfinite(posterior.mu.mean()) and math.isfinite(posterior.mu.sd())
    parts = [
        _one_risk(posterior, known, design, n, asked, (benefit, sign, finite), about, patients)
        for design, _ in foreseen
    ]
    shares = np.array([share for _, share in foreseen])
    shares = shares / shares.sum()
    mean = {key: _weighted(parts, key, shares) for key in parts[0]}
    if asked.kind != "probability":
        mean["assurance"] = assurance_of(posterior, designs, asked, n)
    conclude = (mean["conclude_benefit"], mean["conclude_harm"])
    remain = max(0.0, 1.0 - conclude[0] - conclude[1])
    now = float(known.weight @ benefit)
    stays = conclude[0] if now > certainty else conclude[1] if 1.0 - now > certainty else remain
    arms = designs[0][0].arms(n) if n is not None else (None, None)
    return Outlook(
        n=n,
        n_treatment=arms[0],
        n_control=arms[1],
        expected_probability=now,
        remain_open=remain,
        overturn=max(0.0, 1.0 - stays),
        interval=(mean.pop("low"), mean.pop("high")),
        **mean,
    )


def _weighted(parts: list[dict[str, Any]], key: str, shares: Array) -> Any:
    values = [part[key] for part in parts]
    return None if values[0] is None else float(shares @ np.array(values, dtype=float))


def _one_risk(
    posterior: Posterior,
    known: Known,
    design: Design,
    n: int | None,
    asked: Criterion,
    gains: tuple[Array, float, bool],
    about: tuple[float, float, float],
    patients: float | None,
) -> dict[str, Any]:
    """Return the figures of one size at one control risk."""
    benefit, sign, finite = gains
    null, level, certainty = about
    size = float(n or 0)
    se = design.standard_error(known.theta, size)
    updated = Updated(known, se)
    center = posterior.mu.mean() if finite else posterior.mu.median()
    at_mean = design.standard_error(np.array([center]), size)
    gain = sign * (known.mu_mean() - null)
    now = float(known.weight @ gain)
    here = known.weight @ updated.chance(updated.where(gain, 0.0))
    low, median, high = updated.quantiles_of(benefit, (0.025, 0.5, 0.975))
    edges = np.asarray(posterior.mu.ppf([1e-10, 1.0 - 1e-10]), dtype=float)
    limits = updated.expected_interval(level, *known.table(float(edges[0]), float(edges[1])))
    alone = asked.kind != "probability"
    events: float | None = None
    if patients is not None:
        added = known.expected(design.events)
        saved = sign * added * patients
        events = updated.value(saved) - max(0.0, float(known.weight @ saved))
    return {
        "se": float(at_mean[0]),
        "power": float(asked.chance(np.array([center]), at_mean)[0])
        if alone
        else float(_chance_at(updated, benefit, asked.bound, center, float(at_mean[0]))),
        "assurance": math.nan if alone else asked.probability(known, se, updated, benefit),
        "probability_low": low,
        "probability_median": median,
        "probability_high": high,
        "conclude_benefit": float(known.weight @ updated.chance(updated.where(benefit, certainty))),
        "conclude_harm": float(known.weight @ updated.chance(updated.where(1.0 - benefit, certainty))),
        "change_of_side": float(1.0 - here if now > 0.0 else here),
        "low": limits[0],
        "high": limits[1],
        "evsi": updated.value(gain) - max(0.0, now) if finite else None,
        "evsi_events": events,
    }


def _chance_at(updated: Updated, benefit: Array, bound: float, center: float, se: float) -> float:
    """Return the probability of a success by the updated analysis if the true effect were `center`."""
    regions = updated.where(benefit, bound)
    return float(sum(ndtr((high - center) / se) - ndtr((low - center) / se) for low, high in regions))


def perfect_information(
    posterior: Posterior, foreseen: list[tuple[Design, float]], benefit: Benefit, null: float, patients: float | None
) -> tuple[float | None, float | None]:
    """Return the expected value of knowing the mean effect: analysis scale, and events avoided."""
    sign, mu = (-1.0 if benefit == "lower" else 1.0), posterior.mu
    if not (math.isfinite(mu.mean()) and math.isfinite(mu.sd())):
        return None, None
    if mu.sd() == 0.0:
        return 0.0, None if patients is None else 0.0
    theta, weight = theta_nodes(mu, 0.25 * mu.sd(), null)
    gain = sign * (theta - null)
    value = float(weight @ np.maximum(gain, 0.0)) - max(0.0, float(weight @ gain))
    if patients is None:
        return value, None
    total, each = math.fsum(share for _, share in foreseen), []
    for design, share in foreseen:
        saved = sign * patients * design.events(theta)
        each.append(share * (float(weight @ np.maximum(saved, 0.0)) - max(0.0, float(weight @ saved))))
    return value, math.fsum(each) / total
