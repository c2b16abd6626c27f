"""Direct against indirect evidence of each comparison: one coefficient more in the consistency model."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmeta.errors import DataError, ModelError
from bayesmeta.fit import fit
from bayesmeta.posterior import Marginal, Posterior
from bayesmeta.priors import Normal, Prior, default_prior, parse_prior
from bayesmeta.studies import Contrasts
from bayesmeta.studies.networks import connected_parts
from bayesmeta.values import Array

if TYPE_CHECKING:
    import pandas as pd

MODEL = "network_consistency"
TERM = "direct less indirect"


@dataclass(frozen=True, slots=True, eq=False)
class NodeSplit:
    """What studies that compare two treatments say of them, and what all others say.

    Parameters
    ----------
    treatment, reference
        Effects are of the first against the second, analysis scale.
    k
        Number of studies that compare both.
    direct, indirect, difference, network
        Posteriors: by these studies, by all others, the first less the second, and of the consistent network.
    p
        Posterior probability of a difference of the less likely sign, doubled: 1 where both signs are as likely.
    bayes_factor
        Of no difference against one with its prior: above 1 speaks for consistency. None with an improper prior.
    """

    treatment: str
    reference: str
    k: int
    direct: Marginal
    indirect: Marginal
    difference: Marginal
    network: Marginal
    p: float
    bayes_factor: float | None


@dataclass(frozen=True, slots=True, eq=False)
class NodeSplits:
    """Direct against indirect evidence of every comparison that has both.

    Parameters
    ----------
    splits
        One for each comparison.
    direct_only
        Pairs ``(treatment, reference)`` that no study compares by way of others: nothing to set them against.
    prior
        Of each difference.
    measure
        Of the effects.
    """

    splits: tuple[NodeSplit, ...]
    direct_only: tuple[tuple[str, str], ...]
    prior: Prior
    measure: str

    def __getitem__(self, pair: tuple[str, str]) -> NodeSplit:
        for split in self.splits:
            if pair == (split.treatment, split.reference):
                return split
        known = ", ".join(f"({s.treatment!r}, {s.reference!r})" for s in self.splits)
        raise ModelError(f"There is no split of {pair!r}. There are: {known or 'none'}.")

    def __len__(self) -> int:
        return len(self.splits)

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame, one row a comparison: means and SDs, analysis scale."""
        import pandas as pd

        rows = []
        for split in self.splits:
            row: dict[str, Any] = {"treatment": split.treatment, "reference": split.reference, "k": split.k}
            for name in ("direct", "indirect", "difference", "network"):
                marginal = getattr(split, name)
                row |= {name: marginal.mean(), f"{name}_sd": marginal.sd()}
            rows.append({**row, "p": split.p, "bayes_factor": split.bayes_factor})
        named = [f.name for f in fields(NodeSplit)]
        return pd.DataFrame(rows) if rows else pd.DataFrame(columns=named)

    def __repr__(self) -> str:
        return f"<NodeSplits: {len(self)} comparisons, {self.measure}>"

    def __str__(self) -> str:
        lines = [f"Direct against indirect evidence, measure {self.measure}, analysis scale: mean (SD)"]
        width = max([len(f"{s.treatment} against {s.reference}") for s in self.splits] or [10])
        heads = "".join(f"{name:>18}" for name in ("direct", "indirect", "difference"))
        lines.append(f"{'':{width}}{'k':>4}{heads}{'P':>8}{'BF':>8}")
        for s in self.splits:
            cells = "".join(f"{f'{m.mean():.3f} ({m.sd():.3f})':>18}" for m in (s.direct, s.indirect, s.difference))
            factor = "-" if s.bayes_factor is None else f"{s.bayes_factor:.3g}"
            lines.append(f"{f'{s.treatment} against {s.reference}':{width}}{s.k:>4}{cells}{s.p:>8.3f}{factor:>8}")
        lines.append(
            f"P: both tails of the difference. BF: none against {self.prior!r}; above 1 speaks for consistency."
        )
        if self.direct_only:
            said = ", ".join(f"{b} against {a}" for b, a in self.direct_only)
            lines.append(f"Without indirect evidence: {said}.")
        return "\n".join(lines)


