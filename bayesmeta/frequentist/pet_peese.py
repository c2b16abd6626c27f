"""PET, PEESE and the conditional PET-PEESE: the effect extrapolated to a study without sampling error."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bayesmeta.errors import ModelError
from bayesmeta.frequentist.pool import CiRule
from bayesmeta.frequentist.printing import p_text
from bayesmeta.frequentist.small_study import (
    LINE_MODELS,
    Line,
    LineModel,
    block,
    check_level,
    fit_line,
    interval_text,
    require_one_mean,
    statistic_text,
)
from bayesmeta.frequentist.tau2 import DEFAULT_ESTIMATOR
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Interval

if TYPE_CHECKING:
    import pandas as pd

REFERENCE = "Stanley & Doucouliagos (2014), Res. Synth. Methods 5:60-78."


@dataclass(frozen=True, slots=True, eq=False)
class PrecisionEffect:
    """The intercept of a regression of effects on `sei` (PET) or `vi` (PEESE).

    Parameters
    ----------
    name
        ``"PET"`` or ``"PEESE"``.
    mu, se
        Effect of a study with no sampling error, analysis scale, and its standard error.
    p_value
        Two-sided, of ``mu = 0``.
    """

    name: str
    line: Line
    mu: float
    se: float
    p_value: float
    ci: Interval

    def text(self) -> str:
        """Return one line: estimate, interval, test."""
        return (
            f"{self.name}: {self.mu:.4g} (SE {self.se:.4g}), {interval_text(self.ci)}, "
            f"{statistic_text(self.mu / self.se, self.line.df)}, p {p_text(self.p_value)}; "
            f"slope {self.line.slope:.4g}, p {p_text(self.line.p_value)}"
        )


@dataclass(frozen=True, slots=True, eq=False)
class PetPeese:
    """PET, PEESE and the one the conditional rule chooses.

    Parameters
    ----------
    pet, peese
        Both estimates.
    chosen
        ``"PEESE"`` when PET's two-sided p-value is below `threshold`, else ``"PET"``.
    threshold
        Two-sided p-value at which PET counts as having found an effect.
    """

    pet: PrecisionEffect
    peese: PrecisionEffect
    chosen: str
    threshold: float
    study: tuple[str, ...]
    caution: str
    reference: str = REFERENCE

    @property
    def k(self) -> int:
        """Number of studies."""
        return len(self.study)

    @property
    def estimate(self) -> PrecisionEffect:
        """The estimate the conditional rule chooses."""
        return self.peese if self.chosen == "PEESE" else self.pet

    @property
    def mu(self) -> float:
        """Conditional PET-PEESE estimate, analysis scale."""
        return self.estimate.mu

    @property
    def se(self) -> float:
        """Its standard error."""
        return self.estimate.se

    @property
    def ci(self) -> Interval:
        """Its confidence interval."""
        return self.estimate.ci

    @property
    def p_value(self) -> float:
        """Two-sided p-value of `mu` = 0."""
        return self.estimate.p_value

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame with one row for PET and one for PEESE."""
        import pandas as pd

        rows = [
            {
                "estimator": e.name,
                "mu": e.mu,
                "se": e.se,
                "ci_low": e.ci.low,
                "ci_high": e.ci.high,
                "level": e.ci.level,
                "p_value": e.p_value,
                "df": e.line.df,
                "slope": e.line.slope,
                "slope_se": e.line.slope_se,
                "slope_p": e.line.p_value,
                "tau2": e.line.tau2,
                "chosen": e.name == self.chosen,
                "k": self.k,
            }
            for e in (self.pet, self.peese)
        ]
        return pd.DataFrame(rows)

    def __str__(self) -> str:
        line = self.pet.line
        model = LINE_MODELS[line.model] + (f" ({line.method}, {line.ci_rule})" if line.method else "")
        relation = "<" if self.chosen == "PEESE" else ">="
        lines = [
            f"model: {model}",
            self.pet.text(),
            self.peese.text(),
            f"conditional PET-PEESE: {self.chosen} (PET's p {relation} {self.threshold:g})",
        ]
        return block(f"PET-PEESE, k = {self.k}", lines, caution=self.caution, reference=self.reference)


def pet_peese(
    effects: EffectSizes,
    *,
    threshold: float = 0.10,
    model: LineModel = "lm",
    method: str = DEFAULT_ESTIMATOR,
    ci: CiRule = "wald",
    level: float = 0.95,
) -> PetPeese:
    """Extrapolate the effect to a study without sampling error, by standard error (PET) and variance (PEESE).

    Parameters
    ----------
    effects
        At least 3 effects on the analysis scale, without moderators.
    threshold
        PEESE is chosen when PET's two-sided p-value is below it. The default, 0.10, is 5% in one direction; 0.05 is
        also met in the literature.
    model
        ``"lm"``, weighted least squares with multiplicative dispersion as published, or ``"rma"``.
    method, ci
        tau2 estimator and interval rule of ``"rma"``, as in :func:`pool`.
    level
        Coverage of the intervals.

    Raises
    ------
    DataError
        With fewer than 3 studies, with moderators, or when all standard errors are equal.
    ModelError
        If an option is unknown.

    References
    ----------
    Stanley & Doucouliagos (2014), Res. Synth. Methods 5:60-78.
    """
    check_level(level)
    if not 0.0 < threshold < 1.0:
        raise ModelError(f"threshold is {threshold!r}; it is a p-value between 0 and 1, e.g. 0.10.")
    require_one_mean(effects, "PET-PEESE")
    found = []
    for name, x, what in (("PET", effects.sei, "standard error"), ("PEESE", effects.vi, "sampling variance")):
        line = fit_line(effects, x, what, model=model, method=method, ci=ci, what=name)
        interval, p = line.intercept_ci(level), line.intercept_p
        assert line.intercept is not None
        assert line.intercept_se is not None
        assert interval is not None
        assert p is not None
        found.append(PrecisionEffect(name, line, line.intercept, line.intercept_se, p, interval))
    pet, peese = found
    chosen = "PEESE" if pet.p_value < threshold else "PET"
    return PetPeese(pet, peese, chosen, threshold, effects.study, _caution(effects))


def _caution(effects: EffectSizes) -> str:
    text = (
        "An extrapolation beyond the data: not with few studies (fewer than 10 say nothing, 20 or more are wanted), "
        "studies of similar size, or much heterogeneity, where it is biased and its intervals too narrow "
        "(Stanley 2017, Soc. Psychol. Personal. Sci. 8:581-591). It removes any small-study effect, a real one too."
    )
    if effects.k < 10:
        text = f"Do not rely on this: there are {effects.k} studies. " + text
    if effects.measure in ("SMD", "OR", "PETO"):
        text += f" Standard errors of {effects.measure} depend on the effect itself, which biases both."
    return text
