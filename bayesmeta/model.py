"""The model contract, and the loader that reads a model file from ``models/`` or from a user's path."""

import ast
import hashlib
import importlib.util
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.errors import ModelError, unknown
from bayesmeta.priors import Prior, parse_prior
from bayesmeta.resources import models_dir
from bayesmeta.studies import PersonTime, TwoByTwo
from bayesmeta.values import Array

if TYPE_CHECKING:
    import pymc as pm


@dataclass(frozen=True, slots=True, eq=False)
class GaussianMarginal:
    """What a model offers when the studies' true effects integrate out analytically.

    ``y ~ N(X beta, diag(v) + tau^2 I)``.

    Parameters
    ----------
    study
        ``(k,)`` labels.
    y, v
        ``(k,)`` effects and sampling variances.
    X
        ``(k, p)`` design matrix.
    terms
        ``(p,)`` names of the coefficients; ``("mu",)`` for an intercept alone.
    beta
        ``(p,)`` priors of the coefficients.
    tau
        Prior of tau, or None for a common-effect model (tau = 0).
    """

    study: tuple[str, ...]
    y: Array
    v: Array
    X: Array
    terms: tuple[str, ...]
    beta: tuple[Prior, ...]
    tau: Prior | None

    def row(self, x: ArrayLike) -> Array:
        """Return `x` as ``(p,)`` values of the design's columns.

        Raises
        ------
        ModelError
            If it does not have one finite value for each coefficient.
        """
        values = np.asarray(x, dtype=float).ravel()
        if values.shape != (len(self.terms),) or not np.isfinite(values).all():
            raise ModelError(
                f"x needs {len(self.terms)} finite value(s), one for each of {', '.join(self.terms)}; "
                f"got {values.tolist()}."
            )
        return values


