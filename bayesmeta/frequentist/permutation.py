"""Permutation tests of a pooled effect (sign flips) or of moderators (shuffled rows)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from math import factorial, prod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayesmeta.errors import ModelError
from bayesmeta.frequentist.normal_form import has_intercept
from bayesmeta.frequentist.pool import pool
from bayesmeta.frequentist.result import PooledFit
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array

if TYPE_CHECKING:
    import pandas as pd

_REFERENCES = {
    "signs": "Follmann & Proschan (1999), Biometrics 55:732-737.",
    "rows": "Higgins & Thompson (2004), Stat. Med. 23:1663-1682.",
}
_TIES = 1e-10
"""Statistics closer than this, relatively, are the same permutation up to rounding and count as ties."""


@dataclass(frozen=True, slots=True, eq=False)
class PermutationTest:
    """Permutation p-values: one a coefficient (two-sided) and one for the omnibus test (None without moderators)."""

    terms: tuple[str, ...]
    statistic: Array
    p_value: Array
    QM: float | None
    QM_p: float | None
    permutations: int
    exact: bool
    seed: int | None
    reference: str

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame, one row a coefficient."""
        import pandas as pd

        return pd.DataFrame({"term": self.terms, "statistic": self.statistic, "p_value": self.p_value})

    def __str__(self) -> str:
        how = "all" if self.exact else f"random (seed {self.seed})"
        lines = [f"Permutation test, {self.permutations} permutations, {how}"]
        lines += [
            f"  {term}: statistic {s:.4f}, p = {p:.4f}"
            for term, s, p in zip(self.terms, self.statistic, self.p_value, strict=True)
        ]
        if self.QM is not None:
            lines.append(f"  all moderators: {self.QM:.4f}, p = {self.QM_p:.4f}")
        return "\n".join([*lines, f"  Reference: {self.reference}"])


def permutation_test(fit: PooledFit, *, permutations: int = 1000, seed: int = 1) -> PermutationTest:
    """Test the coefficients of `fit` by permutation, exactly when that takes no more than `permutations` fits.

    Without moderators the signs of the effects are flipped (symmetry about 0 under no effect); with moderators the
    rows of the design are shuffled against the effects. Each permutation is refitted with the method of `fit`.

    Parameters
    ----------
    fit
        From :func:`pool` or :func:`regress`.
    permutations
        Number of random permutations, the observed one counted among them; also the limit below which all are used.
    seed
        Of the random permutations.

    Raises
    ------
    ModelError
        If `fit` pooled counts directly or `permutations` is less than 2.

    References
    ----------
    Follmann & Proschan (1999), Biometrics 55:732-737.
    Higgins & Thompson (2004), Stat. Med. 23:1663-1682.
    """
    if permutations < 2:
        raise ModelError(f"permutations = {permutations}: at least 2 are needed, 1000 are usual.")
    if type(fit) is not PooledFit:
        raise ModelError(f"A permutation test needs a fit of effect sizes, not of counts ({fit.method}).")
    effects = fit.effects
    signs = fit.p == 1 and has_intercept(effects)
    total = 2**fit.k if signs else _arrangements(effects)
    exact = total <= permutations
    rng = None if exact else np.random.default_rng(seed)
    source = _flips(effects, permutations, rng) if signs else _shuffles(effects, permutations, rng)
    refits = [pool(e, method=fit.method, ci=fit.ci_rule, level=fit.level) for e in source]  # type: ignore[arg-type]
    observed = fit.beta_statistic
    reached = np.array([np.abs(r.beta_statistic) >= np.abs(observed) * (1.0 - _TIES) for r in refits])
    omnibus = None if signs else float(np.mean([fit.QM * (1.0 - _TIES) <= r.QM for r in refits]))
    return PermutationTest(
        terms=fit.terms,
        statistic=observed,
        p_value=reached.mean(axis=0),
        QM=None if signs else fit.QM,
        QM_p=omnibus,
        permutations=len(refits),
        exact=exact,
        seed=None if exact else seed,
        reference=_REFERENCES["signs" if signs else "rows"],
    )


def _flips(effects: EffectSizes, count: int, rng: np.random.Generator | None) -> Iterator[EffectSizes]:
    if rng is None:
        for sign in product((1.0, -1.0), repeat=effects.k):
            yield replace(effects, yi=effects.yi * np.array(sign))
        return
    yield effects
    for _ in range(count - 1):
        yield replace(effects, yi=effects.yi * rng.choice((1.0, -1.0), effects.k))


def _rows(effects: EffectSizes) -> tuple[Array, NDArray[np.intp]]:
    assert effects.X is not None
    distinct, which = np.unique(effects.X, axis=0, return_inverse=True)
    return distinct, np.ravel(which)


def _arrangements(effects: EffectSizes) -> int:
    _, which = _rows(effects)
    return factorial(effects.k) // prod(factorial(int(n)) for n in np.bincount(which))


def _shuffles(effects: EffectSizes, count: int, rng: np.random.Generator | None) -> Iterator[EffectSizes]:
    distinct, which = _rows(effects)
    if rng is None:
        for order in _multiset(list(np.bincount(which)), effects.k):
            yield replace(effects, X=distinct[order])
        return
    yield effects
    for _ in range(count - 1):
        yield replace(effects, X=distinct[rng.permutation(which)])


def _multiset(remaining: list[int], length: int) -> Iterator[list[int]]:
    """Yield every distinct arrangement of `length` items, `remaining[i]` of kind i."""
    if length == 0:
        yield []
        return
    for kind, left in enumerate(remaining):
        if left:
            remaining[kind] -= 1
            for rest in _multiset(remaining, length - 1):
                yield [kind, *rest]
            remaining[kind] += 1
