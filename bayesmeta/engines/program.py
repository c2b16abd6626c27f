"""A compiled model: two machine-code functions, and the slots its data are put into.

PyMC writes the log density, PyTensor differentiates it, numba compiles it and nutpie's sampler
calls it. All the data and the parameters of the priors are slots (pm.Data), so one program serves
every data set of the same shape. A program holds no data, so any number of threads can use it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesmeta.errors import ModelError

if TYPE_CHECKING:
    import pymc as pm


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable of a program, in the order its values are stored.

    Parameters
    ----------
    name
        As in the PyMC model, or as its unconstrained counterpart.
    shape
        Of one draw.
    role
        ``"free"`` (sampled as it is), ``"unconstrained"`` (sampled, of no interest to a reader) or
        ``"derived"`` (computed from the others: the constrained form, and Deterministics).
    """

    name: str
    shape: tuple[int, ...]
    role: str


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for data: the name, number of dimensions and dtype of a pm.Data."""

    name: str
    ndim: int
    dtype: str


@dataclass(frozen=True, slots=True)
class Layout:
    """What a program takes and gives, apart from the code itself."""

    n_free: int
    n_stored: int
    variables: tuple[Variable, ...]
    slots: tuple[Slot, ...]

    @property
    def serves_any_length(self) -> bool:
        """Whether the program takes any number of studies: none of its variables is a vector."""
        return all(variable.shape == () for variable in self.variables)


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
    """A program with data in its slots. The arrays live as long as this value does."""

    program: Program
    record: NDArray[Any]
    arrays: tuple[NDArray[Any], ...]


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
    return Bound(program, _record(slots, arrays), arrays)


def _record(slots: tuple[Slot, ...], arrays: tuple[NDArray[Any], ...]) -> NDArray[Any]:
    """Return the record of pointers, sizes and shapes that nutpie's compiled functions read."""
    names = [f"slot{i}" for i in range(len(slots))]
    dtype = np.dtype(
        [
            (
                "shared",
                [
                    ("data", [(name, np.uintp) for name in names]),
                    ("size", [(name, np.uintp) for name in names]),
                    ("shape", [(name, np.uint, (slot.ndim,)) for name, slot in zip(names, slots, strict=True)]),
                ],
            )
        ]
    )
    record = np.zeros((), dtype=dtype)
    # A scalar record is a view of the array's memory, so writing to it writes to the array.
    shared = record[()]["shared"]
    for name, array in zip(names, arrays, strict=True):
        shared["data"][name] = array.ctypes.data
        shared["size"][name] = array.size
        shared["shape"][name] = array.shape
    return record


def compile_program(model: "pm.Model") -> Program:
    """Return the compiled form of a PyMC model (seconds)."""
    import nutpie

    if not model.free_RVs:
        raise ModelError("Every parameter is fixed by a point prior, so there is nothing to sample.")
    compiled = nutpie.compile_pymc_model(model)
    names, _, shapes = compiled.shape_info
    hidden = set(compiled.reparameterized_names or ())
    free = {variable.name for variable in model.free_RVs}
    derived = {variable.name for variable in model.deterministics}

    def role(name: str) -> str:
        return "unconstrained" if name in hidden else "derived" if name in derived and name not in free else "free"

    keys = {key: variable.name for variable, key in compiled.shared_var_keys.items()}
    layout = Layout(
        n_free=int(compiled.n_dim),
        n_stored=int(compiled.n_expanded),
        variables=tuple(
            Variable(str(name), tuple(int(n) for n in shape), role(name))
            for name, shape in zip(names, shapes, strict=True)
        ),
        slots=tuple(Slot(str(keys[key]), array.ndim, str(array.dtype)) for key, array in compiled.shared_data.items()),
    )
    functions = {"logp": compiled.compiled_logp_func, "expand": compiled.compiled_expand_func}
    return Program(
        layout=layout,
        logp=int(functions["logp"].address),
        expand=int(functions["expand"].address),
        code={name: (f._library, f._wrapper_name) for name, f in functions.items()},
    )
