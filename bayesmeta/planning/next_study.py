"""The next study: how probable its success is, how it would move the meta-analysis, and what it is worth."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesmeta.decisions.predictive import theta_nodes
from bayesmeta.errors import ModelError
from bayesmeta.events import Benefit, between, side_of_benefit
from bayesmeta.planning.asked import asked_of
from bayesmeta.planning.criteria import SIGNIFICANT, Criterion
from bayesmeta.planning.designs import RATES, Basis, Design
from bayesmeta.planning.foreseen import outlook_for, perfect_information
from bayesmeta.planning.known import DRAWS, Known, known_effects
from bayesmeta.planning.outlook import NextStudy
from bayesmeta.planning.sizes import assurance_of, sizes_of, smallest_se, smallest_size
from bayesmeta.posterior import Posterior
from bayesmeta.values import Array, frozen_array
from bayesmeta.words import probability_text


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
    asked = asked_of(
        posterior,
        success=success,
        benefit=benefit,
        level=level,
        control_risk=control_risk,
        allocation=allocation,
        control_rate=control_rate,
        follow_up=follow_up,
        sd=sd,
        se=se,
        se_from=se_from,
    )
    _check_numbers(certainty, patients)
    designs, few, counts, null = asked.designs, asked.few, asked.criterion, asked.null
    if patients is not None and designs[0][0].control is None:
        raise ModelError("patients= counts events avoided: it needs control_risk (or control_rate for rates).")
    if assurance is not None:
        if n is not None or se is not None:
            raise ModelError("Give n (or se), or the assurance for which n is sought, not both.")
        sizes: list[int | None] = [smallest_size(posterior, designs, counts, assurance, asked.scale)]
    else:
        sizes = sizes_of(n, se)
    width = min(smallest_se(posterior, few, size) for size in sizes)
    known = known_effects(posterior, width, null if counts.kind == "probability" else counts.bound)
    about = (null, level, certainty)
    evpi, evpi_events = perfect_information(posterior, few, counts.benefit, null, patients)
    bounds = side_of_benefit(null, counts.benefit)
    return NextStudy(
        outlooks=tuple(outlook_for(posterior, known, size, (designs, few), counts, about, patients) for size in sizes),
        single=assurance is not None or not isinstance(n, Sequence | np.ndarray),
        measure=asked.measure,
        benefit=counts.benefit,
        level=level,
        certainty=certainty,
        success=counts.text,
        design=asked.words,
        p_benefit=between(posterior.mu, *bounds),
        ceiling=between(posterior.theta_new, *bounds),
        evpi=evpi,
        evpi_events=evpi_events,
        patients=patients,
        notes=_notes(posterior, designs[0][0], counts, known),
    )


@dataclass(frozen=True, slots=True, eq=False)
class AssuranceCurve:
    """Assurance and power over sizes of the next study.

    Parameters
    ----------
    n
        ``(m,)`` patients per arm.
    assurance
        ``(m,)`` probabilities of success over all that is known of the study's true effect.
    power
        ``(m,)`` probabilities of success if its true effect were the mean of mu.
    ceiling
        Probability that the true effect of a new study passes what success asks for: no size has more assurance.
    success
        In words.
    """

    n: Array
    assurance: Array
    power: Array
    ceiling: float
    success: str


def assurance_curve(
    posterior: Posterior,
    n: Sequence[int] | Array,
    *,
    success: str = SIGNIFICANT,
    benefit: Benefit | None = None,
    level: float = 0.95,
    **design: Any,
) -> AssuranceCurve:
    """Return assurance and power over many sizes, without the updated analyses; options as in `next_study`.

    Raises
    ------
    ModelError
        As `next_study`; and if success is about the updated analysis.
    """
    asked = asked_of(posterior, success=success, benefit=benefit, level=level, **design)
    counts, designs = asked.criterion, asked.few
    if counts.kind == "probability":
        raise ModelError("A curve needs success of the study alone: 'significant', or a bound of its estimate.")
    sizes = [size for size in sizes_of(list(n), None) if size is not None]
    mean = np.array([posterior.mu.mean() if math.isfinite(posterior.mu.mean()) else posterior.mu.median()])
    power = [
        sum(share * float(counts.chance(mean, d.standard_error(mean, float(size)))[0]) for d, share in designs)
        for size in sizes
    ]
    assurance = [assurance_of(posterior, designs, counts, size) for size in sizes]
    ceiling = between(posterior.theta_new, *side_of_benefit(counts.bound, counts.benefit))
    return AssuranceCurve(frozen_array(sizes), frozen_array(assurance), frozen_array(power), ceiling, counts.text)


def _check_numbers(certainty: float, patients: float | None) -> None:
    if not 0.5 <= certainty < 1.0:
        raise ModelError(f"certainty={certainty!r}: a probability from 0.5 to below 1, e.g. 0.975.")
    if patients is not None and not (math.isfinite(patients) and patients > 0):
        raise ModelError(f"patients={patients!r}: write how many patients the decision is about, e.g. 10000.")


def _notes(posterior: Posterior, design: Design, asked: Criterion, known: Known) -> tuple[str, ...]:
    said = []
    if known.sampled:
        said.append(
            f"Updated analyses are foreseen from {DRAWS} draws of mu and tau, so two digits of them can be trusted. "
            "The model normal_normal needs no draws."
        )
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
