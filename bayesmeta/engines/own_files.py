"""Does a copied and edited model file still state one model? Its ``build``, and what stands beside it for other uses.

Quadrature, the true effects of a marginal program, LOO and the remedies take other functions of a model file than
``build``. In a copy where only ``build`` was edited they would answer for the model that was copied.
"""

import ast
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmeta.errors import ModelError
from bayesmeta.model import Model, load_model
from bayesmeta.priors import Prior
from bayesmeta.resources import models_dir
from bayesmeta.words import joined

if TYPE_CHECKING:
    import pymc as pm

# Functions that restate the model that ``build`` samples.
RESTATING = ("gaussian", "gaussian_marginal", "study_likelihoods", "marginal_loglik", "theta_given", "baseline_given")
BUILD = "build"
POINTS = 4
_CHECKED: set[str] = set()


def check_copy(model: Model, data: Any, priors: Mapping[str, Prior]) -> None:
    """Refuse a user's file whose ``build`` was edited while functions that restate it are those of a model that ships.

    Raises
    ------
    ModelError
        If there are such functions, and the two ``build`` do not give the same density.
    """
    if model.path.parent == models_dir().resolve() or model.source_hash in _CHECKED:
        return
    own = functions(model.path)
    restating = {*RESTATING, *(program.__name__ for program in model.variants.values())} & set(own)
    for path in sorted(models_dir().glob("*.py")) if restating else ():
        ships = functions(path)
        kept = sorted(name for name in restating if own[name] == ships.get(name))
        if kept and own[BUILD] != ships[BUILD] and not _same_density(model, load_model(path), data, priors):
            raise ModelError(
                f"{model.path.name}: build was edited, but {joined(kept)} {'is' if len(kept) == 1 else 'are'} still "
                f"that of models/{path.name}, which state{'s' if len(kept) == 1 else ''} another model. Change "
                f"{'it' if len(kept) == 1 else 'them'} to match build, or delete {'it' if len(kept) == 1 else 'them'} "
                "(a variant from VARIANTS too): then build alone is sampled with NUTS."
            )
    _CHECKED.add(model.source_hash)


def functions(path: Path) -> dict[str, str]:
    """Return each function of a file as normalised text: without docstrings and comments, and with all that it uses."""
    defined: dict[str, ast.stmt] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            defined |= {target.id: node for target in targets if isinstance(target, ast.Name)}
    # Default priors are no part of what a function does: it is given the priors in use.
    defined.pop("PRIORS", None)
    return {name: _text(name, defined) for name, node in defined.items() if isinstance(node, ast.FunctionDef)}


def _text(name: str, defined: Mapping[str, ast.stmt]) -> str:
    """Return a function and what it uses of its file, one after the other."""
    used, todo = {name}, [name]
    while todo:
        names = {node.id for node in ast.walk(defined[todo.pop()]) if isinstance(node, ast.Name)}
        new = (names & set(defined)) - used
        used |= new
        todo += sorted(new)
    return "\n".join(ast.unparse(_without_docstring(defined[each])) for each in sorted(used))


def _without_docstring(node: ast.stmt) -> ast.stmt:
    if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None:
        return ast.FunctionDef(
            name=node.name, args=node.args, body=node.body[1:] or [ast.Pass()], decorator_list=node.decorator_list,
            lineno=0, type_params=[],
        )  # fmt: skip
    return node


def _same_density(own: Model, ships: Model, data: Any, priors: Mapping[str, Prior]) -> bool:
    """Whether two programs have the same variables and the same log density at a few points."""
    if own.data_type is not ships.data_type or not set(ships.priors) <= set(priors):
        return False
    from bayesmeta.engines.sampling.compiled.program_cache import COMPILING

    with COMPILING:
        mine, theirs = (model.build(data, priors) for model in (own, ships))
        start, other = (_start(built) for built in (mine, theirs))
        if {name: value.shape for name, value in start.items()} != {name: value.shape for name, value in other.items()}:
            return False
        logps: list[Callable[..., Any]] = [built.compile_logp(mode="FAST_COMPILE") for built in (mine, theirs)]
    rng = np.random.default_rng(1)
    for _ in range(POINTS):
        at = {name: value + 0.3 * rng.standard_normal(value.shape) for name, value in start.items()}
        first, second = (float(logp(at)) for logp in logps)
        if not np.isclose(first, second, rtol=1e-8, atol=1e-8):
            return False
    return True


def _start(built: "pm.Model") -> dict[str, np.ndarray[Any, Any]]:
    return {name: np.asarray(value, dtype=float) for name, value in built.initial_point().items()}
