r"""What a normal hierarchical model says: one value that both engines and both schools read.

.. math:: y \sim N\bigl(X\beta,\; V + \textstyle\sum_j s_j(\psi) B_j\bigr)

V is known; :math:`\psi` are standard deviations of random effects and correlations between them, each with a prior;
:math:`B_j` says which rows share a random effect.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.errors import ModelError
from bayesmeta.priors import Prior, fixed_value
from bayesmeta.values import Array, FrozenMap

NEW = None
"""Level of a random effect that no row has: that of a new study."""


@dataclass(frozen=True, slots=True, eq=False)
class Component:
    """Random effects of one kind: one for each level, normal with mean 0 and a common standard deviation.

    Parameters
    ----------
    name
        Of the standard deviation, e.g. ``"tau"``.
    prior
        Of the standard deviation.
    levels
        ``(n,)`` label of each row's level, e.g. its cluster; a level for each row when not given.
    design
        ``(n,)`` what the effect is multiplied with in each row, e.g. 1 where the row is of one outcome and 0
        elsewhere; 1 everywhere when not given.
    relation
        ``(q, q)`` known correlation of the effects, levels in the order in which they first appear; independent when
        not given.
    """

    name: str
    prior: Prior
    levels: tuple[str, ...] | None = None
    design: Array | None = None
    relation: Array | None = None

    def level_names(self, n: int) -> tuple[str, ...]:
        """Return the levels in the order in which they first appear in ``n`` rows."""
        return tuple(map(str, range(n))) if self.levels is None else tuple(dict.fromkeys(self.levels))


@dataclass(frozen=True, slots=True, eq=False)
class Correlation:
    """One correlation between all pairs of several components, whose levels are the same.

    Parameters
    ----------
    name
        E.g. ``"rho"``.
    prior
        Of the correlation, on (-1, 1).
    components
        Names of the components, at least two.
    """

    name: str
    prior: Prior
    components: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Effect:
    """A true effect: ``x' beta`` plus random effects, of levels that were observed or of new ones.

    Parameters
    ----------
    x
        ``(p,)`` values of the design's columns.
    parts
        Component name to the label of its level, `NEW` (None) for one that no row has.
    times
        Component name to what its random effect is multiplied with; 1 when not given.
    """

    x: Array
    parts: Mapping[str, str | None] = field(default_factory=dict)
    times: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Gaussian:
    """A normal hierarchical model of n rows.

    Parameters
    ----------
    study
        ``(n,)`` labels of the rows.
    y
        ``(n,)`` effects.
    V
        Sampling (co)variances: ``(n,)`` variances or an ``(n, n)`` matrix.
    X
        ``(n, p)`` design matrix.
    terms
        ``(p,)`` names of the coefficients; ``("mu",)`` for an intercept alone.
    beta
        ``(p,)`` priors of the coefficients.
    components
        Random effects.
    correlations
        Between components.
    effects
        Label to true effect, as reported; one for each row, with all its random effects, when not given.
    predictions
        Name to the true effect of a new study, a new row, ...; ``theta_new`` of a model of one mean when not given.
    means
        Name to the combination of coefficients, ``(p,)``, that the posterior reports in their place; the coefficients
        themselves when not given. For coefficients that only differences of mean something.

    Raises
    ------
    ModelError
        If shapes do not agree, or a correlation is between components that do not have the same levels.
    """

    study: tuple[str, ...]
    y: Array
    V: Array
    X: Array
    terms: tuple[str, ...]
    beta: tuple[Prior, ...]
    components: tuple[Component, ...] = ()
    correlations: tuple[Correlation, ...] = ()
    effects: Mapping[str, Effect] | None = None
    predictions: Mapping[str, Effect] | None = None
    means: Mapping[str, Array] | None = None

    def __post_init__(self) -> None:
        n, p = self.X.shape
        shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
            "y": (self.y.shape, (n,)),
            "terms": ((len(self.terms),), (p,)),
            "beta": ((len(self.beta),), (p,)),
        }
        shapes["study"] = ((len(self.study),), (n,))
        if self.V.shape != (n,):
            shapes["V"] = (self.V.shape, (n, n))
        for component in self.components:
            for what in ("levels", "design"):
                value = getattr(component, what)
                if value is not None:
                    shapes[f"{what} of {component.name}"] = ((len(value),), (n,))
        for name, (found, expected) in shapes.items():
            if found != expected:
                raise ModelError(
                    f"A normal model of {n} rows and {p} terms has {name} of shape {found}, not {expected}."
                )
        for correlation in self.correlations:
            named = [self.component(name) for name in correlation.components]
            if len(named) < 2 or len({component.levels for component in named}) > 1:
                raise ModelError(
                    f"The correlation {correlation.name} is between {', '.join(correlation.components)}: it takes two "
                    "components or more with the same levels."
                )

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.y)

    @property
    def v(self) -> Array:
        """``(n,)`` sampling variances."""
        return self.V if self.V.ndim == 1 else np.diagonal(self.V)

    @property
    def parameters(self) -> Mapping[str, Prior]:
        """The variance parameters psi with their priors: standard deviations first, then correlations."""
        return {c.name: c.prior for c in self.components} | {c.name: c.prior for c in self.correlations}

    @property
    def one_mean(self) -> bool:
        """Whether all rows have the same mean, mu."""
        return self.terms == ("mu",)

    @property
    def independent(self) -> bool:
        """Whether rows are independent, each with at most one random effect of its own: ``diag(v) + tau^2 I``."""
        return (
            self.V.ndim == 1
            and self.means is None
            and len(self.components) <= 1
            and all(c.levels is None and c.design is None and c.relation is None for c in self.components)
        )

    @property
    def tau(self) -> Prior | None:
        """Prior of the standard deviation, where there is one; None where there is none."""
        return self.components[0].prior if self.components else None

    @cached_property
    def reported(self) -> Mapping[str, Effect]:
        """Label to true effect."""
        if self.effects is not None:
            return self.effects
        named = {c.name: c.level_names(self.n) if c.levels is None else c.levels for c in self.components}
        times = {c.name: c.design for c in self.components if c.design is not None}
        return FrozenMap(
            {
                label: Effect(
                    self.X[i],
                    {name: level[i] for name, level in named.items()},
                    {name: float(z[i]) for name, z in times.items()},
                )
                for i, label in enumerate(self.study)
            }
        )

    @property
    def reported_means(self) -> Mapping[str, Array]:
        """Name to the combination of coefficients, ``(p,)``, under which the posterior reports it."""
        if self.means is not None:
            return self.means
        return {self.name_of(term): row for term, row in zip(self.terms, np.eye(len(self.terms)), strict=True)}

    @cached_property
    def predicted(self) -> Mapping[str, Effect]:
        """Name to the true effect of what is new."""
        if self.predictions is not None:
            return self.predictions
        new = Effect(np.ones(1), {c.name: NEW for c in self.components})
        return {"theta_new": new} if self.one_mean else {}

    def component(self, name: str) -> Component:
        """Return a component by name.

        Raises
        ------
        ModelError
            If there is no such component.
        """
        for component in self.components:
            if component.name == name:
                return component
        raise ModelError(
            f"There is no component {name!r}: {', '.join(c.name for c in self.components) or 'none at all'}."
        )

    def with_priors(self, priors: Mapping[str, Prior]) -> "Gaussian":
        """Return the same model with other priors of some variance parameters, by name."""
        components = tuple(replace(c, prior=priors.get(c.name, c.prior)) for c in self.components)
        correlations = tuple(replace(c, prior=priors.get(c.name, c.prior)) for c in self.correlations)
        return replace(self, components=components, correlations=correlations)

    def name_of(self, term: str) -> str:
        """Return what the posterior calls a coefficient: mu, or ``beta[term]``; names in brackets are kept."""
        return term if term == "mu" or term.endswith("]") else f"beta[{term}]"

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

    def new_at(self, x: ArrayLike) -> Effect:
        """Return the true effect of a new row of a new study at design row `x`.

        A random effect that belongs to a column of the design, such as a study's own slope, is multiplied with its
        value in `x`.

        Raises
        ------
        ModelError
            If `x` does not have one value for each coefficient, or does not say how a new study's effects enter.
        """
        values = self.row(x)
        times: dict[str, float] = {}
        for c in self.components:
            if c.relation is not None:
                raise ModelError(f"How a new level of {c.name} is related to the others is not known: use linear(x).")
            if c.design is not None:
                columns = [j for j in range(len(values)) if np.array_equal(self.X[:, j], c.design)]
                if not columns:
                    raise ModelError(f"What {c.name} is multiplied with is no column of the design: use linear(x).")
                times[c.name] = float(values[columns[0]])
        return Effect(values, {c.name: NEW for c in self.components}, times)

    def known(self) -> dict[str, float]:
        """Return the variance parameters that their priors fix, with their values."""
        values = {name: fixed_value(prior) for name, prior in self.parameters.items()}
        return {name: value for name, value in values.items() if value is not None}


def independent_studies(
    study: Sequence[str],
    y: Array,
    v: Array,
    X: Array,
    terms: Sequence[str],
    beta: Sequence[Prior],
    tau: Prior | None,
) -> Gaussian:
    """Return the model ``y ~ N(X beta, diag(v) + tau^2 I)`` of one row a study.

    Parameters
    ----------
    study, terms
        Labels of rows and columns.
    y, v
        ``(k,)`` effects and sampling variances.
    X
        ``(k, p)`` design matrix.
    beta
        ``(p,)`` priors of the coefficients.
    tau
        Prior of tau, or None for a common-effect model (tau = 0).
    """
    components = () if tau is None else (Component("tau", tau),)
    return Gaussian(tuple(study), y, v, X, tuple(terms), tuple(beta), components)
