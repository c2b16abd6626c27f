"""Engines answer the same question in different ways; ``ENGINES`` finds them by name."""

from collections.abc import Callable, Mapping
from typing import Any

from bayesmeta.model import Model
from bayesmeta.posterior import Posterior
from bayesmeta.priors import Prior

type Engine = Callable[..., Posterior]


def _quadrature(model: Model, data: Any, priors: Mapping[str, Prior], **options: Any) -> Posterior:
    from bayesmeta.engines.quadrature import solve

    return solve(model, data, priors, **options)


def _nuts(model: Model, data: Any, priors: Mapping[str, Prior], **options: Any) -> Posterior:
    from bayesmeta.engines.nuts import sample

    return sample(model, data, priors, **options)


ENGINES: dict[str, Engine] = {"quadrature": _quadrature, "nuts": _nuts}
