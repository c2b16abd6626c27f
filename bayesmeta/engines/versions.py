"""Which versions of what computed a result."""

from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import version

from bayesmeta.values import FrozenMap
from bayesmeta.version import __version__


@lru_cache
def versions(*extra: str) -> Mapping[str, str]:
    """Return package name to version: bayesmeta, numpy, scipy, and `extra` packages."""
    packages = {name: version(name) for name in ("numpy", "scipy", *extra)}
    return FrozenMap({"bayesmeta": __version__, **packages})
