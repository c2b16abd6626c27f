"""Which versions of what computed a result."""

from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import version
from types import MappingProxyType

import bayesmeta


@lru_cache
def versions(*extra: str) -> Mapping[str, str]:
    """Return package name to version: bayesmeta, numpy, scipy, and `extra` packages."""
    packages = {name: version(name) for name in ("numpy", "scipy", *extra)}
    return MappingProxyType({"bayesmeta": bayesmeta.__version__, **packages})
