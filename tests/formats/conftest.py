"""The example files, loaded by path: the benchmarks folder is no package."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="session")
def files() -> ModuleType:
    """Return the module that makes one valid file in each format."""
    spec = importlib.util.spec_from_file_location("example_files", BENCHMARKS / "example_files.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
