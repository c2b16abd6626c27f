"""A compiled model: two machine-code functions, and the slots its data are put into.

PyMC writes the log density, PyTensor differentiates it, numba compiles it and nutpie's sampler
calls it. The data, their dimensions' lengths and the parameters of the priors are slots (pm.Data), so one
program serves every data set. A program holds no data, so any number of threads can use it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesmeta.errors import ModelError

# Lengths of axes, or the names of the slots that hold them.
type Shape = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable of a program, in the order its values are stored.

    Parameters
    ----------
    name
        As in the PyMC model, or as its unconstrained counterpart.
    shape
        Of one draw; an axis is a length, or the name of the slot that holds it.
    role
        ``"free"`` (sampled as it is), ``"unconstrained"`` (sampled, of no interest to a reader) or
        ``"derived"`` (computed from the others: the constrained form, and Deterministics).
    """

    name: str
    shape: Shape
    role: str


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for data: the name, number of dimensions and dtype of a pm.Data."""

    name: str
    ndim: int
    dtype: str


@dataclass(frozen=True, slots=True)
class Layout:
    """What a program takes and gives, apart from the code itself.

    Parameters
    ----------
    n_sampled
        How many of the variables, the first ones, are what NUTS moves.
    variables, slots
        In the order of their values.
    """

    n_sampled: int
    variables: tuple[Variable, ...]
    slots: tuple[Slot, ...]

    @property
    def serves_any_length(self) -> bool:
        """Whether the program takes any number of studies: no length is written into it."""
        return all(isinstance(axis, str) for variable in self.variables for axis in variable.shape)


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """A compiled model.

    Parameters
    ----------
    layout
        Its variables and slots.
    logp, expand
        Addresses of the log density with gradient, and of the function that computes what is stored.
    code
        The libraries that own these addresses, by name: ``(library, symbol)``.
    """

    layout: Layout
    logp: int
    expand: int
    code: Mapping[str, tuple[Any, str]]


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """A program with data in its slots. The arrays live as long as this value does.

    Parameters
    ----------
    shapes
        Of each variable of the program, in its order.
    """

    program: Program
    record: NDArray[Any]
    arrays: tuple[NDArray[Any], ...]
    shapes: tuple[tuple[int, ...], ...]

    @property
    def n_free(self) -> int:
        """Number of unconstrained dimensions."""
        return sum(prod(shape) for shape in self.shapes[: self.program.layout.n_sampled])

    @property
    def n_stored(self) -> int:
        """Number of values stored for each draw."""
        return sum(prod(shape) for shape in self.shapes)


def bind(program: Program, values: Mapping[str, ArrayLike]) -> Bound:
    """Return the program with `values` in its slots, copied.

    Raises
    ------
    ModelError
        If a slot has no value, or its number of dimensions differs.
    """
    slots = program.layout.slots
    missing = [slot.name for slot in slots if slot.name not in values]
    if missing:
        raise ModelError(f"The compiled model needs values for {', '.join(missing)}.")
    arrays = tuple(np.array(values[slot.name], dtype=slot.dtype, order="C", copy=True) for slot in slots)
    for slot, array in zip(slots, arrays, strict=True):
        if array.ndim != slot.ndim:
            raise ModelError(f"{slot.name} has {array.ndim} dimensions; the compiled model takes {slot.ndim}.")
        array.setflags(write=False)
    whole = [(slot, array) for slot, array in zip(slots, arrays, strict=True) if array.dtype.kind in "iu"]
    lengths = {slot.name: int(array) for slot, array in whole if slot.ndim == 0}
    shapes = [tuple(lengths[n] if isinstance(n, str) else n for n in v.shape) for v in program.layout.variables]
    return Bound(program, _record(slots, arrays), arrays, tuple(shapes))


def record_type(slots: tuple[Slot, ...]) -> np.dtype[Any]:
    """Return the layout of the record that compiled functions read: pointers, sizes and shapes of the slots."""
    names = [f"slot{i}" for i in range(len(slots))]
    fields: list[Any] = [
        ("data", [(name, np.uintp) for name in names]),
        ("size", [(name, np.uintp) for name in names]),
        ("shape", [(name, np.uint, (slot.ndim,)) for name, slot in zip(names, slots, strict=True)]),
    ]
    return np.dtype([("shared", fields)])


def _record(slots: tuple[Slot, ...], arrays: tuple[NDArray[Any], ...]) -> NDArray[Any]:
    record = np.zeros((), dtype=record_type(slots))
    # A scalar record is a view of the array's memory, so writing to it writes to the array.
    shared = record[()]["shared"]
    for i, array in enumerate(arrays):
        shared["data"][f"slot{i}"] = array.ctypes.data
        shared["size"][f"slot{i}"] = array.size
        shared["shape"][f"slot{i}"] = array.shape
    return record