@dataclass(frozen=True, slots=True, eq=False)
class StudyLikelihoods:
    """What a model offers when each study's data depend on its own true effect only.

    Parameters
    ----------
    study
        ``(k,)`` labels.
    loglik
        Maps ``(k, m)`` values of theta, one row a study, to ``(k, m)`` log likelihoods with every
        nuisance parameter integrated out, normalising constants included.
    center, scale
        ``(k,)`` rough place and width of each study's likelihood in theta: where integration starts
        to look. ``scale`` may be infinite for a study that says nothing.
    mu, tau
        Priors; ``tau`` is None for a common-effect model.
    random_effects
        ``"normal"``, or ``"t"`` with `df`.
    df
        Degrees of freedom of Student-t random effects.
    normal
        ``(k,)`` estimates and standard errors, where the likelihoods are normal in theta.
    support
        Interval in which theta lies. The random effects are then those of the normal distribution cut to
        it: its density between the limits, divided by its probability there.
    creases
        Values of theta where a likelihood may have a kink: no effect, as where risks that are all but 0 or 1 bound
        their own difference.
    """

    study: tuple[str, ...]
    loglik: Callable[[Array], Array]
    center: Array
    scale: Array
    mu: Prior
    tau: Prior | None
    random_effects: Literal["normal", "t"] = "normal"
    df: float = float("inf")
    normal: tuple[Array, Array] | None = None
    support: tuple[float, float] = (float("-inf"), float("inf"))
    creases: tuple[float, ...] = (0.0,)


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A model file, loaded: what `models/README.md` asks for, as one value.

    Optional abilities are None where the file does not offer them. ``variants`` are other PyMC
    programs of the same posterior (non-centred, centred), tried as remedies when sampling goes badly.
    ``inputs(data)`` names the arrays that ``build`` declares as pm.Data, and ``tables(data, priors)`` those that depend
    on the priors too. ``theta_given(data, draws)``
    is the mean and the standard deviation, ``(chains, draws, k)``, of the true effects' normal
    distribution given everything that was drawn. ``baseline_given(data, priors, draws, uniform)`` are draws
    ``(chains, draws, k)`` of baselines that the program integrated out, from their distribution given the other draws,
    made of uniform noise of that shape. ``random_effects`` is ``"normal"`` where theta is
    N(mu, tau) and the file offers neither marginal form, so that a new study can be predicted.
    ``marginal_loglik(data, parameters)`` is ``(chains, draws, k)``, the log probability of each study's data given the
    parameters that studies share, for a model whose random effects neither marginal form integrates out.
    ``simulate(data, parameters, rng)`` draws replicates of the data's fields given parameters and theta;
    ``shapes(data)`` are the shapes of the parameters that are vectors. ``measure`` is the effect measure of
    mu for a model of counts whose measure is not the odds ratio (2x2 tables) or the rate ratio (person-time).
    """

    name: str
    path: Path
    source_hash: str
    docstring: str
    data_type: type
    priors: Mapping[str, Prior]
    build: Callable[[Any, Mapping[str, Prior]], "pm.Model"]
    gaussian_marginal: Callable[[Any, Mapping[str, Prior]], GaussianMarginal] | None = None
    study_likelihoods: Callable[[Any, Mapping[str, Prior]], StudyLikelihoods] | None = None
    variants: Mapping[str, Callable[[Any, Mapping[str, Prior]], "pm.Model"]] = field(default_factory=dict)
    inputs: Callable[[Any], Mapping[str, ArrayLike]] | None = None
    tables: Callable[[Any, Mapping[str, Prior]], Mapping[str, ArrayLike]] | None = None
    theta_given: Callable[[Any, Mapping[str, Array]], tuple[Array, Array]] | None = None
    baseline_given: Callable[[Any, Mapping[str, Prior], Mapping[str, Array], Array], Array] | None = None
    random_effects: Literal["normal"] | None = None
    marginal_loglik: Callable[[Any, Mapping[str, Array]], Array] | None = None
    simulate: Callable[[Any, Mapping[str, Array], np.random.Generator], dict[str, Array]] | None = None
    shapes: Callable[[Any], dict[str, tuple[int, ...]]] | None = None
    measure: str | None = None
    module: ModuleType | None = None

    @property
    def programs(self) -> Mapping[str, Callable[[Any, Mapping[str, Prior]], "pm.Model"]]:
        """The PyMC programs by variant: ``"default"`` is ``build``."""
        return {DEFAULT_VARIANT: self.build, **self.variants}

    @property
    def own_measure(self) -> str | None:
        """Effect measure of mu, where the model and not the data decide it; None for models of effect sizes.

        A model of counts that does not state one is about odds ratios (2x2 tables) or rate ratios (person-time).
        """
        unstated = "OR" if self.data_type is TwoByTwo else "IRR" if self.data_type is PersonTime else None
        return self.measure or unstated

    @property
    def takes_moderators(self) -> bool:
        """Whether the model is a regression: it has coefficients ``beta``, or its file uses the design ``X``."""
        return "beta" in self.priors or "X" in _attributes(self.path, self.source_hash)

    def check_measure(self, measure: str) -> None:
        """Check that the model can be about an effect measure.

        Raises
        ------
        ModelError
            If its counts are about another one.
        """
        if self.own_measure not in (None, measure):
            raise ModelError(
                f"Model {self.name!r} estimates the {self.own_measure}, not the {measure}: take measure "
                f"{self.own_measure!r}, or another model ('normal_normal' pools effect sizes of every measure)."
            )

    @property
    def title(self) -> str:
        """First line of the docstring, without its full stop."""
        return self.docstring.strip().splitlines()[0].rstrip(".")

    def with_priors(self, priors: Mapping[str, Any] | None) -> Mapping[str, Prior]:
        """Return the model's default priors with the ones given in their place.

        Parameters
        ----------
        priors
            Parameter name to prior, prior text, or scipy.stats frozen distribution.

        Raises
        ------
        ModelError
            If a name is not a parameter of this model, or a prior cannot be read.
        """
        chosen = dict(self.priors)
        for name, prior in (priors or {}).items():
            if name not in chosen:
                raise unknown(f"prior parameter of model {self.name!r}:", name, self.priors)
            chosen[name] = parse_prior(prior)
        return MappingProxyType(chosen)


@lru_cache
def _attributes(path: Path, source_hash: str) -> frozenset[str]:
    """Return the names of all attributes that a model file's code uses."""
    tree = ast.parse(path.read_bytes())
    return frozenset(node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute))


