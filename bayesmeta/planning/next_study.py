"""The next study: how probable its success is, how it would move the meta-analysis, and what it is worth."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bayesmeta.decisions.baseline import Baseline, baseline_risk
from bayesmeta.decisions.predictive import theta_nodes
from bayesmeta.errors import ModelError
from bayesmeta.events import Benefit, Scale, between, check_benefit, measure_scale, side_of_benefit
from bayesmeta.planning.criteria import SIGNIFICANT, Criterion, criterion
from bayesmeta.planning.designs import RATES, RISKS, Basis, Design, check_design
from bayesmeta.planning.foreseen import outlook_for, perfect_information
from bayesmeta.planning.known import DRAWS, Known, known_effects
from bayesmeta.planning.outlook import NextStudy
from bayesmeta.planning.sizes import sizes_of, smallest_se, smallest_size
from bayesmeta.posterior import Posterior
from bayesmeta.priors import parse_prior
from bayesmeta.words import probability_text

# The updated analysis is foreseen at so many of the control risks of an uncertain one.
RISKS_FORESEEN = 5


def next_study(
    posterior: Posterior,
    *,
    n: int | Sequence[int] | None = None,
    control_risk: Any = None,
    success: str = SIGNIFICANT,
    benefit: Benefit | None = None,
    level: float = 0.95,
    certainty: float = 0.975,
    allocation: float = 1.0,
    control_rate: float | None = None,
    follow_up: float = 1.0,
    sd: float | None = None,
    se: float | None = None,
    se_from: Basis = "both arms",
    assurance: float | None = None,
    patients: float | None = None,
) -> NextStudy:
    """Return what a next study of the same question would show, before it is done.

    Its true effect is that of a new study, ``post.theta_new``, so the differences between studies count; its standard
    error follows from its size and the risks of both arms given its true effect. No draws: averages over the true
    effect by quadrature, and the updated analysis through ``p(mu | estimate)``, the same likelihood in both.

    Parameters
    ----------
    posterior
        Of the studies so far, with a mean effect ``mu``.
    n
        Patients per arm, at least 2: one number or several. With `allocation` the mean of both arms.
    control_risk
        Risk in the control arm, for OR, RR, RD and HR: a number, a distribution (``"beta(40, 60)"``, a scipy one) or
        a baseline (``bm.pooled_baseline(counts)``).
    success
        ``"significant"``: the study alone, two-sided at ``1 - level``, in the direction of benefit. Or a bound on its
        estimate, natural scale: ``"OR < 0.9"``. Or ``"P(benefit) > 0.975"`` of the updated analysis.
    benefit
        ``"lower"`` or ``"higher"``.
    level
        Of intervals, and of significance.
    certainty
        Probability of benefit (or of harm) from which on it counts as concluded.
    allocation
        Patients treated for each control; the total stays ``2 n``.
    control_rate, follow_up
        For rates: events per unit of person-time in the control arm, and person-time of a patient.
    sd
        For mean differences: standard deviation of one patient's outcome.
    se
        Standard error of the estimate in place of `n`, analysis scale; for any measure.
    se_from
        ``"both arms"``: risks of both arms given the true effect. ``"control risk"``: the textbook form, with the
        control risk in both.
    assurance
        In place of `n`: the smallest study with this assurance is sought.
    patients
        Over how many patients events avoided are counted.

    Returns
    -------
    NextStudy

    Raises
    ------
    ModelError
        If what is asked for is impossible, with what to write; if no study has the assurance wanted.

    References
    ----------
    O'Hagan, Stevens & Campbell 2005, Pharmaceutical Statistics 4:187-201 (assurance);
    Ades, Lu & Claxton 2004, Medical Decision Making 24:207-227 (EVSI).
    """
    direction = check_benefit(benefit)
    name, scale = _measure(posterior)
    assert scale.null is not None
    _check_numbers(level, certainty, patients)
    asked = criterion(success, direction, scale, level)
    risks = _risks(name, control_risk)
    if control_risk is not None and se is None and name not in RISKS:
        raise ModelError(f"control_risk is for measures of risks, not for {name}: leave it out.")
    plan = Design(name, allocation, control_rate, sd, follow_up, se_from, se)
    designs = [(plan, 1.0)] if risks is None else _with_risks(plan, risks)
    for design, _ in designs[:1]:
        check_design(design)
    if patients is not None and designs[0][0].control is None:
        raise ModelError("patients= counts events avoided: it needs control_risk (or control_rate for rates).")
    if assurance is not None:
        if n is not None or se is not None:
            raise ModelError("Give n (or se), or the assurance for which n is sought, not both.")
        sizes: list[int | None] = [smallest_size(posterior, designs, asked, assurance, scale)]
    else:
        sizes = sizes_of(n, se)
    null = scale.from_natural(scale.null)
    foreseen = [(plan, 1.0)] if risks is None else _with_risks(plan, _few(risks))
    width = min(smallest_se(posterior, foreseen, size) for size in sizes)
    known = known_effects(posterior, width, null if asked.kind == "probability" else asked.bound)
    outlooks = tuple(
        outlook_for(posterior, known, size, (designs, foreseen), asked, (null, level, certainty), patients)
        for size in sizes
    )
    mu, new = posterior.mu, posterior.theta_new
    bounds = side_of_benefit(null, direction)
    evpi, evpi_events = perfect_information(posterior, foreseen, direction, null, patients)
    return NextStudy(
        outlooks,
        assurance is not None or not isinstance(n, Sequence | np.ndarray),
        name,
        direction,
        level,
        certainty,
        asked.text,
        _design_words(plan, risks),
        between(mu, *bounds),
        between(new, *bounds),
        evpi,
        evpi_events,
        patients,
        _notes(posterior, designs, asked, known),
    )


def _measure(posterior: Posterior) -> tuple[str, Scale]:
    if not isinstance(posterior, Posterior):
        raise ModelError(
            f"next_study takes a posterior, not {type(posterior).__name__}: fit the studies first, bm.fit."
        )
    if not {"mu", "theta_new"} <= set(posterior.marginals):
        raise ModelError(
            f"Model {posterior.model.name!r} has no one mean effect and true effect of a new study (mu, theta_new): "
            "use a model without moderators, such as normal_normal."
        )
    name = posterior.measure
    if name is None:
        raise ModelError("The posterior does not say what its effect measure is: state MEASURE in the model file.")
    scale = measure_scale(name)
    if scale.null is None:
        raise ModelError(f"{scale.label} has no value that means no effect, so a study of it has no success.")
    return name, scale


def _check_numbers(level: float, certainty: float, patients: float | None) -> None:
    if not 0.0 < level < 1.0:
        raise ModelError(f"level={level!r}: write a number between 0 and 1, e.g. 0.95.")
    if not 0.5 <= certainty < 1.0:
        raise ModelError(f"certainty={certainty!r}: a probability from 0.5 to below 1, e.g. 0.975.")
    if patients is not None and not (math.isfinite(patients) and patients > 0):
        raise ModelError(f"patients={patients!r}: write how many patients the decision is about, e.g. 10000.")


def _risks(measure: str, control_risk: Any) -> Baseline | None:
    if control_risk is None:
        return None
    return baseline_risk(parse_prior(control_risk) if isinstance(control_risk, str) else control_risk)


def _with_risks(plan: Design, risks: Baseline) -> list[tuple[Design, float]]:
    pairs = zip(risks.risk.tolist(), risks.weight.tolist(), strict=True)
    return [(replace(plan, control=risk), weight) for risk, weight in pairs]


def _few(risks: Baseline) -> Baseline:
    """Return an uncertain risk by the means of equally probable parts of it."""
    if risks.fixed:
        return risks
    edge = np.concatenate([[0.0], np.cumsum(risks.weight)]) / risks.weight.sum()
    cuts = np.linspace(0.0, 1.0, RISKS_FORESEEN + 1)
    total = np.concatenate([[0.0], np.cumsum(risks.weight * risks.risk)])
    parts = np.diff(np.interp(cuts, edge, total)) * RISKS_FORESEEN / risks.weight.sum()
    return replace(risks, risk=parts, weight=np.full(RISKS_FORESEEN, 1.0 / RISKS_FORESEEN))


def _design_words(plan: Design, risks: Baseline | None) -> str:
    if plan.se is not None:
        return f"Standard error {plan.se:g} (analysis scale)"
    parts = []
    if risks is not None:
        parts.append(f"control risk {risks.words}")
    if plan.control is not None and risks is None:
        parts.append(f"control rate {plan.control:g}, follow-up {plan.follow_up:g}")
    if plan.sd is not None:
        parts.append(f"SD {plan.sd:g}")
    if plan.allocation != 1.0:
        parts.append(f"{plan.allocation:g} treated for each control")
    if plan.basis == "control risk" and risks is not None:
        parts.append("standard error at the control risk in both arms")
    words = "; ".join(parts) or "arms of one size"
    return words[0].upper() + words[1:]


def _notes(
    posterior: Posterior, designs: list[tuple[Design, float]], asked: Criterion, known: Known
) -> tuple[str, ...]:
    said = []
    if known.sampled:
        said.append(
            f"Updated analyses are foreseen from {DRAWS} draws of mu and tau, so two digits of them can be trusted. "
            "The model normal_normal needs no draws."
        )
    design = designs[0][0]
    if design.se is None and design.control is not None:
        theta, weight = theta_nodes(posterior.theta_new, posterior.theta_new.sd() or 1.0, asked.bound)
        moved = design.control + design.difference(theta)
        cut = float(weight @ ((moved <= 0.0) | (moved >= (np.inf if design.measure in RATES else 1.0))))
        if cut > 1e-6:
            said.append(
                f"True effects that would take the treated arm's risk beyond what is possible (probability "
                f"{probability_text(cut)}) are cut there."
            )
    if not posterior.diagnostics.ok:
        said.append(posterior.diagnostics.verdict)
    return tuple(said)
