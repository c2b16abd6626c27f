"""Compile a PyMC model into a program for any number of studies.

nutpie's own compilation writes the lengths of vectors into the code, so that an outcome with another
number of studies costs seconds again. Here the length of a vector is that of its dimensions, and
those are slots like the data. What PyMC, PyTensor and numba do is the same.
"""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmeta.engines.sampling.compiled.program import Layout, Program, Shape, Slot, Variable, record_type
from bayesmeta.errors import ModelError

if TYPE_CHECKING:
    import pymc as pm

# Transforms that act on each element: the vector keeps its length.
ELEMENTWISE = ("LogTransform", "LogOddsTransform", "Interval")


def compile_program(model: "pm.Model", flexible: Collection[str]) -> Program:
    """Return the compiled form of a PyMC model (seconds).

    Parameters
    ----------
    flexible
        Dimensions whose lengths will be given with the data; others keep the lengths they have.

    Raises
    ------
    ModelError
        If nothing is free.
    """
    if not model.free_RVs:
        raise ModelError("Every parameter is fixed by a point prior, so there is nothing to sample.")
    sampled, rest = _variables(model, flexible)
    if any(variable is None for variable in (*sampled, *rest)):
        return _compile_fixed(model)
    return _compile_flexible(model, [v for v in sampled if v], [v for v in rest if v])


def _variables(model: "pm.Model", flexible: Collection[str]) -> tuple[list[Variable | None], list[Variable | None]]:
    """Return what is sampled and what is computed from it; None for a variable whose dimensions are not named."""
    sampled: list[Variable | None] = []
    for rv in model.free_RVs:
        value, transform = model.rvs_to_values[rv], model.rvs_to_transforms.get(rv)
        shape = _shape(model, flexible, rv.name, value)
        known = shape is not None and (transform is None or type(transform).__name__ in ELEMENTWISE)
        role = "free" if transform is None else "unconstrained"
        sampled.append(Variable(str(value.name), shape, role) if shape is not None and known else None)
    names, free = {v.name for v in model.value_vars}, {v.name for v in model.free_RVs}
    rest: list[Variable | None] = []
    for variable in [v for v in model.unobserved_value_vars if v.name not in names]:
        shape = _shape(model, flexible, variable.name, variable)
        role = "free" if variable.name in free else "derived"
        rest.append(None if shape is None else Variable(str(variable.name), shape, role))
    return sampled, rest


def _shape(model: "pm.Model", flexible: Collection[str], name: str, variable: Any) -> Shape | None:
    """Return a variable's axes: lengths where they are known, else names of dimensions; None where neither is."""
    dims = model.named_vars_to_dims.get(name) or (None,) * variable.ndim
    axes: list[int | str] = []
    for dim, length in zip(dims, variable.type.shape, strict=True):
        shared = model.dim_lengths.get(dim)
        if length is not None:
            axes.append(int(length))
        elif not hasattr(shared, "get_value"):
            return None
        else:
            axes.append(str(dim) if dim in flexible else int(shared.get_value()))
    return tuple(axes)


def _compile_flexible(model: "pm.Model", sampled: list[Variable], rest: list[Variable]) -> Program:
    functions = dict(zip(("logp", "expand"), _functions(model, sampled, rest), strict=True))
    shared = list(dict.fromkeys(v for function in functions.values() for v in function.get_shared()))
    slots = tuple(Slot(str(v.name), v.ndim, str(v.get_value(borrow=True).dtype)) for v in shared)
    arrays = {f"slot{i}": np.array(v.get_value(), order="C") for i, v in enumerate(shared)}
    compiled = {}
    for name, function in functions.items():
        keys = [f"slot{shared.index(v)}" for v in function.get_shared()]
        compiled[name] = _native(name, function.vm.jit_fn, keys, arrays, record_type(slots))
    return Program(
        layout=Layout(len(sampled), (*sampled, *rest), slots),
        logp=int(compiled["logp"].address),
        expand=int(compiled["expand"].address),
        code={name: (f._library, f._wrapper_name) for name, f in compiled.items()},
    )


