"""Evidence of different kinds side by side: at face value, with an allowance for bias, discounted, borrowed from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bayesmeta.effects import PerStudy, allow_for_bias, discount
from bayesmeta.errors import DataError, ModelError, unknown
from bayesmeta.events import Benefit, between, known_benefit, measure_scale, side_of_benefit
from bayesmeta.fit import fit
from bayesmeta.posterior import Marginal, Posterior
from bayesmeta.priors import map_prior, parse_prior, robust
from bayesmeta.studies import EffectSizes
from bayesmeta.words import DASH, aligned, folded, interval_text, level_text, number, probability_text

if TYPE_CHECKING:
    import pandas as pd

FACE_VALUE = "all evidence at face value"


@dataclass(frozen=True, slots=True, eq=False)
class KindRow:
    """One way to use the evidence.

    Parameters
    ----------
    way
        In words.
    k
        Studies whose results enter.
    mu
        Posterior of the mean effect; that of the main design where designs have means of their own.
    p_benefit
        Probability that it is a benefit; None without a direction.
    posterior
        The fit behind it.
    """

    way: str
    k: int
    mu: Marginal
    p_benefit: float | None
    posterior: Posterior


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class KindsOfEvidence:
    """The same studies used in several ways.

    Parameters
    ----------
    rows
        All evidence at face value first.
    measure, benefit, level
        As asked for.
    main
        The design that is trusted.
    notes
        What a reader has to know.
    """

    rows: tuple[KindRow, ...]
    measure: str
    benefit: Benefit | None
    level: float
    main: str
    notes: tuple[str, ...]

    def __getitem__(self, way: str) -> KindRow:
        for row in self.rows:
            if row.way == way:
                return row
        raise unknown("way to use the evidence:", way, [row.way for row in self.rows])

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        scale = measure_scale(self.measure)
        heads = ["", "k", f"{scale.label} [{level_text(self.level)}]", "tau"]
        heads += [] if self.benefit is None else ["P(benefit)"]
        lines = []
        for row in self.rows:
            limits = row.mu.eti(self.level)
            low, high = scale.to_natural(limits.low), scale.to_natural(limits.high)
            tau = row.posterior.marginals.get("tau")
            cells = [row.way, str(row.k), f"{number(scale.to_natural(row.mu.median()))} [{interval_text(low, high)}]"]
            cells.append(DASH if tau is None else number(tau.median()))
            lines.append([*cells, *([] if self.benefit is None else [probability_text(row.p_benefit)])])
        notes = [line for note in self.notes for line in folded(note)]
        return "\n".join(["Evidence of different kinds", *aligned(heads, lines), *notes])

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame, one row a way, effects on the analysis scale."""
        import pandas as pd

        rows = []
        for row in self.rows:
            limits = row.mu.eti(self.level)
            rows.append(
                {
                    "way": row.way,
                    "k": row.k,
                    "mu": row.mu.median(),
                    "mu_low": limits.low,
                    "mu_high": limits.high,
                    "tau": row.posterior.tau.median() if "tau" in row.posterior.marginals else None,
                    "p_benefit": row.p_benefit,
                }
            )
        return pd.DataFrame(rows)


