"""Engines answer the same question in different ways; ``ENGINES`` finds them by name."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from bayesmeta.errors import unknown
from bayesmeta.model import Model
from bayesmeta.posterior import Posterior
from bayesmeta.priors import Prior

type Engine = Callable[..., Posterior]


def _quadrature(model: Model, data: Any, priors: Mapping[str, Prior], **options: Any) -> Posterior:
    from bayesmeta.engines.quadrature import solve

    return solve(model, data, priors, **_known("quadrature", solve, options))


def _nuts(model: Model, data: Any, priors: Mapping[str, Prior], **options: Any) -> Posterior:
    from bayesmeta.engines.nuts import sample

    return sample(model, data, priors, **_known("nuts", sample, options))


def _known(engine: str, function: Engine, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options, once it is sure that the engine's function takes every one of them."""
    parameters = inspect.signature(function).parameters.values()
    takes = [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    for name in options:
        if name not in takes:
            raise unknown(f"option of engine {engine!r}:", name, takes)
    return options


ENGINES: dict[str, Engine] = {"quadrature": _quadrature, "nuts": _nuts}
