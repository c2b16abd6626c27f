"""Machine code of compiled models on disk, so that a fresh process need not compile (or import PyMC).

numba turns a model into an object file; it is stored with the layout of its slots, and loaded again
by numba's linker. A stored file is used only by the versions, Python and processor that made it,
only if its checksum holds, and only if every function it calls exists in this process. Otherwise
the model is compiled anew.

The folder is ``$BAYESMETA_CACHE``, else ``$XDG_CACHE_HOME/bayesmeta``, else ``~/.cache/bayesmeta``.
Setting ``BAYESMETA_CACHE`` to nothing switches it off.
"""

import hashlib
import json
import os
import platform
import sys
import tempfile
import threading
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bayesmeta.engines.sampling.compiled.program import Layout, Program, Slot, Variable

FORMAT = 3
KEPT = 256
PACKAGES = ("pymc", "pytensor", "nutpie", "numba", "llvmlite", "numpy", "scipy")
# Storing and loading machine code uses numba functions that are not public: only versions that were tested do it.
TESTED_NUMBA = ("0.6",)
FUNCTIONS = ("logp", "expand")
# Calls into Python that code makes only to report an error. Code that calls anything else of Python's
# looks objects up in the process that compiled it (digamma's address, for one) and cannot be moved.
ERROR_CALLS = frozenset(
    {"Py_IncRef", "Py_DecRef", "PyBytes_FromStringAndSize", "PyObject_Hash", "PyTuple_Pack"}
    | {"PyUnicode_FromString", "PyUnicode_FromKindAndData"}
    | {"PyErr_Clear", "PyErr_SetString", "PyErr_WriteUnraisable"}
)
_LINKING = threading.Lock()


@cache
def toolchain() -> dict[str, str]:
    """Return what machine code depends on: versions, Python and processor."""
    packages = {name: version(name) for name in PACKAGES}
    return {
        **packages,
        "format": str(FORMAT),
        "python": sys.version,
        "implementation": sys.implementation.cache_tag or "",
        "machine": platform.machine(),
    }


def folder() -> Path | None:
    """Return the cache folder, or None where it is switched off."""
    chosen = os.environ.get("BAYESMETA_CACHE")
    if chosen is not None:
        return Path(chosen) if chosen else None
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return Path(base).expanduser() / "bayesmeta"
    except RuntimeError:
        # There is no home folder (a container user without an entry).
        return None


def has_programs() -> bool:
    """Return whether anything is stored."""
    place = folder()
    return place is not None and any(place.glob("*.program"))


def save(key: str, program: Program) -> bool:
    """Store a program that this process compiled; return False where it cannot be stored.

    That costs time in the next process, and nothing else.
    """
    place = folder()
    if place is None or not version("numba").startswith(TESTED_NUMBA):
        return False
    if any(library.has_dynamic_globals for library, _ in program.code.values()):
        # Addresses of this process are part of the code.
        return False
    try:
        content = _pack(program)
        if not _movable(content):
            return False
        place.mkdir(parents=True, exist_ok=True)
        _write(place / f"{key}.program", content)
        _prune(place)
    except OSError:
        # A full or read-only disk: the program stays in this process.
        return False
    return True