def kinds_of_evidence(
    effects: EffectSizes,
    *,
    main: str,
    design: Sequence[str] | None = None,
    bias_mean: PerStudy = 0.0,
    bias_sd: PerStudy | None = None,
    trust: PerStudy | None = None,
    not_applicable: float = 0.2,
    priors: Mapping[str, Any] | None = None,
    benefit: Benefit | None = None,
    level: float = 0.95,
) -> KindsOfEvidence:
    """Return the same studies used in several ways, all evidence at face value first.

    Each by quadrature: no draws, no seed.

    Parameters
    ----------
    effects
        Estimates, one row a study.
    main
        The design that is trusted, e.g. ``"randomised"``.
    design
        ``(n,)`` design of each study; the clusters of `effects` when not given.
    bias_mean, bias_sd
        Bias of the studies of other designs, as in `allow_for_bias`; a number is for all of them. No row without an SD.
    trust
        Power of their likelihoods, as in `discount`; a number is for all of them. No row without it.
    not_applicable
        Prior probability that the other designs say nothing of the main one, in the robust MAP prior.
    priors
        Of mu, tau and omega; defaults of the models otherwise.
    benefit
        Direction that is a benefit; without it no probability is given.
    level
        Of credible intervals.

    Raises
    ------
    DataError
        If there is no study of the main design or none of another, or an allowance is impossible.
    ModelError
        If a prior cannot be used.

    References
    ----------
    Turner et al. 2009, J. R. Stat. Soc. A 172:21-47 (bias); Ibrahim & Chen 2000, Stat. Sci. 15:46-60 (powers);
    Prevost, Abrams & Jones 2000, Stat. Med. 19:3359-3376 (designs); Schmidli et al. 2014, Biometrics 70:1023-1032
    (robust MAP).
    """
    direction = known_benefit(benefit)
    designs = tuple(effects.cluster if design is None else map(str, design))
    if len(designs) != effects.n:
        raise DataError(f"design has {len(designs)} labels for {effects.n} studies: give one for each.")
    if main not in designs:
        raise unknown("design", main, set(designs), DataError)
    if set(designs) == {main}:
        raise DataError(f"Every study is of the design {main!r}: there is nothing to set beside it.")
    if not 0.0 < not_applicable < 1.0:
        raise ModelError(f"not_applicable={not_applicable!r}: a probability between 0 and 1, e.g. 0.2.")
    plain = replace(effects, cluster=effects.study)
    others = [study for study, d in zip(effects.study, designs, strict=True) if d != main]
    mains = [study for study, d in zip(effects.study, designs, strict=True) if d == main]
    given = dict(priors or {})
    single = {name: prior for name, prior in given.items() if name != "omega"}

    def own(data: EffectSizes, mu: Any = None) -> Posterior:
        return fit(data, "normal_normal", priors=single if mu is None else {**single, "mu": mu}, engine="quadrature")

    rows: list[tuple[str, int, Posterior, str]] = [
        (FACE_VALUE, plain.k, own(plain), "mu"),
        (f"{main} alone", len(mains), own(plain.drop(others)), "mu"),
        ("the others alone", len(others), own(plain.drop(mains)), "mu"),
    ]
    if bias_sd is not None:
        allowed = allow_for_bias(plain, mean=_others(bias_mean, others), sd=_others(bias_sd, others))
        rows.append(("others with an allowance for bias", allowed.k, own(allowed), "mu"))
    if trust is not None:
        powered = discount(plain, _others(trust, others))
        rows.append(("others discounted", powered.k, own(powered), "mu"))
    grouped = fit(replace(effects, cluster=designs), "design_groups", priors=given or None, engine="quadrature")
    rows.append((f"designs with means of their own: {main}", effects.n, grouped, f"mu[{main}]"))
    historical = rows[2][2]
    vague = parse_prior(single.get("mu", rows[0][2].priors["mu"]))
    if vague.proper:
        informative = map_prior(historical.theta_new)
        borrowed = own(plain.drop(others), robust(informative.prior, not_applicable, vague))
        rows.append((f"{main}, robust MAP prior from the others", effects.n, borrowed, "mu"))
    scale = measure_scale(effects.measure)
    if direction is not None and scale.null is None:
        raise ModelError(f"{scale.label} has no value that means no effect: leave benefit out.")
    made = tuple(
        KindRow(
            way,
            k,
            post[name],
            None
            if direction is None or scale.null is None
            else between(post[name], *side_of_benefit(scale.from_natural(scale.null), direction)),
            post,
        )
        for way, k, post, name in rows
    )
    return KindsOfEvidence(made, effects.measure, direction, level, main, _notes(level, not_applicable, vague.proper))


def _notes(level: float, not_applicable: float, proper: bool) -> tuple[str, ...]:
    said = [f"Medians and {level_text(level)} equal-tailed credible intervals of the mean effect."]
    if proper:
        said.append(
            f"Robust MAP: the effect that the others predict for a new study is the prior of the mean, mixed with the "
            f"vague prior, whose probability is {not_applicable:g}."
        )
    else:
        said.append("No robust MAP row: it mixes with the prior of mu, which has to be proper.")
    return tuple(said)


def _others(given: PerStudy, others: Sequence[str]) -> PerStudy:
    """Return a number as one for each study of another design."""
    return dict.fromkeys(others, float(given)) if isinstance(given, float | int) else given
