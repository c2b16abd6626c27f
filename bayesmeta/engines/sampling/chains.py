"""Run NUTS chains of a compiled model, several at once, with nutpie's sampler."""

import importlib.util
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesmeta.engines.sampling.compiled.program import Bound
from bayesmeta.errors import ConvergenceError
from bayesmeta.values import Array

# The sampler's compiled module is loaded on its own, because importing the package around it also
# imports ArviZ and its plots. Only versions that were tested are loaded so.
TESTED_NUTPIE = ("0.16",)
STATISTICS = {
    "diverging": np.bool_,
    "energy": np.float64,
    "logp": np.float64,
    "depth": np.int64,
    "n_steps": np.int64,
    "step_size": np.float64,
    "mean_tree_accept": np.float64,
}
ARVIZ_NAMES = {"logp": "lp", "depth": "tree_depth", "mean_tree_accept": "acceptance_rate"}
_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True)
class Settings:
    """How long and how carefully to sample.

    Parameters
    ----------
    draws, tune
        Draws kept and warm-up draws of each chain.
    thin
        One draw in so many is kept. Draws are cheap and kept ones are not (every figure and its
        error is computed from them), and the Monte Carlo errors of nearly independent draws are
        themselves well known, where a chain that lingers near tau = 0 would understate them.
    chains
        Number of chains.
    target_accept
        Mean acceptance probability the step size is tuned to.
    seed
        Of the sampler and of the starting points.
    """

    draws: int = 4000
    tune: int = 1000
    thin: int = 4
    chains: int = 4
    target_accept: float = 0.98
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What the sampler returned.

    Parameters
    ----------
    draws
        Variable name to ``(chains, draws, *shape)``, on the analysis scale.
    derived
        Names of the variables that the program computed from the others.
    stats
        Statistic name to ``(chains, draws)``, in ArviZ's names.
    diverging, energy
        ``(chains, thin * draws)`` of every draw after warm-up, kept or not.
    """

    draws: dict[str, Array]
    derived: frozenset[str]
    stats: dict[str, NDArray[Any]]
    diverging: NDArray[Any]
    energy: Array


def sampler_module() -> Any:
    """Return nutpie's compiled sampler."""
    with _LOCK:
        loaded = sys.modules.get("nutpie._lib")
        if loaded is not None:
            return loaded
        package = importlib.util.find_spec("nutpie")
        if package is not None and package.origin and version("nutpie").startswith(TESTED_NUTPIE):
            folder = Path(package.origin).parent
            for suffix in EXTENSION_SUFFIXES:
                path = folder / f"_lib{suffix}"
                if path.is_file():
                    return _load_extension("nutpie._lib", path)
        import nutpie  # noqa: F401

        return sys.modules["nutpie._lib"]