def _functions(model: "pm.Model", sampled: list[Variable], rest: list[Variable]) -> tuple[Any, Any]:
    """Return PyTensor's functions of one vector: log density with gradient, and everything that is stored."""
    import pytensor.tensor as pt
    from pymc.pytensorf import compile as compile_pymc
    from pytensor.graph import clone_replace, rewrite_graph

    point = pt.vector("point", dtype="float64")
    values = [model.rvs_to_values[rv] for rv in model.free_RVs]
    replacements = dict(zip(values, _split(model, point, sampled), strict=True))
    replacements = {value: part.astype(value.dtype) for value, part in replacements.items()}
    bounds = () if model.check_bounds else ("local_remove_check_parameter",)
    logp = rewrite_graph(model.logp(), include=("canonicalize", "stabilize", *bounds))
    gradient = pt.concatenate([g.ravel() for g in pt.grad(logp, values)])
    wanted = {variable.name for variable in rest}
    derived = [v for v in model.unobserved_value_vars if v.name in wanted]
    stored = pt.concatenate([v.ravel() for v in (*values, *derived)])
    with model:
        return (
            compile_pymc((point,), clone_replace([logp, gradient], replacements), mode="NUMBA"),
            compile_pymc((point,), clone_replace([stored], replacements), mode="NUMBA"),
        )


def _split(model: "pm.Model", point: Any, variables: list[Variable]) -> list[Any]:
    """Return the parts of the vector that NUTS moves, one a variable."""
    parts, start = [], 0
    for variable in variables:
        if variable.shape == ():
            parts.append(point[start])
            start = start + 1
            continue
        lengths = [model.dim_lengths[axis] if isinstance(axis, str) else axis for axis in variable.shape]
        end = start + lengths[0]
        for length in lengths[1:]:
            end = start + (end - start) * length
        part = point[start:end]
        parts.append(part if lengths == [lengths[0]] and isinstance(variable.shape[0], str) else part.reshape(lengths))
        start = end
    return parts


def _native(name: str, function: Any, keys: list[str], arrays: dict[str, Any], record: Any) -> Any:
    """Return the machine code that nutpie's sampler calls."""
    import warnings

    import numba
    from nutpie.compile_pymc import make_extraction_fn

    inner = make_extraction_fn(function, arrays, keys, record)
    integer, pointer, untyped = numba.types.uint64, numba.types.CPointer(numba.types.double), numba.types.voidptr
    if name == "logp":
        raw, arguments = _logp(inner), (integer, pointer, pointer, pointer, untyped)
    else:
        raw, arguments = _expand(inner), (integer, integer, pointer, pointer, untyped)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Cannot cache compiled function", category=numba.NumbaWarning)
        return numba.cfunc(numba.types.int64(*arguments))(raw)


def _logp(inner: Any) -> Callable[..., int]:
    import numba

    def logp(dim, x_, out_, logp_, record):  # type: ignore[no-untyped-def]  # numba reads the types from the signature
        try:
            value, gradient = inner(numba.carray(x_, (dim,)), record)
            if len(gradient) != dim:
                return -1
            out = numba.carray(out_, (dim,))
            out[...] = gradient
            numba.carray(logp_, ())[()] = value
            # Positive codes tell the sampler that this point is impossible, not that the program is broken.
            if not np.all(np.isfinite(out)):
                return 3
            if not np.isfinite(value):
                return 4
        except Exception:  # an exception cannot pass through the sampler
            return 1
        return 0

    return logp


def _expand(inner: Any) -> Callable[..., int]:
    import numba

    def expand(dim, stored, x_, out_, record):  # type: ignore[no-untyped-def]  # as above
        try:
            (values,) = inner(numba.carray(x_, (dim,)), record)
            if len(values) != stored:
                return -1
            numba.carray(out_, (stored,))[...] = values
        except Exception:  # as above
            return -2
        return 0

    return expand


def _compile_fixed(model: "pm.Model") -> Program:
    """Return the program that nutpie compiles: for these lengths alone."""
    import nutpie

    compiled = nutpie.compile_pymc_model(model)
    names, _, shapes = compiled.shape_info
    hidden = set(compiled.reparameterized_names or ())
    free = {variable.name for variable in model.free_RVs}
    derived = {variable.name for variable in model.deterministics}

    def role(name: str) -> str:
        return "unconstrained" if name in hidden else "derived" if name in derived and name not in free else "free"

    keys = {key: variable.name for variable, key in compiled.shared_var_keys.items()}
    variables = [(str(name), tuple(int(n) for n in shape)) for name, shape in zip(names, shapes, strict=True)]
    functions = {"logp": compiled.compiled_logp_func, "expand": compiled.compiled_expand_func}
    return Program(
        layout=Layout(
            n_sampled=len(model.free_RVs),
            variables=tuple(Variable(name, shape, role(name)) for name, shape in variables),
            slots=tuple(Slot(str(keys[k]), array.ndim, str(array.dtype)) for k, array in compiled.shared_data.items()),
        ),
        logp=int(functions["logp"].address),
        expand=int(functions["expand"].address),
        code={name: (f._library, f._wrapper_name) for name, f in functions.items()},
    )
