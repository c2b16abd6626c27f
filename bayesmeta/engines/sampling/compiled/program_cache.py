"""Compiled models are kept: in this process for every model, and on disk for the models that ship.

A program is looked up by what determines its code: the model file, the ranks of the data, the
families of the priors, the variant, and the versions of everything that took part in compiling it.
Data and the parameters of the priors are not part of it; they are put into slots at each fit.
"""

import hashlib
import json
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesmeta.engines.sampling.compiled import code_store
from bayesmeta.engines.sampling.compiled.compilation import compile_program
from bayesmeta.engines.sampling.compiled.program import Bound, Program, bind
from bayesmeta.errors import ModelError
from bayesmeta.model import DEFAULT_VARIANT, Model, resolved
from bayesmeta.priors import Prior
from bayesmeta.resources import PACKAGE, models_dir

if TYPE_CHECKING:
    import pymc as pm

STUDY = "study"
_IMPORT = re.compile(r"^\s*(?:from|import)\s+(bayesmeta(?:\.\w+)*)", re.MULTILINE)
type Values = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Compiled:
    """A program of a user's model, with the PyMC graph it came from, which decides whether it fits other data."""

    program: Program
    graph: tuple[list[Any], list[Any]]
    shapes: dict[str, tuple[int, ...]]


_PROGRAMS: dict[str, Program] = {}
_GRAPHS: dict[str, list[Compiled]] = {}
_LOCKS: dict[str, threading.Lock] = {}
# PyTensor's rewriting and compiling share state, so only one thread compiles at a time.
COMPILING = threading.Lock()
_REGISTRY = threading.Lock()


def prepare(model: Model, data: Any, priors: Mapping[str, Prior], variant: str = DEFAULT_VARIANT) -> Bound:
    """Return the compiled model with these data and priors in its slots.

    Parameters
    ----------
    variant
        Which of the model's PyMC programs: A key of ``model.programs``.
    """
    values = slot_values(model, data, priors)
    if values is None:
        return _prepare_from_graph(model, data, priors, variant)
    ranks = {name: value.ndim for name, value in sorted(values.items())}
    # One program serves any number of studies; one with further vectors (a regression's terms) only their lengths.
    wide, narrow = (_structure(model, priors, sizes, variant) for sizes in (ranks, _sizes(data, values)))
    with _lock(wide):
        program = _known(wide) or _known(narrow)
        if program is None:
            program = _compile_checked(model, data, priors, variant, values)
            key = wide if program.layout.serves_any_length else narrow
            _PROGRAMS[key] = program
            code_store.save(key, program)
    return bind(program, values)


def _sizes(data: Any, values: Values) -> dict[str, Any]:
    """Return the lengths of all axes, apart from the number of studies."""
    k = len(data.study)
    axes = {name: ["k" if n == k else n for n in value.shape] for name, value in sorted(values.items())}
    # Where an axis of terms happens to be as long as that of studies, this tells them apart.
    return {**axes, "terms": len(getattr(data, "terms", ()))}


def _known(key: str) -> Program | None:
    """Return a program of this process or from disk."""
    if key not in _PROGRAMS:
        loaded = code_store.load(key)
        if loaded is not None:
            _PROGRAMS[key] = loaded
    return _PROGRAMS.get(key)


def clear() -> None:
    """Forget the compiled models of this process; what is on disk stays."""
    with _REGISTRY:
        _PROGRAMS.clear()
        _GRAPHS.clear()
        _LOCKS.clear()


def slot_values(model: Model, data: Any, priors: Mapping[str, Prior]) -> Values | None:
    """Return every slot's value without building the PyMC model, or None where that needs the PyMC model.

    Only files in ``models/`` are trusted to say their own inputs, because tests hold ``inputs`` against
    ``build`` for each of them. A user's file may put numbers into its program in other ways.
    """
    if model.inputs is None or model.path.parent != models_dir().resolve():
        return None
    values = {STUDY: np.asarray(len(data.study))}
    values |= {name: np.asarray(value) for name, value in model.inputs(data).items()}
    if model.tables is not None:
        values |= {name: np.asarray(value) for name, value in model.tables(data, priors).items()}
    for name, prior in priors.items():
        known = resolved(prior, data)
        parameters = getattr(known, "parameters", None)
        if parameters is None:
            return None
        values |= {f"{name}_prior_{key}": np.asarray(value) for key, value in parameters().items()}
    return values


