"""What is asked of the next study: its design at every control risk, and what counts as success."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bayesmeta.decisions.baseline import Baseline, baseline_risk
from bayesmeta.errors import ModelError
from bayesmeta.events import Benefit, Scale, check_benefit, measure_scale
from bayesmeta.planning.criteria import Criterion, criterion
from bayesmeta.planning.designs import RISKS, Basis, Design, check_design
from bayesmeta.posterior import Posterior
from bayesmeta.priors import parse_prior

# The updated analysis is foreseen at so many of the control risks of an uncertain one.
RISKS_FORESEEN = 5


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What is asked of the next study.

    Parameters
    ----------
    measure, scale
        Of the effect.
    criterion
        What counts as success.
    plan
        The design; without a control risk where that is uncertain.
    risks
        The control risk; None for a measure without one.
    """

    measure: str
    scale: Scale
    criterion: Criterion
    plan: Design
    risks: Baseline | None

    @property
    def null(self) -> float:
        """No effect, analysis scale."""
        assert self.scale.null is not None
        return self.scale.from_natural(self.scale.null)

    @property
    def designs(self) -> list[tuple[Design, float]]:
        """The design at each control risk, with its probability."""
        return [(self.plan, 1.0)] if self.risks is None else _with_risks(self.plan, self.risks)

    @property
    def few(self) -> list[tuple[Design, float]]:
        """The same at a few control risks, for what takes longer."""
        return [(self.plan, 1.0)] if self.risks is None else _with_risks(self.plan, _few(self.risks))

    @property
    def words(self) -> str:
        """The design in words."""
        return _design_words(self.plan, self.risks)


def asked_of(
    posterior: Posterior,
    *,
    success: str,
    benefit: Benefit | None,
    level: float,
    control_risk: Any = None,
    allocation: float = 1.0,
    control_rate: float | None = None,
    follow_up: float = 1.0,
    sd: float | None = None,
    se: float | None = None,
    se_from: Basis = "both arms",
) -> Asked:
    """Return what is asked of the next study; parameters as in `next_study`.

    Raises
    ------
    ModelError
        If it is impossible, with what to write.
    """
    direction = check_benefit(benefit)
    name, scale = _measure(posterior)
    if not 0.0 < level < 1.0:
        raise ModelError(f"level={level!r}: write a number between 0 and 1, e.g. 0.95.")
    counts = criterion(success, direction, scale, level)
    risks = _risks(control_risk)
    if risks is not None and se is None and name not in RISKS:
        raise ModelError(f"control_risk is for measures of risks, not for {name}: leave it out.")
    plan = Design(name, allocation, control_rate, sd, follow_up, se_from, se)
    found = Asked(name, scale, counts, plan, risks)
    check_design(found.designs[0][0])
    return found


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


def _risks(control_risk: Any) -> Baseline | None:
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