def resolved(prior: Prior, data: Any) -> Prior:
    """Return the prior for these data: some depend on the studies' standard errors, which counts do not have."""
    return prior.resolve(data.sei) if hasattr(data, "sei") else prior


def data_slots(arrays: Mapping[str, ArrayLike], *, dims: str | tuple[str, ...]) -> dict[str, Any]:
    """Declare arrays as pm.Data in the PyMC model in context, so that one compilation serves other data.

    Parameters
    ----------
    arrays
        Name to array, as the model file's ``inputs`` returns them; counts are int64, the rest float64.
    dims
        Dimensions of every array here.
    """
    import pymc as pm

    return {name: pm.Data(name, np.asarray(values), dims=dims) for name, values in arrays.items()}


def code_hash(model: Model) -> str:
    """Return a hash of a model file's code without its docstrings, layout and the places it imports from.

    Records of long checks carry it, so that a test can tell whether the code they checked is still the same.
    """
    tree = ast.parse(model.path.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if not isinstance(node, ast.Import | ast.ImportFrom)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]


def list_models() -> list[str]:
    """Return the names of the models that ship with bayesmeta."""
    return sorted(p.stem for p in models_dir().glob("*.py") if not p.stem.startswith("_"))


def load_model(model: "str | Path | Model") -> Model:
    """Return a model by name, or from a user's own file by path.

    Raises
    ------
    ModelError
        If the name is unknown, or the file lacks something the contract requires.
    """
    if isinstance(model, Model):
        return model
    if not isinstance(model, str | Path):
        raise ModelError(f"The model is {model!r}: give a name such as 'normal_normal', or the path of a .py file.")
    path = Path(model)
    if path.suffix == ".py":
        if not path.is_file():
            raise ModelError(f"Model file {str(path)!r} does not exist. Give a path to a .py file, or a model name.")
    else:
        path = models_dir() / f"{model}.py"
        if not re.fullmatch(r"[A-Za-z]\w*", str(model)) or not path.is_file():
            raise unknown("model", str(model), list_models())
    return _load(path.resolve())


_LOADED: dict[tuple[Path, str], Model] = {}


def _load(path: Path) -> Model:
    source = path.read_bytes()
    digest = hashlib.sha256(source).hexdigest()
    key = (path, digest)
    if key not in _LOADED:
        _LOADED[key] = _from_module(_import(path, digest), path, digest)
    return _LOADED[key]


def _import(path: Path, digest: str) -> ModuleType:
    name = f"_bayesmeta_model_{path.stem}_{digest[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ModelError(f"Model file {str(path)!r} cannot be imported as Python.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise ModelError(f"Model file {path.name}, line {error.lineno}: {error.msg}.") from error
    return module


DEFAULT_VARIANT = "default"
"""Name of the PyMC program that is a model's ``build``."""

REQUIRED = ("DATA", "PRIORS", "build")


def _from_module(module: ModuleType, path: Path, digest: str) -> Model:
    missing = [name for name in REQUIRED if not hasattr(module, name)]
    if not module.__doc__:
        missing.insert(0, "a docstring")
    if missing:
        raise ModelError(
            f"Model file {path.name} lacks {', '.join(missing)}. A model file needs a docstring, "
            "DATA, PRIORS and build(data, priors); models/README.md has the contract."
        )
    return Model(
        name=path.stem,
        path=path,
        source_hash=digest,
        docstring=module.__doc__ or "",
        data_type=module.DATA,
        priors=MappingProxyType({name: parse_prior(prior) for name, prior in module.PRIORS.items()}),
        build=module.build,
        gaussian_marginal=getattr(module, "gaussian_marginal", None),
        study_likelihoods=getattr(module, "study_likelihoods", None),
        variants=MappingProxyType(dict(getattr(module, "VARIANTS", {}))),
        inputs=getattr(module, "inputs", None),
        tables=getattr(module, "tables", None),
        theta_given=getattr(module, "theta_given", None),
        baseline_given=getattr(module, "baseline_given", None),
        random_effects=getattr(module, "RANDOM_EFFECTS", None),
        marginal_loglik=getattr(module, "marginal_loglik", None),
        simulate=getattr(module, "simulate", None),
        shapes=getattr(module, "shapes", None),
        measure=getattr(module, "MEASURE", None),
        module=module,
    )