def _lock(key: str) -> threading.Lock:
    with _REGISTRY:
        return _LOCKS.setdefault(key, threading.Lock())


def _structure(model: Model, priors: Mapping[str, Prior], sizes: Mapping[str, Any], variant: str) -> str:
    parts = {
        "model": model.source_hash,
        "variant": variant,
        "priors": {name: prior.structure for name, prior in sorted(priors.items())},
        "sizes": sizes,
        "package": _package_hash(),
        "toolchain": code_store.toolchain(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def imported_sources(files: Iterable[Path]) -> set[Path]:
    """Return the package's files that some files import, and those that these import in turn.

    They are read, not run. An import from a folder itself counts all its files.
    """
    found: set[Path] = set()
    todo = set(files)
    while todo:
        for dotted in _IMPORT.findall(todo.pop().read_text(encoding="utf-8")):
            at = PACKAGE.joinpath(*dotted.split(".")[1:])
            own = set(at.rglob("*.py")) if at.is_dir() else {at.with_suffix(".py")}
            # Python runs the __init__ of every folder on the way to a file.
            new = (own | {up / "__init__.py" for up in at.parents if PACKAGE in up.parents}) - found
            found |= new
            todo |= new
    return found


@cache
def _package_hash() -> str:
    """Return a hash of the code that makes programs: what model files import, and the compilation."""
    sources = imported_sources(models_dir().glob("*.py"))
    sources |= {Path(__file__).with_name(name) for name in ("compilation.py", "program.py")}
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(sources))).hexdigest()


def _compile_checked(model: Model, data: Any, priors: Mapping[str, Prior], variant: str, values: Values) -> Program:
    with COMPILING:
        built = model.programs[variant](data, priors)
        program = compile_program(built, {STUDY})
    actual = graph_values(built)
    for slot in program.layout.slots:
        if slot.name not in values or not np.array_equal(values[slot.name], actual[slot.name]):
            raise ModelError(
                f"Model {model.name!r}: inputs() or tables() and build() disagree about {slot.name!r}. "
                "Declare in build exactly what they return, under the same names."
            )
    return program


def graph_values(built: "pm.Model") -> Values:
    """Return the present values of a PyMC model's pm.Data and dimension lengths, by name."""
    values = {str(v.name): np.asarray(v.get_value()) for v in built.data_vars}
    lengths = {str(n): v for n, v in built.dim_lengths.items() if hasattr(v, "get_value")}
    return {**{name: np.asarray(v.get_value()) for name, v in lengths.items()}, **values}


def _prepare_from_graph(model: Model, data: Any, priors: Mapping[str, Prior], variant: str) -> Bound:
    """Build the PyMC model, and reuse a program only if its graph is the same, constants included."""
    with COMPILING:
        built = model.programs[variant](data, priors)
        graph, values = _graph(built), graph_values(built)
        shapes = {name: value.shape for name, value in sorted(values.items())}
        known = _GRAPHS.setdefault(f"{model.source_hash} {variant}", [])
        for compiled in known:
            fits = compiled.program.layout.serves_any_length or compiled.shapes == shapes
            if fits and _same(graph, compiled.graph):
                return bind(compiled.program, values)
        program = compile_program(built, set(built.dim_lengths))
        known.append(Compiled(program, graph, shapes))
    return bind(program, values)


def _graph(built: "pm.Model") -> tuple[list[Any], list[Any]]:
    """Return the outputs and the inputs of everything that a program computes."""
    outputs = [built.logp(), *built.replace_rvs_by_values(list(built.deterministics))]
    slots = {str(name): v for name, v in built.dim_lengths.items() if hasattr(v, "get_value")}
    slots |= {str(v.name): v for v in built.data_vars}
    inputs = [*built.value_vars, *(slots[name] for name in sorted(slots))]
    return outputs, inputs


def _same(a: tuple[list[Any], list[Any]], b: tuple[list[Any], list[Any]]) -> bool:
    from pytensor.graph.basic import equal_computations

    names_a, names_b = ([(v.name, v.type) for v in side[1]] for side in (a, b))
    return (
        names_a == names_b and len(a[0]) == len(b[0]) and bool(equal_computations(a[0], b[0], in_xs=a[1], in_ys=b[1]))
    )
