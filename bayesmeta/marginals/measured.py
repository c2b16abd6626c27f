"""Marginals that know which effect measure they are about, so that a bound can be asked on which scale it is."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

# Names of what is an effect on the analysis scale of its measure; a slope, tau and I2 are not.
EFFECTS = ("mu", "theta_new", "effect_new", "beta[intercept]")


@dataclass(frozen=True, slots=True, eq=False)
class Measured(Mapping[str, Any]):
    """Named marginals, the effects among them with their measure; each is made when it is first asked for."""

    source: Mapping[str, Any]
    measure: str
    all_effects: bool
    made: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        if name not in self.made:
            found = self.source[name]
            effect = self.all_effects or name in EFFECTS or name.startswith("mu[")
            self.made[name] = with_measure(found, self.measure) if effect else found
        return self.made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.source)

    def __len__(self) -> int:
        return len(self.source)

    def __contains__(self, name: object) -> bool:
        return name in self.source


def measured(source: Mapping[str, Any], measure: str, *, all_effects: bool) -> Measured:
    """Return named marginals whose effects know their measure.

    Parameters
    ----------
    source
        The marginals.
    measure
        Of the effects among them.
    all_effects
        Whether all of them are effects, as studies' true effects are.
    """
    return source if isinstance(source, Measured) else Measured(source, measure, all_effects)


def with_measure(marginal: Any, measure: str) -> Any:
    """Return a marginal that knows its measure, where its kind can."""
    if any(f.name == "measure" for f in fields(marginal)):
        return replace(marginal, measure=measure)
    return marginal