def _load_extension(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[name] = module
    return module


def cores_for(chains: int) -> int:
    """Return how many chains to run at once: as many as this process may use cores."""
    available = getattr(os, "process_cpu_count", os.cpu_count)() or 1
    return max(1, min(chains, available))


def starting_points(n: int) -> Callable[[Any], Array]:
    """Return the rule for starting points: uniform on (-1, 1) in every unconstrained direction.

    The points depend on the seed alone, never on what was compiled before, so that a run can be repeated.
    """

    def start(seed: Any) -> Array:
        return np.random.default_rng(seed).uniform(-1.0, 1.0, n)

    return start


def run(bound: Bound, settings: Settings, *, progress: bool = False) -> Run:
    """Return draws of the program's posterior.

    Parameters
    ----------
    bound
        The program with data in its slots.
    progress
        Show a bar for each chain, on a terminal; nothing is shown elsewhere.

    Raises
    ------
    ConvergenceError
        If no starting point could be found, or the sampler failed.
    """
    library = sampler_module()
    arguments = library.PyNutsSettings.Diag(settings.seed)
    arguments.update(
        {
            "num_tune": settings.tune,
            "num_draws": settings.draws * settings.thin,
            "num_chains": settings.chains,
            "target_accept": settings.target_accept,
        }
    )
    bar = library.ProgressType.indicatif(100) if progress and sys.stderr.isatty() else library.ProgressType.none()
    sampler = library.PySampler.from_pymc(
        arguments, cores_for(settings.chains), _pymc_model(library, bound), bar, None, 100, library.PyStorage.arrow()
    )
    try:
        # The chains run in threads of their own: what reads their draws is imported meanwhile.
        import pyarrow  # noqa: F401

        sampler.wait(None)
    except RuntimeError as error:
        reason = " ".join(str(error).partition("Stack backtrace")[0].split())
        raise ConvergenceError(
            f"NUTS could not sample this model: {reason}. Check the priors' supports against the data, "
            "or use engine='quadrature' where the model offers it."
        ) from error
    except BaseException:
        # Ctrl-C among others: stop the threads before the arrays they read go away.
        sampler.abort()
        raise
    draw_batches, stat_batches = sampler.take_results().get_arrow_trace()
    return _collect(bound, settings, draw_batches, stat_batches)


def _pymc_model(library: Any, bound: Bound) -> Any:
    program, record = bound.program, bound.record.ctypes.data
    # The last argument keeps the data and the machine code alive for as long as a thread may use them.
    expand = library.ExpandFunc(bound.n_free, bound.n_stored, program.expand, record, bound)
    logp = library.LogpFunc(program.logp, record, bound)
    names = [variable.name for variable in program.layout.variables]
    dims = {
        name: [f"{name}_axis_{i}" for i in range(len(shape))] for name, shape in zip(names, bound.shapes, strict=True)
    }
    pairs = zip(names, bound.shapes, strict=True)
    sizes = {dim: n for name, shape in pairs for dim, n in zip(dims[name], shape, strict=True)}
    shapes = [np.array(shape, dtype=np.int64) for shape in bound.shapes]
    variables = library.PyVariable.new_variables(names, ["float64"] * len(names), shapes, sizes, dims)
    return library.PyMcModel(logp, expand, variables, bound.n_free, sizes, {}, starting_points(bound.n_free), None)


def _collect(bound: Bound, settings: Settings, draw_batches: list[Any], stat_batches: list[Any]) -> Run:
    made, thin = settings.draws * settings.thin, settings.thin
    pairs = zip(bound.program.layout.variables, bound.shapes, strict=True)
    kept = [(variable, shape) for variable, shape in pairs if variable.role != "unconstrained"]
    drawn, noted = _columns(draw_batches, made), _columns(stat_batches, made)
    draws = {
        v.name: np.stack([column(v.name, shape)[thin - 1 :: thin] for column in drawn]).astype(np.float64)
        for v, shape in kept
    }
    stats: dict[str, NDArray[Any]] = {
        name: np.stack([column(name, ()) for column in noted]).astype(dtype) for name, dtype in STATISTICS.items()
    }
    return Run(
        draws,
        frozenset(v.name for v, _ in kept if v.role == "derived"),
        {ARVIZ_NAMES.get(name, name): values[:, thin - 1 :: thin] for name, values in stats.items()},
        stats["diverging"],
        stats["energy"],
    )


def _columns(batches: list[Any], draws: int) -> list[Callable[[str, tuple[int, ...]], NDArray[Any]]]:
    """Return, for each chain, what finds a variable's last `draws` values, the ones after warm-up."""
    import pyarrow as pa

    return [partial(_column, pa.record_batch(batch), draws) for batch in batches]


def _column(batch: Any, draws: int, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return ``(draws, *shape)`` values of a column without missing values.

    They are read from Arrow's memory: its own conversion to NumPy imports pandas, which costs more than sampling.
    """
    column = batch.column(name)
    column = column.slice(len(column) - draws)
    if hasattr(column, "flatten"):
        column = column.flatten()
    _, memory = column.buffers()
    assert column.null_count == 0
    first, n = column.offset, len(column)
    if str(column.type) == "bool":
        return np.unpackbits(np.frombuffer(memory, np.uint8), bitorder="little")[first : first + n]
    dtype = np.dtype("f8" if str(column.type) == "double" else str(column.type))
    return np.frombuffer(memory, dtype)[first : first + n].reshape(draws, *shape)
