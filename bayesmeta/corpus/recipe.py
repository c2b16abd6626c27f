"""How every meta-analysis of a corpus is analysed: one frozen value that travels to the workers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bayesmeta.effects import find_measure
from bayesmeta.errors import ModelError, unknown
from bayesmeta.frequentist.tau2 import TAU2_ESTIMATORS
from bayesmeta.model import load_model
from bayesmeta.priors import parse_prior
from bayesmeta.reading.options import ReadingOptions
from bayesmeta.values import FrozenMap

CI_RULES = ("wald", "hksj", "adhoc", "t")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How every meta-analysis of a corpus is analysed.

    Parameters
    ----------
    measure
        Effect measure.
    model
        A model with quadrature: of effect sizes, or of the counts themselves. None leaves the Bayesian analysis out.
    priors
        Parameter to prior; the model's defaults otherwise.
    classical
        Estimators of tau2, keys of ``TAU2_ESTIMATORS``; none leaves the classical analyses out.
    ci
        Rules of the classical intervals: ``"wald"``, ``"hksj"``, ``"adhoc"`` or ``"t"``.
    level
        Of all intervals.
    above
        Threshold of mu and of a new study's effect, analysis scale: the probability of exceeding it is reported.
    zero_cells
        ``add``, ``to``, ``drop00`` and ``inestimable``, as `effect_sizes` takes them.
    reading
        How the rows are read.
    chunk
        Meta-analyses a part; the parts of one output all have this size, whoever computes them.

    Raises
    ------
    ModelError
        If a name is unknown, a number is out of range, or the model has no quadrature.
    """

    measure: str = "OR"
    model: str | None = "normal_normal"
    priors: Mapping[str, Any] = field(default_factory=dict)
    classical: tuple[str, ...] = ("REML",)
    ci: tuple[str, ...] = ("wald", "hksj")
    level: float = 0.95
    above: float = 0.0
    zero_cells: Mapping[str, Any] = field(default_factory=dict)
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    chunk: int = 250

    def __post_init__(self) -> None:
        find_measure(self.measure)
        for method in self.classical:
            if method not in TAU2_ESTIMATORS:
                raise unknown("tau2 method", method, TAU2_ESTIMATORS)
        for rule in self.ci:
            if rule not in CI_RULES:
                raise unknown("confidence interval rule", rule, CI_RULES)
        if not 0.0 < self.level < 1.0:
            raise ModelError(f"level is {self.level!r}; it is a probability strictly between 0 and 1, e.g. 0.95.")
        if isinstance(self.chunk, bool) or not isinstance(self.chunk, int) or self.chunk < 1:
            raise ModelError(f"chunk={self.chunk!r}: it is a whole number of meta-analyses, e.g. 250.")
        if self.model is None and not self.classical:
            raise ModelError("Nothing is asked for: give a model, or estimators of tau2 as classical=.")
        for name in self.zero_cells:
            if name not in ("add", "to", "drop00", "inestimable"):
                raise unknown("rule of zero cells", name, ("add", "to", "drop00", "inestimable"))
        object.__setattr__(self, "priors", FrozenMap({n: parse_prior(p) for n, p in dict(self.priors).items()}))
        object.__setattr__(self, "zero_cells", FrozenMap(dict(self.zero_cells)))
        if self.model is not None:
            model = load_model(self.model)
            if not model.abilities.deterministic or model.takes_moderators:
                raise ModelError(
                    f"Model {self.model!r} has no quadrature for one mean effect, so it is not run on a corpus. Use "
                    "'normal_normal', or a model of the counts such as 'hypergeometric_normal'."
                )
            model.with_priors(self.priors)
            model.check_measure(self.measure)

    def stated(self) -> dict[str, Any]:
        """Return all of it as JSON has it; two recipes are the same where these are."""
        return {
            "measure": self.measure,
            "model": self.model,
            "priors": {name: repr(prior) for name, prior in sorted(self.priors.items())},
            "classical": list(self.classical),
            "ci": list(self.ci),
            "level": self.level,
            "above": self.above,
            "zero_cells": dict(sorted(self.zero_cells.items())),
            "columns": dict(sorted(self.reading.columns.items())),
            "decimal": self.reading.decimal,
            "ci_level": self.reading.ci_level,
            "total_rows": self.reading.total_rows,
            "chunk": self.chunk,
        }