def node_split(
    con: Contrasts,
    *,
    priors: Mapping[str, Any] | None = None,
    difference: Any = None,
    pairs: "list[tuple[str, str]] | None" = None,
) -> NodeSplits:
    r"""Return direct against indirect evidence of each comparison that has both.

    The consistency model with one coefficient more, ``w``: in studies that compare both treatments the effect is
    :math:`d_b - d_a + w`, in all others :math:`d_b - d_a`. In studies of several arms half of ``w`` is put on either
    treatment (with the opposite sign), so that their names and the study's reference do not matter (White 2015). A
    comparison has indirect evidence if other studies connect its treatments.

    Parameters
    ----------
    con
        Contrasts of a network.
    priors
        Of the consistency model: ``mu``, ``tau``.
    difference
        Prior of ``w``, analysis scale, ``normal(0, S)``. Default: S twice the scale of the measure's default prior of
        tau, 1 for log odds ratios.
    pairs
        Only these comparisons, ``(treatment, reference)``; all when not given.

    Raises
    ------
    DataError
        If a pair asked for has no indirect or no direct evidence.
    ModelError
        If the prior is no centred normal, or there is no default.

    References
    ----------
    Dias, Welton, Caldwell & Ades (2010), Stat. Med. 29:932-944; White (2015), Stata J. 15:951-985 (symmetric
    splitting of studies of several arms); van Valkenhoef, Dias, Ades & Welton (2016), Res. Synth. Methods 7:80-93
    (which comparisons to split).
    """
    prior = _checked(con, difference)
    compared = _compared(con)
    whole = fit(con, MODEL, priors=priors)
    if pairs is None:
        wanted = [(b, a) for a, b in combinations(con.treatments, 2) if compared.get(frozenset((a, b)))]
    else:
        wanted = [(str(b), str(a)) for b, a in pairs]
    splits, direct_only = [], []
    for b, a in wanted:
        studies = compared.get(frozenset((a, b)), ())
        if studies and _connected_without(con, studies, b, a):
            splits.append(_split(con, whole, prior, studies, b, a))
        elif pairs is None:
            direct_only.append((b, a))
        else:
            lacks = "indirect" if studies else "direct"
            raise DataError(f"{b!r} against {a!r} has no {lacks} evidence: there is nothing to split.")
    return NodeSplits(tuple(splits), tuple(direct_only), prior, con.measure)


def _checked(con: Contrasts, difference: Any) -> Prior:
    """Return the prior of a difference of direct and indirect evidence."""
    if difference is None:
        try:
            scale = default_prior(con, "tau").scale
        except ModelError as error:
            raise ModelError(
                "There is no default prior for the difference of direct and indirect evidence of measure "
                f"{con.measure!r}, whose unit is unknown: give difference='normal(0, S)', with S half of the largest "
                "difference that you find plausible."
            ) from error
        return Normal(0.0, 2.0 * scale)
    prior: Prior = parse_prior(difference)
    if getattr(prior, "name", "") not in ("normal", "flat") or getattr(prior, "loc", 0.0) != 0.0:
        raise ModelError(
            f"difference={prior!r}: b against a is minus a against b, so that it is normal(0, S) or flat()."
        )
    return prior


def _compared(con: Contrasts) -> dict[frozenset[str], tuple[str, ...]]:
    """Return pair of treatments to the studies that compare them."""
    found: dict[frozenset[str], tuple[str, ...]] = {}
    for label, treatments in _arms(con).items():
        for pair in map(frozenset, combinations(treatments, 2)):
            found[pair] = (*found.get(pair, ()), label)
    return found


def _arms(con: Contrasts) -> dict[str, tuple[str, ...]]:
    arms: dict[str, tuple[str, ...]] = {}
    for label, one, two in zip(con.study, con.treat1, con.treat2, strict=True):
        arms[label] = tuple(dict.fromkeys((*arms.get(label, ()), one, two)))
    return arms


def _connected_without(con: Contrasts, studies: tuple[str, ...], b: str, a: str) -> bool:
    """Return whether studies other than these connect two treatments."""
    rows = zip(con.study, con.treat1, con.treat2, strict=True)
    parts = connected_parts((one, two) for label, one, two in rows if label not in studies)
    return any(a in part and b in part for part in parts)


def _column(con: Contrasts, studies: tuple[str, ...], b: str, a: str) -> Array:
    """Return what ``w`` is multiplied with: half of it on either treatment, in studies that compare both."""
    share = {b: 0.5, a: -0.5}
    return np.array(
        [
            share.get(one, 0.0) - share.get(two, 0.0) if label in studies else 0.0
            for label, one, two in zip(con.study, con.treat1, con.treat2, strict=True)
        ]
    )


def _split(con: Contrasts, whole: Posterior, prior: Prior, studies: tuple[str, ...], b: str, a: str) -> NodeSplit:
    split = con.with_column(TERM, _column(con, studies, b, a))
    post = fit(split, MODEL, priors={**whole.priors, f"beta[{TERM}]": prior})
    given = post.details.given
    means = {t: given.means.get(f"mu[{t}]", np.zeros(len(given.terms))) for t in con.treatments}
    indirect, w = means[b] - means[a], given.means[f"beta[{TERM}]"]
    difference = post.linear(w)
    below = float(difference.cdf(0.0))
    known = whole.log_evidence is not None and post.log_evidence is not None
    return NodeSplit(
        treatment=b,
        reference=a,
        k=len(studies),
        direct=post.linear(indirect + w),
        indirect=post.linear(indirect),
        difference=difference,
        network=whole.relative(b, a),
        p=2.0 * min(below, 1.0 - below),
        bayes_factor=math.exp(whole.log_evidence - post.log_evidence) if known else None,  # type: ignore[operator]
    )
