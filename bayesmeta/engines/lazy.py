"""Named marginals that are made when they are first asked for."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from bayesmeta.errors import UnknownNameError, unknown
from bayesmeta.posterior import Marginal


@dataclass(frozen=True, slots=True, eq=False)
class Lazy(Mapping[str, Marginal]):
    """Named marginals, each made when it is first asked for."""

    names: Mapping[str, Callable[[], Marginal]]
    made: dict[str, Marginal] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Marginal:
        if name not in self.names:
            raise unknown("quantity or study of this posterior:", name, self.names, UnknownNameError)
        if name not in self.made:
            self.made[name] = self.names[name]()
        return self.made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)