def _write(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the whole of it or none, and an interrupt leaves nothing behind."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        try:
            file.write(content)
            file.close()
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def load(key: str) -> Program | None:
    """Return a stored program, or None where there is none that this process can use."""
    place = folder()
    if place is None or not version("numba").startswith(TESTED_NUMBA):
        return None
    try:
        content = (place / f"{key}.program").read_bytes()
    except OSError:
        return None
    unpacked = _unpack(content)
    if unpacked is None:
        return None
    layout, parts, processor = unpacked
    with _LINKING:
        return _link(layout, parts, processor)


def _pack(program: Program) -> bytes:
    """Return checksum, length of the header, header (JSON) and the binary parts in one piece."""
    blobs: list[bytes] = []
    functions = {}
    for name in FUNCTIONS:
        library, symbol = program.code[name]
        title, kind, parts = library.serialize_using_object_code()
        functions[name] = {"title": title, "kind": kind, "symbol": symbol, "sizes": [len(part) for part in parts]}
        blobs += parts
    header = json.dumps(
        {"layout": asdict(program.layout), "functions": functions, "processor": list(_processor())}
    ).encode()
    body = len(header).to_bytes(8, "big") + header + b"".join(blobs)
    return hashlib.sha256(body).digest() + body


def _unpack(content: bytes) -> tuple[Layout, dict[str, tuple[str, tuple[Any, ...]]], tuple[str, ...]] | None:
    """Return layout, ``(symbol, numba's serialised library)`` by function, and processor; None if damaged."""
    checksum, body = content[:32], content[32:]
    if hashlib.sha256(body).digest() != checksum:
        return None
    size = int.from_bytes(body[:8], "big")
    header, at = json.loads(body[8 : 8 + size]), 8 + size
    parts: dict[str, tuple[str, tuple[Any, ...]]] = {}
    for name in FUNCTIONS:
        function = header["functions"][name]
        pieces = []
        for length in function["sizes"]:
            pieces.append(body[at : at + length])
            at += length
        parts[name] = (function["symbol"], (function["title"], function["kind"], tuple(pieces)))
    shape = header["layout"]
    layout = Layout(
        n_sampled=shape["n_sampled"],
        variables=tuple(Variable(v["name"], tuple(v["shape"]), v["role"]) for v in shape["variables"]),
        slots=tuple(Slot(**slot) for slot in shape["slots"]),
    )
    return layout, parts, tuple(header["processor"])


def _movable(content: bytes) -> bool:
    unpacked = _unpack(content)
    assert unpacked is not None
    called = [name for _, (_, _, (_, bitcode)) in unpacked[1].values() for name in _outside(bitcode)]
    return all(name in ERROR_CALLS for name in called if name.startswith(("Py", "_Py")))


def _outside(bitcode: bytes) -> list[str]:
    """Return the functions that code calls and does not contain."""
    import llvmlite.binding as llvm

    functions = [f.name for f in llvm.parse_bitcode(bitcode).functions if f.is_declaration]
    return [name for name in functions if not name.startswith("llvm.")]


def prepare_linker() -> None:
    """Import numba and make its linker ready; waits for a thread that is already doing so."""
    with _LINKING:
        _codegen()


@cache
def _codegen() -> Any:
    """Return numba's code generator, with its runtime ready for code that allocates."""
    from numba.core.registry import cpu_target
    from numba.core.runtime import rtsys

    context = cpu_target.target_context
    context.refresh()
    rtsys.initialize(context)
    return context.codegen()


def _processor() -> tuple[str, ...]:
    return tuple(str(part) for part in _codegen().magic_tuple())


def _link(layout: Layout, parts: dict[str, tuple[str, tuple[Any, ...]]], processor: tuple[str, ...]) -> Program | None:
    import llvmlite.binding as llvm

    codegen = _codegen()
    if processor != _processor():
        return None
    called = {name for _, (_, _, (_, bitcode)) in parts.values() for name in _outside(bitcode)}
    # The linker ends the process over a function it cannot find, so they are looked up first.
    if any(llvm.address_of_symbol(name) is None for name in called):
        return None
    code = {name: (codegen.unserialize_library(library), symbol) for name, (symbol, library) in parts.items()}
    addresses = {name: library.get_pointer_to_function(symbol) for name, (library, symbol) in code.items()}
    if not all(addresses.values()):
        return None
    return Program(layout=layout, logp=addresses["logp"], expand=addresses["expand"], code=code)


def _prune(place: Path) -> None:
    """Keep the newest programs."""
    files = sorted(place.glob("*.program"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in files[KEPT:]:
        path.unlink(missing_ok=True)
