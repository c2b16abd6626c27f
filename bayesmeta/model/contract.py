"""The model contract: what a model file says, as one value."""

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.errors import ModelError, option, unknown
from bayesmeta.gaussian.statement import Gaussian
from bayesmeta.model.abilities import Abilities
from bayesmeta.model.reporting import Reporting
from bayesmeta.priors import Prior, parse_prior
from bayesmeta.studies import PersonTime, TwoByTwo
from bayesmeta.values import Array, FrozenMap

if TYPE_CHECKING:
    import pymc as pm


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
    ``selection(data, priors)`` says how results came to be reported.
    ``shapes(data)`` are the shapes of the parameters that are vectors. ``reported(data, draws)`` are further quantities
    made of the draws, name to ``(chains, draws)``. ``measure`` is the effect measure of
    mu for a model of counts whose measure is not the odds ratio (2x2 tables) or the rate ratio (person-time).
    """

    name: str
    path: Path
    source_hash: str
    docstring: str
    data_type: type
    priors: Mapping[str, Prior]
    build: Callable[[Any, Mapping[str, Prior]], "pm.Model"]
    gaussian: Callable[[Any, Mapping[str, Prior]], Gaussian] | None = None
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
    reported: Callable[[Any, Mapping[str, Array]], dict[str, Array]] | None = None
    measure: str | None = None
    selection: Callable[[Any, Mapping[str, Prior]], Reporting] | None = None
    module: ModuleType | None = None

    @property
    def programs(self) -> Mapping[str, Callable[[Any, Mapping[str, Prior]], "pm.Model"]]:
        """The PyMC programs by variant: ``"default"`` is ``build``."""
        return {DEFAULT_VARIANT: self.build, **self.variants}

    @property
    def abilities(self) -> Abilities:
        """What can be asked of the model."""
        return Abilities(
            closed_form=self.gaussian is not None,
            study_likelihoods=self.study_likelihoods is not None,
            reporting=self.selection is not None,
            random_effects=self.random_effects is not None,
            replicates=self.simulate is not None,
            scales=tuple(name for name in self.priors if name not in COEFFICIENTS),
        )

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

    @property
    def takes_dependent_rows(self) -> bool:
        """Whether the model knows of several rows a study: its file uses their clusters, outcomes or covariance."""
        return not _attributes(self.path, self.source_hash).isdisjoint(("cluster", "outcome", "V", "rows"))

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

    @property
    def leans_on(self) -> str:
        """What the docstring says, after "Leans on:", that favours one arm; empty where nothing does."""
        said = re.search(r"^Leans on: (.+?)(?:\n\s*\n|\Z)", self.docstring, re.DOTALL | re.MULTILINE)
        return "" if said is None else " ".join(said[1].replace("``", "'").split())

    @property
    def has_baselines(self) -> bool:
        """Whether arms of counts have a baseline with a prior, through which studies without events speak."""
        return self.data_type in (TwoByTwo, PersonTime) and "baseline" in self.priors

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
            # A parameter that is one of several, tau[PD], may have a prior of its own.
            if name.partition("[")[0] not in chosen:
                raise unknown(f"prior parameter of model {self.name!r}:", name, self.priors)
            chosen[name] = parse_prior(prior)
        return FrozenMap(chosen)

    def check_labelled(self, data: Any, priors: Mapping[str, Prior]) -> None:
        """Refuse the prior of one of several parameters, ``tau[PD]``, that the model does not read.

        Raises
        ------
        ModelError
            If there is such a prior.
        """
        labelled = [name for name in priors if "[" in name]
        if not labelled:
            return
        watched = _Watched(priors)
        (self.gaussian or self.study_likelihoods or self.build)(data, watched)
        for name in labelled:
            if name not in watched.read:
                whole = name.partition("[")[0]
                raise ModelError(
                    f"A prior is given for {name!r}, but model {self.name!r} has one prior of {whole} here: give "
                    f"{option('priors', str(priors[name]), key=whole)}."
                )


class _Watched(Mapping[str, Prior]):
    """Priors that remember which of them were read."""

    def __init__(self, priors: Mapping[str, Prior]) -> None:
        self.priors = priors
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Prior:
        found = self.priors[name]
        self.read.add(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self.priors)

    def __len__(self) -> int:
        return len(self.priors)


# Parameters that are no scale of random effects and no correlation of them.
COEFFICIENTS = ("mu", "intercept", "beta")
DEFAULT_VARIANT = "default"
"""Name of the PyMC program that is a model's ``build``."""


@lru_cache
def _attributes(path: Path, source_hash: str) -> frozenset[str]:
    """Return the names of all attributes that a model file's code uses."""
    tree = ast.parse(path.read_bytes())
    return frozenset(node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute))


def priors_by_label(priors: Mapping[str, Prior], name: str, labels: Sequence[str]) -> list[Prior]:
    """Return the prior of a parameter that there is one of for each label: ``name[label]``, else that of ``name``.

    Raises
    ------
    ModelError
        If a prior is given for a label that there is not.
    """
    for given in priors:
        if given.startswith(f"{name}[") and given[len(name) + 1 : -1] not in labels:
            raise unknown("prior parameter:", given, [f"{name}[{label}]" for label in labels])
    return [priors.get(f"{name}[{label}]", priors[name]) for label in labels]


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
