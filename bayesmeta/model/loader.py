"""Reads a model file from ``models/`` or from a user's path."""

import copyreg
import hashlib
import importlib.util
import re
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from bayesmeta.errors import ModelError, unknown
from bayesmeta.gaussian.statement import Gaussian
from bayesmeta.model.contract import Model
from bayesmeta.priors import Prior, parse_prior
from bayesmeta.resources import models_dir
from bayesmeta.values import FrozenMap

if TYPE_CHECKING:
    import pymc as pm


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


def _reduced(model: Model) -> tuple[Any, ...]:
    """Let a model travel by name, or by the path of a file of one's own: it is loaded again on arrival."""
    shipped = model.path.parent == models_dir().resolve()
    return _arrived, (model.name if shipped else str(model.path), model.source_hash)


def _arrived(model: str, source_hash: str) -> Model:
    """Return a model that was pickled or copied.

    Raises
    ------
    ModelError
        If its file is not here, or is no longer what it was.
    """
    loaded = load_model(model)
    if loaded.source_hash != source_hash:
        raise ModelError(
            f"Model {model!r} is not the file that this value was made with: it was changed since, or is of another "
            "version of bayesmeta. Fit the data again, or load the value beside the file that it was made with."
        )
    return loaded


copyreg.pickle(Model, _reduced)

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


type Statement = Callable[[Any, Mapping[str, Prior]], Gaussian]


def _derived(gaussian: Statement, data: Any, priors: Mapping[str, Prior]) -> "pm.Model":
    """Return the PyMC program of a model that states itself as a normal one."""
    from bayesmeta.gaussian.pymc_program import build

    return build(gaussian(data, priors))


REQUIRED = ("DATA", "PRIORS")
# What says the model itself: one of these.
STATEMENTS = ("gaussian", "gaussian_marginal", "build")


def _from_module(module: ModuleType, path: Path, digest: str) -> Model:
    missing = [name for name in REQUIRED if not hasattr(module, name)]
    if not any(hasattr(module, name) for name in STATEMENTS):
        missing.append("build")
    if not module.__doc__:
        missing.insert(0, "a docstring")
    if missing:
        raise ModelError(
            f"Model file {path.name} lacks {', '.join(missing)}. A model file needs a docstring, "
            "DATA, PRIORS and gaussian(data, priors) or build(data, priors); models/README.md has the contract."
        )
    # The name that the statement had while it could hold one scale only.
    gaussian = getattr(module, "gaussian", None) or getattr(module, "gaussian_marginal", None)
    build = getattr(module, "build", None)
    if build is None:
        assert gaussian is not None
        build = partial(_derived, gaussian)
    return Model(
        name=path.stem,
        path=path,
        source_hash=digest,
        docstring=module.__doc__ or "",
        data_type=module.DATA,
        priors=FrozenMap({name: parse_prior(prior) for name, prior in module.PRIORS.items()}),
        build=build,
        gaussian=gaussian,
        study_likelihoods=getattr(module, "study_likelihoods", None),
        variants=FrozenMap(dict(getattr(module, "VARIANTS", {}))),
        inputs=getattr(module, "inputs", None),
        tables=getattr(module, "tables", None),
        theta_given=getattr(module, "theta_given", None),
        baseline_given=getattr(module, "baseline_given", None),
        random_effects=getattr(module, "RANDOM_EFFECTS", None),
        marginal_loglik=getattr(module, "marginal_loglik", None),
        simulate=getattr(module, "simulate", None),
        shapes=getattr(module, "shapes", None),
        reported=getattr(module, "reported", None),
        measure=getattr(module, "MEASURE", None),
        selection=getattr(module, "selection", None),
        module=module,
    )
