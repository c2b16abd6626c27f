"""The one result shape of every engine: a Posterior made of Marginals, with its diagnostics."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.errors import ModelError, unknown
from bayesmeta.marginals.measured import measured
from bayesmeta.marginals.probability import Probability
from bayesmeta.marginals.treatments import ComparesTreatments, Treatments
from bayesmeta.model import DEFAULT_VARIANT, Model
from bayesmeta.priors import Prior, fixed_value
from bayesmeta.resources import models_dir
from bayesmeta.seeds import SeedLike, one_seed
from bayesmeta.values import Array, Interval
from bayesmeta.words import counted, supported

if TYPE_CHECKING:
    import pandas as pd
    import pymc as pm
    import xarray as xr


@runtime_checkable
class Marginal(Protocol):
    """The posterior of one quantity, on the analysis scale, in scipy.stats words.

    ``eti`` is the equal-tailed and ``hdi`` the shortest credible interval. Marginals made of
    draws also have ``mcse(what)``, ``ess(what)`` and ``rhat()``.
    """

    def mean(self) -> float: ...
    def sd(self) -> float: ...
    def median(self) -> float: ...
    def mode(self) -> float: ...
    def pdf(self, x: ArrayLike) -> Array: ...
    def cdf(self, x: ArrayLike) -> Array: ...
    def sf(self, x: ArrayLike) -> Array: ...
    def ppf(self, q: ArrayLike) -> Array: ...
    def eti(self, level: float = 0.95) -> Interval: ...
    def hdi(self, level: float = 0.95) -> Interval: ...


@dataclass(frozen=True, slots=True, eq=False)
class Diagnostics:
    """Whether the numbers can be trusted, and why.

    Parameters
    ----------
    ok
        False when a reader should not rely on the numbers.
    verdict
        One sentence in words, with what to do when `ok` is False.
    figures
        The figures behind it: ``error_estimate`` and ``nodes`` for quadrature; ``max_rhat``,
        ``min_ess_bulk``, ``min_ess_tail``, ``divergences``, ``min_bfmi`` for NUTS.
    table
        Parameter name to its own figures (``rhat``, ``ess_bulk``, ``ess_tail``, ``mcse_mean``, ``mcse_sd``); NUTS.
    remedies
        What the engine changed on its own to get here, in order.
    """

    ok: bool
    verdict: str
    figures: Mapping[str, float] = field(default_factory=dict)
    table: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    remedies: tuple[str, ...] = ()


# The engine of a model average, which has no one model and no one set of priors.
AVERAGE = "average"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Posterior(ComparesTreatments):
    """The posterior of a hierarchical meta-analysis, whichever engine computed it.

    Parameters
    ----------
    data
        What was analysed: `EffectSizes`, `TwoByTwo`, ...
    model, priors
        What was assumed; of an average of models, what the first of its fits assumed.
    engine, seed, options
        How it was computed.
    marginals
        Name to marginal: ``mu`` (or ``beta[term]`` of a meta-regression), ``tau``, ``tau2``,
        ``I2`` (percent), ``theta_new``.
    theta
        Study label to the marginal of its true effect.
    diagnostics
        Whether to trust it.
    log_evidence
        Log marginal likelihood; None where the engine has none or a prior is improper.
    datatree
        Makes the ArviZ DataTree: ``datatree(draws, seed)``.
    versions
        Package name to version.
    details
        What the engine knows beyond the marginals: linear combinations, joint density, weights of
        studies. None where it knows nothing more.
    """

    data: Any
    model: Model
    priors: Mapping[str, Prior]
    engine: str
    marginals: Mapping[str, Marginal]
    theta: Mapping[str, Marginal]
    diagnostics: Diagnostics
    datatree: Callable[[int, int | None], "xr.DataTree"]
    log_evidence: float | None = None
    seed: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    details: Any = None

    def __post_init__(self) -> None:
        if self.measure is not None:
            for name in ("marginals", "theta"):
                object.__setattr__(self, name, measured(getattr(self, name), self.measure, all_effects=name == "theta"))

    def __repr__(self) -> str:
        state = "reliable" if self.diagnostics.ok else "NOT reliable"
        of = "an average of models" if self.engine == AVERAGE else f"{self.model.name!r} by {self.engine}"
        return f"<Posterior of {of}: {counted(self.k, 'study')}, {state}>"

    def __str__(self) -> str:
        """Return the pooled quantities with 95% intervals, no digit finer than its error, and the verdict."""
        title = "Average of models" if self.engine == AVERAGE else f"{self.model.title}, engine {self.engine}"
        lines = [f"{title}, {counted(self.k, 'study')}; analysis scale"]
        lines.append(f"{'':24}{'mean':>10}{'sd':>10}{'median':>10}{'2.5%':>10}{'97.5%':>10}")
        studies = set(getattr(self.data, "study", ()))
        for name, marginal in self.marginals.items():
            # What is reported for each study is left to `summary`, like the true effects.
            if name.endswith("]") and name.partition("[")[2][:-1] in studies:
                continue
            low, median, high = marginal.ppf((0.025, 0.5, 0.975))
            figures = {"mean": marginal.mean(), "sd": marginal.sd(), "50%": median, "2.5%": low, "97.5%": high}
            errors = self.diagnostics.table.get(name, {})
            cells = [supported(x, errors.get(f"mcse_{n}"), 4) for n, x in figures.items()]
            lines.append(f"{name:24}" + "".join(f"{cell:>10}" for cell in cells))
        tried = [f"Tried: {remedy}." for remedy in self.diagnostics.remedies]
        # What was done to a network's studies, or is doubtful about them, belongs to the answer.
        notes = [f"Note: {note}" for note in self.data.notes] if hasattr(self.data, "treatments") else []
        return "\n".join([*lines, *tried, self.diagnostics.verdict, *notes])

    def __getitem__(self, name: str) -> Marginal:
        if name not in self.marginals:
            raise unknown("quantity of this posterior:", name, self.marginals)
        return self.marginals[name]

    @property
    def k(self) -> int:
        """Number of studies."""
        return int(self.data.k)

    @property
    def measure(self) -> str | None:
        """Effect measure of `mu`: that of the data, or of the model where it takes counts; None where neither says."""
        stated = getattr(self.data, "measure", None)
        if stated is not None:
            return str(stated)
        # A file of one's own that does not state it may have been written before anybody asked.
        ours = self.model.path.parent == models_dir()
        return self.model.own_measure if ours else self.model.measure

    @property
    def mu(self) -> Marginal:
        """Pooled effect."""
        return self["mu"]

    @property
    def tau(self) -> Marginal:
        """Between-study standard deviation."""
        return self["tau"]

    @property
    def theta_new(self) -> Marginal:
        """True effect of a new study: the posterior predictive distribution."""
        return self["theta_new"]

    @property
    def beta(self) -> Mapping[str, Marginal]:
        """Coefficients by term: those of a meta-regression, or ``{"mu": ...}``."""
        if "mu" in self.marginals:
            return {"mu": self.marginals["mu"]}
        return {n[5:-1]: self.marginals[n] for n in self.marginals if n.startswith("beta[")}

    @property
    def heterogeneity(self) -> Mapping[str, Marginal]:
        """Standard deviations of random effects and their correlations, by name: tau alone in most models."""
        given = getattr(self.details, "given", None)
        names = getattr(given, "parameters", ("tau",))
        return {name: self.marginals[name] for name in names if name in self.marginals}

    @property
    def effects(self) -> Mapping[str, Marginal]:
        """Mean effects by label where the model has several: of outcomes, e.g. ``post.effects["PD"]``."""
        return {n[3:-1]: self.marginals[n] for n in self.marginals if n.startswith("mu[")}

    @property
    def sensitivity(self) -> Marginal:
        """Sensitivity of a diagnostic test in a study at the mean, as a probability."""
        return Probability(self["mu[sensitivity]"])

    @property
    def specificity(self) -> Marginal:
        """Specificity of a diagnostic test in a study at the mean, as a probability."""
        return Probability(self["mu[specificity]"])

    def sroc(self, level: float = 0.95, *, points: int = 101, draws: int = 4000, seed: int = 1) -> "pd.DataFrame":
        """Return the summary receiver operating characteristic of a diagnostic test.

        At each false positive rate the sensitivity that the hierarchical model of Rutter & Gatsonis gives: median and
        equal-tailed credible limits over draws (Harbord et al. 2007, Biostatistics 8:239-251).

        Parameters
        ----------
        level
            Posterior probability of the limits.
        points
            False positive rates, between the smallest and the largest observed.
        draws, seed
            Of the posterior.
        """
        from bayesmeta.marginals.sroc import sroc

        sample = self.to_datatree(draws, seed)["posterior"].to_dataset()
        beta = np.asarray(sample["beta" if "beta" in sample else "coefficients"]).reshape(-1, 2)
        tau = [np.asarray(sample[f"tau[{name}]"]).ravel() for name in ("sensitivity", "specificity")]
        return sroc(beta, tau, self.data.fp / (self.data.fp + self.data.tn), level, points)

    @property
    def _treatments(self) -> Treatments:
        """The joint posterior of a network's relative effects."""
        check_single_fit(self, "A comparison of treatments")
        names = getattr(self.data, "treatments", None)
        if names is None:
            raise ModelError(
                f"A posterior of model {self.model.name!r} has no treatments to compare: models of networks do, e.g. "
                'bm.fit(bm.contrasts(bm.read_network(...), measure="OR"), model="network_consistency").'
            )
        return Treatments(tuple(names), self.marginals, self.details, self.measure or "GEN")

    def contrast(self, weights: Mapping[str, float]) -> Marginal:
        """Return the posterior of a weighted sum of mean effects or coefficients.

        Parameters
        ----------
        weights
            Outcome, or term, to its weight, e.g. ``{"PD": 1, "AL": -1}``; those not named have weight 0.

        Raises
        ------
        ModelError
            If a name is none of them.
        """
        linear = self._knows("linear")
        terms = self.details.given.terms
        short = {term: term[3:-1] if term.startswith("mu[") else term for term in terms}
        for name in weights:
            if name not in terms and name not in short.values():
                raise unknown("outcome or term:", name, tuple(short.values()))
        return linear([weights.get(term, weights.get(short[term], 0.0)) for term in terms])  # type: ignore[no-any-return]

    def _knows(self, what: str) -> Callable[..., Any]:
        check_single_fit(self, what)
        ability = getattr(self.details, what, None)
        if ability is None:
            raise ModelError(
                f"A posterior of model {self.model.name!r} by engine {self.engine!r} does not offer {what}. "
                "Models with a normal likelihood and engine='quadrature' do."
            )
        return ability  # type: ignore[no-any-return]

    def linear(self, x: ArrayLike) -> Marginal:
        """Return the posterior of ``x' beta``: a fitted value at new moderators, or a contrast.

        Parameters
        ----------
        x
            ``(p,)`` values of the design's columns, the intercept's 1 included.
        """
        return self._knows("linear")(x)  # type: ignore[no-any-return]

    def predicted(self, x: ArrayLike) -> Marginal:
        """Return the posterior predictive distribution of a new study's true effect at design row `x`.

        Where studies have several effects that differ (omega), it is that of one new effect. A study's own slopes are
        multiplied with their place in `x`, like their means.
        """
        return self._knows("predicted")(x)  # type: ignore[no-any-return]

    def joint_density(self, mu: ArrayLike, tau: ArrayLike) -> Array:
        """Return the joint posterior density of (mu, tau), at values that broadcast against each other."""
        return self._knows("joint_density")(mu, tau)  # type: ignore[no-any-return]

    def weights(self, study: str | None = None) -> dict[str, float]:
        """Return the posterior mean weights of studies and prior mean in mu, or in one study's true effect."""
        return self._knows("weights_of_studies")(study)  # type: ignore[no-any-return]

    def summary(self, level: float = 0.95, interval: str = "eti") -> "pd.DataFrame":
        """Return mean, SD, median and interval of every quantity, on the analysis scale.

        Parameters
        ----------
        level
            Posterior probability of the interval.
        interval
            ``"eti"`` (equal-tailed) or ``"hdi"`` (shortest).

        Raises
        ------
        ModelError
            If the interval is unknown, or `level` is not between 0 and 1.
        """
        import pandas as pd

        if interval not in ("eti", "hdi"):
            raise unknown("interval", interval, ("eti", "hdi"))
        named = {**self.marginals, **{f"theta[{study}]": m for study, m in self.theta.items()}}
        rows = {}
        for name, marginal in named.items():
            limits = getattr(marginal, interval)(level)
            rows[name] = {
                "mean": marginal.mean(),
                "sd": marginal.sd(),
                "median": marginal.median(),
                f"{interval}_low": limits.low,
                f"{interval}_high": limits.high,
                **self.diagnostics.table.get(name, {}),
            }
        return pd.DataFrame.from_dict(rows, orient="index")

    def to_datatree(self, draws: int = 4000, seed: SeedLike = None, *, random_seed: SeedLike = None) -> "xr.DataTree":
        """Return the posterior as an ArviZ 1 / xarray DataTree of draws.

        Parameters
        ----------
        draws
            How many to make, where the engine makes them from its solution; NUTS returns those of its run.
        seed
            Of the draws; that of the fit when not given. A numpy Generator is asked for the next one.
        random_seed
            The same, as PyMC and ArviZ call it.

        Raises
        ------
        ModelError
            If `draws` is no whole number of at least 1, or `seed` is no whole number.
        """
        if isinstance(draws, bool) or not isinstance(draws, int | np.integer) or draws < 1:
            raise ModelError(f"draws={draws!r}: it must be a whole number of at least 1.")
        chosen = one_seed(seed, random_seed)
        return self.datatree(int(draws), self.seed if chosen is None else chosen)

    def pymc_model(self) -> "pm.Model":
        """Return the PyMC model behind this posterior, to change and sample yourself.

        Of a sampled posterior it is the variant that was sampled.

        Raises
        ------
        ModelError
            If the posterior is an average of models.
        """
        check_single_fit(self, "pymc_model()")
        return self.model.programs[self.options.get("variant", DEFAULT_VARIANT)](self.data, self.priors)


def check_single_fit(posterior: Posterior, what: str) -> None:
    """Refuse an average of models, whose model and priors are those of its first fit only.

    Raises
    ------
    ModelError
        If the posterior is one; `what` says what was asked of it.
    """
    if posterior.engine == AVERAGE:
        raise ModelError(
            f"{what} takes one model with its priors, and this posterior is an average of several: give one of the "
            "fits it was made of, e.g. average.details.posteriors[0]."
        )


def fixed_at(posterior: Posterior, name: str) -> float | None:
    """Return the value at which its prior fixes a parameter; None where it is not known beforehand."""
    return fixed_value(posterior.priors.get(name))
