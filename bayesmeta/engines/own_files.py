"""Does a copied and edited model file still state one model? Its ``build``, and what stands beside it for other uses.

Quadrature, the true effects of a marginal program, LOO and the remedies take other functions of a model file than
``build``. In a copy where only ``build`` was edited they would answer for the model that was copied.
"""

import ast
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmeta.engines.gaussian.given_variances import condition, flat_sums, problem
from bayesmeta.errors import ModelError
from bayesmeta.gaussian.covariance import Covariance
from bayesmeta.gaussian.prior_components import is_normal_mixture
from bayesmeta.gaussian.statement import Gaussian
from bayesmeta.gaussian.sums import kernel
from bayesmeta.model import Model, load_model
from bayesmeta.priors import Normal, Prior, fixed_value
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
    if model.gaussian is not None and BUILD in own and not _ships_as_it_is(own):
        check_statement(model, data, priors)
    restating = {*RESTATING, *(program.__name__ for program in model.variants.values())} & set(own)
    for path in sorted(models_dir().glob("*.py")) if restating else ():
        ships = functions(path)
        kept = sorted(name for name in restating if own[name] == ships.get(name))
        # A program was held against its statement above: where that is the one that ships, so is the model.
        if not kept or "gaussian" in kept or BUILD not in own or own[BUILD] == ships.get(BUILD):
            continue
        if not _same_density(model, load_model(path), data, priors):
            raise ModelError(
                f"{model.path.name}: build was edited, but {joined(kept)} {'is' if len(kept) == 1 else 'are'} still "
                f"that of models/{path.name}, which state{'s' if len(kept) == 1 else ''} another model. Change "
                f"{'it' if len(kept) == 1 else 'them'} to match build, or delete {'it' if len(kept) == 1 else 'them'} "
                "(a variant from VARIANTS too): then build alone is sampled with NUTS."
            )
    _CHECKED.add(model.source_hash)


def _ships_as_it_is(own: Mapping[str, str]) -> bool:
    """Whether the program and the statement are, word for word, those of a model that ships."""
    ships = (functions(path) for path in sorted(models_dir().glob("*.py")))
    return any(all(own.get(name) == other.get(name) for name in (BUILD, "gaussian")) for other in ships)


def check_statement(model: Model, data: Any, priors: Mapping[str, Prior]) -> None:
    """Refuse a file whose ``gaussian`` and ``build`` state different models, with the numbers in which they differ.

    Both give the likelihood of the variance parameters, everything else integrated out: the statement in closed form;
    the program exactly too, because its log density is quadratic in the rest where the statement is true.

    Raises
    ------
    ModelError
        If the two differ, or the program lacks a variance parameter of the statement.
    """
    assert model.gaussian is not None
    scales = {name.partition("[")[0] for name in model.gaussian(data, priors).parameters}
    # Coefficients integrate out in closed form under normal priors; which ones they are makes no difference here.
    tame = {n for n, p in priors.items() if is_normal_mixture(p) and not _has_t(p)}
    priors = {n: p if n.partition("[")[0] in scales or n in tame else Normal(0.0, 2.0) for n, p in priors.items()}
    given = model.gaussian(data, priors)
    program = _Integrated(model, data, priors, given)
    rng = np.random.default_rng(2)
    for _ in range(POINTS):
        psi = {name: _typical(prior, rng.uniform(0.2, 0.8)) for name, prior in given.parameters.items()}
        stated, sampled = marginal_loglik(given, list(psi.values())), program.loglik(psi)
        if not np.isclose(stated, sampled, rtol=1e-6, atol=1e-6):
            at = joined([f"{name} = {value:.3g}" for name, value in psi.items()]) or "all values"
            raise ModelError(
                f"{model.path.name}: gaussian and build state different models. At {at} the log likelihood is "
                f"{stated:.6g} by gaussian and {sampled:.6g} by build. Correct one of them, or delete build: the "
                "program is then made from gaussian."
            )


def _has_t(prior: Prior) -> bool:
    return "student_t" in repr(prior) or "cauchy" in repr(prior)


def _typical(prior: Prior, q: float) -> float:
    known = fixed_value(prior)
    return known if known is not None else float(prior.ppf(q)) if prior.proper else 2.0 * q


def marginal_loglik(given: Gaussian, psi: Sequence[float]) -> float:
    """Return the log likelihood of variance parameters, coefficients integrated out against their priors."""
    posed, covariance = problem(given), Covariance(given)
    logdet, M = kernel(covariance, np.column_stack([posed.Z, posed.r]))(covariance.scales(np.array([psi])))
    return float(condition(posed, np.zeros(1), flat_sums(M, logdet, posed.p)).loglik[0])


class _Integrated:
    """A program with everything but the variance parameters integrated out, where it is quadratic in the rest."""

    def __init__(self, model: Model, data: Any, priors: Mapping[str, Prior], given: Gaussian) -> None:
        from bayesmeta.engines.sampling.compiled.program_cache import COMPILING

        free = {name: prior for name, prior in given.parameters.items() if fixed_value(prior) is None}
        with COMPILING:
            built = model.build(data, priors)
            named = {rv.name: built.rvs_to_values[rv] for rv in built.free_RVs}
            absent = sorted(set(free) - set(named))
            if absent:
                raise ModelError(
                    f"{model.path.name}: gaussian has the variance parameter(s) {joined(absent)}, and build has no "
                    f"such variable: {joined(sorted(named))}. Use the same names in both."
                )
            rest = [rv for rv in built.free_RVs if rv.name not in free]
            self.start = _start(built)
            self.logp = built.compile_logp(mode="FAST_COMPILE", jacobian=False)
            self.slope = built.compile_dlogp(vars=rest, mode="FAST_COMPILE", jacobian=False) if rest else None
        self.free, self.rest = {name: named[name].name for name in free}, [named[rv.name].name for rv in rest]
        self.priors, self.transforms = free, {name: built.rvs_to_transforms[built[name]] for name in free}
        self.inputs = {name: built[name].owner.inputs for name in free}

    def loglik(self, psi: Mapping[str, float]) -> float:
        """Return the log likelihood at values of the variance parameters."""
        at = dict(self.start)
        for name, slot in self.free.items():
            transform = self.transforms[name]
            value = np.asarray(psi[name], dtype=float)
            at[slot] = value if transform is None else np.asarray(transform.forward(value, *self.inputs[name]).eval())
        log = float(self.logp(at)) - sum(float(prior.logpdf(psi[name])) for name, prior in self.priors.items())
        if self.slope is None:
            return log
        # A quadratic function is known from its slopes one unit apart.
        zero = np.asarray(self.slope(at), dtype=float)
        H = np.array([np.asarray(self.slope(self._moved(at, j)), dtype=float) - zero for j in range(zero.size)])
        sign, logdet = np.linalg.slogdet(-H)
        if sign <= 0:
            return math.nan
        return log + 0.5 * float(zero @ np.linalg.solve(-H, zero) + zero.size * math.log(2.0 * math.pi) - logdet)

    def _moved(self, at: Mapping[str, Any], j: int) -> dict[str, Any]:
        """Return the point with the j-th of the other variables moved by one."""
        moved = dict(at)
        for name in self.rest:
            size = moved[name].size
            if j < size:
                value = np.array(moved[name], dtype=float)
                value.flat[j] += 1.0
                return {**moved, name: value}
            j -= size
        return moved


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
