"""Packages whose public names load on first use, so that importing them stays light."""

import importlib
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any


class LazyPackage(ModuleType):
    """A package that knows where its public names are defined, and imports them when they are asked for.

    A submodule never hides the public name it shares: importing ``bayesmeta.fit`` binds that module as an attribute of
    the package, so that ``bm.fit(...)`` would stop working as soon as anything had imported it.
    """

    _defined_in: Mapping[str, str]

    def __getattr__(self, name: str) -> Any:
        if name not in self._defined_in:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        value = self._load(name)
        super().__setattr__(name, value)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        hides = isinstance(value, ModuleType) and self._defined_in.get(name) == name
        super().__setattr__(name, getattr(value, name) if hides else value)

    def __dir__(self) -> list[str]:
        return list(self.__all__)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel by name, as ordinary modules do: the other side imports the package."""
        return importlib.import_module, (self.__name__,)

    def _load(self, name: str) -> Any:
        place = self._defined_in[name]
        module = importlib.import_module(f"{self.__name__}.{place.removeprefix('.')}")
        return module if place.startswith(".") else getattr(module, name)


def make_lazy(package: str, defined_in: Mapping[str, str]) -> None:
    """Let a package find its public names by themselves.

    Parameters
    ----------
    package
        ``__name__`` of the package.
    defined_in
        Public name to the module, relative to the package, that defines it; a leading dot says that it is that module.
    """
    module = sys.modules[package]
    module.__class__ = LazyPackage
    vars(module)["_defined_in"] = defined_in
