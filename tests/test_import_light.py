"""Importing the package, and asking the CLI for help, loads nothing heavy."""

import importlib
import subprocess
import sys

import pytest

import bayesmeta as bm
from bayesmeta import _PUBLIC

HEAVY = ["pymc", "pytensor", "arviz", "arviz_base", "arviz_stats", "nutpie", "numba", "matplotlib", "pandas", "xarray"]
TELL = f"\nimport sys; print(*[m for m in {HEAVY!r} if m in sys.modules])"


def loaded(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code + TELL], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1].split()


def test_import_loads_nothing_heavy():
    """``import bayesmeta`` loads no sampler, no plotting and no dataframe library."""
    assert loaded("import bayesmeta") == []


@pytest.mark.parametrize("arguments", [["--help"], ["report", "--help"]])
def test_help_loads_nothing_heavy(arguments):
    """``bayesmeta --help`` and the help of a command load nothing heavy."""
    code = f"""
import sys
sys.argv = ["bayesmeta", *{arguments!r}]
from bayesmeta.cli import main
try:
    main()
except SystemExit as end:
    assert end.code == 0, end.code
"""
    assert loaded(code) == []


@pytest.mark.parametrize("name", sorted(n for n, module in _PUBLIC.items() if module == n))
def test_a_module_never_hides_the_function_of_its_name(name):
    """After its module was imported, a public function is still the function."""
    importlib.import_module(f"bayesmeta.{name}")
    assert callable(getattr(bm, name))
