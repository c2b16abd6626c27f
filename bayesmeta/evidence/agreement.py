"""Does the sampled posterior agree with the computed one, as far as sampling can tell?"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bayesmeta.errors import ModelError
from bayesmeta.marginals import Known
from bayesmeta.marginals.draws import DrawsMarginal
from bayesmeta.posterior import Marginal, Posterior, check_single_fit

# A figure of many disagrees by four standard errors once in 16,000 when all is right.
LIMIT = 4.0
QUANTILES = (0.025, 0.5, 0.975)


@dataclass(frozen=True, slots=True)
class AgreementRow:
    """One figure of one quantity, sampled and computed.

    Parameters
    ----------
    quantity
        ``"mu"``, ``"tau"``, ``"theta[Chang 2018]"``, ...
    figure
        ``"mean"``, ``"sd"``, ``"2.5%"``, ``"50%"`` or ``"97.5%"``.
    sampled, computed
        From NUTS and from quadrature, on the analysis scale.
    mcse
        Monte Carlo standard error of `sampled`.
    """

    quantity: str
    figure: str
    sampled: float
    computed: float
    mcse: float

    @property
    def z(self) -> float:
        """Difference in Monte Carlo standard errors; 0 where both are the same constant."""
        difference = self.sampled - self.computed
        if self.mcse > 0:
            return difference / self.mcse
        return 0.0 if math.isclose(self.sampled, self.computed, rel_tol=1e-9, abs_tol=1e-12) else math.inf

    @property
    def agrees(self) -> bool:
        """Whether the difference is within four Monte Carlo standard errors."""
        return abs(self.z) <= LIMIT


def agreement(nuts: Posterior, quadrature: Posterior) -> list[AgreementRow]:
    """Compare every quantity that both posteriors have, and that the priors do not fix.

    Parameters
    ----------
    nuts
        A posterior made of draws.
    quadrature
        The posterior of the same model, data and priors by quadrature.

    Raises
    ------
    ModelError
        If the two are not of the same model, priors and studies, or the first has no draws.
    """
    for posterior in (nuts, quadrature):
        check_single_fit(posterior, "Agreement of two engines")
    if (nuts.model.source_hash, dict(nuts.priors)) != (quadrature.model.source_hash, dict(quadrature.priors)):
        raise ModelError("Agreement is between two engines on one model with the same priors; these differ.")
    if list(nuts.theta) and list(nuts.theta) != list(quadrature.theta):
        raise ModelError("Agreement is between two engines on the same studies; these differ.")
    rows: list[AgreementRow] = []
    sampled, computed = _named(nuts), _named(quadrature)
    for name in [name for name in sampled if name in computed and not isinstance(computed[name], Known)]:
        draws = sampled[name]
        if not isinstance(draws, DrawsMarginal):
            raise ModelError("The first posterior was not sampled; give the one with engine='nuts' first.")
        rows += _rows(name, draws, computed[name])
    return rows


def _named(posterior: Posterior) -> Mapping[str, Marginal]:
    return {**posterior.marginals, **{f"theta[{study}]": m for study, m in posterior.theta.items()}}


def _rows(name: str, draws: DrawsMarginal, exact: Marginal) -> list[AgreementRow]:
    rows = [
        AgreementRow(name, f"{100 * q:g}%", float(draws.ppf(q)), float(exact.ppf(q)), draws.mcse(q)) for q in QUANTILES
    ]
    # Heavy-tailed priors leave moments that do not exist; there is nothing to compare then.
    mean, sd = exact.mean(), exact.sd()
    if math.isfinite(sd):
        rows.insert(0, AgreementRow(name, "sd", draws.sd(), sd, draws.mcse("sd")))
    if math.isfinite(mean) and math.isfinite(sd):
        rows.insert(0, AgreementRow(name, "mean", draws.mean(), mean, draws.mcse("mean")))
    return rows
