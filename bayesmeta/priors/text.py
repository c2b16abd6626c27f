"""Read a prior from its text form, e.g. ``half_normal(0.5)`` or ``0.5*half_normal(0.1) + 0.5*half_normal(1)``."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from bayesmeta.errors import BayesMetaError, ModelError, unknown
from bayesmeta.priors.base import PRIORS, Prior

# Functions a text form may call beside the families: combinations of priors and look-ups.
FUNCTIONS: dict[str, Callable[..., Any]] = {}

_CONSTANTS = {"inf": math.inf, "pi": math.pi}
_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_HOW = "write it as name(number, ...), e.g. half_normal(0.5)"


def readable[F: Callable[..., Any]](function: F) -> F:
    """Let text forms call `function` by its name."""
    FUNCTIONS[function.__name__] = function
    return function


def parse_prior(prior: Any) -> Any:
    """Return a prior from its text form; a prior value passes through.

    Parameters
    ----------
    prior
        Text such as ``"half_normal(0.5)"``, ``"tau2~inverse_gamma(1, 0.1)"`` (a prior set on tau2,
        transformed to tau), ``"truncated(normal(0, 1), 0, inf)"``,
        ``"0.5*half_normal(0.1) + 0.5*half_normal(1)"``, ``"turner2015('pain', 'pharmacological vs
        pharmacological')"``; a prior value; or a ``scipy.stats`` frozen distribution.

    Raises
    ------
    ModelError
        If the text cannot be read, names no known prior, or a parameter is out of range.
    """
    if not isinstance(prior, str):
        return _from_value(prior)
    match = re.fullmatch(r"\s*tau2\s*~(.*)", prior, flags=re.DOTALL)
    text = f"on_tau2({match[1]})" if match else prior
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise ModelError(f"Cannot read the prior {prior!r}: {_HOW}.") from error
    value = _finished(_evaluate(tree, prior))
    if not isinstance(value, Prior):
        raise ModelError(f"Cannot read the prior {prior!r}: {_HOW}.")
    return value


def _from_value(prior: Any) -> Any:
    if isinstance(prior, type):
        raise ModelError(f"{prior.__name__} is a family, not a prior: give its parameters, {_HOW}.")
    if isinstance(prior, Prior):
        return prior
    if all(callable(getattr(prior, word, None)) for word in ("logpdf", "cdf", "ppf")):
        from bayesmeta.priors.foreign import from_scipy

        return from_scipy(prior)
    raise ModelError(f"Cannot read the prior {prior!r}: {_HOW}, or give a scipy.stats frozen distribution.")


@dataclass(frozen=True)
class _Terms:
    """Weighted priors of a mixture while it is being read."""

    pairs: tuple[tuple[float, Any], ...]


def _finished(value: Any) -> Any:
    if isinstance(value, _Terms):
        from bayesmeta.priors.mixtures import mixture

        return mixture(value.pairs)
    return value


def _combined(node: ast.BinOp, left: Any, right: Any) -> Any:
    """Return a weighted prior or a sum of weighted priors, or None where the operator means neither."""
    if isinstance(node.op, ast.Mult) and isinstance(left, float) and isinstance(right, Prior):
        return _Terms(((left, right),))
    if isinstance(node.op, ast.Add) and isinstance(left, _Terms) and isinstance(right, _Terms):
        return _Terms(left.pairs + right.pairs)
    return None


def _evaluate(node: ast.expr, text: str) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return _call(node.func.id, node, text)
    if (
        isinstance(node, ast.Constant)
        and isinstance(node.value, int | float | str)
        and not isinstance(node.value, bool)
    ):
        return float(node.value) if isinstance(node.value, int) else node.value
    if isinstance(node, ast.Name) and node.id in _CONSTANTS:
        return _CONSTANTS[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = _evaluate(node.operand, text)
        if isinstance(value, float):
            return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        left, right = _evaluate(node.left, text), _evaluate(node.right, text)
        if isinstance(left, float) and isinstance(right, float):
            if isinstance(node.op, ast.Div) and right == 0:
                raise ModelError(f"Cannot read the prior {text!r}: division by zero.")
            return _ARITHMETIC[type(node.op)](left, right)
        combined = _combined(node, left, right)
        if combined is not None:
            return combined
    if isinstance(node, ast.Name) and (node.id in PRIORS or node.id in FUNCTIONS):
        raise ModelError(f"Cannot read the prior {text!r}: {node.id} needs its parameters in parentheses; {_HOW}.")
    raise ModelError(f"Cannot read the prior {text!r}: {_HOW}.")


def _call(name: str, node: ast.Call, text: str) -> Any:
    if name not in PRIORS and name not in FUNCTIONS:
        raise unknown("prior", name, [*PRIORS, *FUNCTIONS])
    arguments = [_finished(_evaluate(a, text)) for a in node.args]
    keywords = {k.arg: _finished(_evaluate(k.value, text)) for k in node.keywords if k.arg is not None}
    function = PRIORS.get(name) or FUNCTIONS[name]
    try:
        return function(*arguments, **keywords)
    except BayesMetaError:
        raise
    except TypeError as error:
        raise ModelError(f"Cannot read the prior {text!r}: {_signature(name)}.") from error


def _signature(name: str) -> str:
    if name not in PRIORS:
        return f"{name} was given the wrong arguments"
    names = [f.name for f in fields(PRIORS[name])]
    takes = f"{len(names)} number{'s' * (len(names) != 1)} ({', '.join(names)})" if names else "no numbers"
    return f"{name} takes {takes}, e.g. {PRIORS[name].example}"
