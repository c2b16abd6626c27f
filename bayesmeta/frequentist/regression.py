"""Meta-regression: designs, moderators, omnibus and permutation tests."""

import numpy as np

from bayesmeta.errors import DataError
from bayesmeta.studies import EffectSizes


def check_design(effects: EffectSizes) -> None:
    """Raise a DataError naming the first column of ``effects.X`` that the columns before it determine."""
    X = effects.X
    assert X is not None
    scaled = X / np.maximum(np.abs(X).max(axis=0), np.finfo(float).tiny)
    for j, term in enumerate(effects.terms):
        if not np.abs(X[:, j]).max() > 0:
            raise DataError(f"Moderator {term!r} is 0 for every study: remove it.")
        before = scaled[:, :j]
        if j == 0:
            continue
        residual = scaled[:, j] - before @ np.linalg.lstsq(before, scaled[:, j], rcond=None)[0]
        if np.linalg.norm(residual) <= 1e-9 * np.linalg.norm(scaled[:, j]):
            raise DataError(
                f"Moderator {term!r} is collinear with {', '.join(map(repr, effects.terms[:j]))}: "
                "its coefficient cannot be estimated. Remove it or one of those."
            )
