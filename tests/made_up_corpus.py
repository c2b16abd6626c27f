"""Small corpora of two-arm trials for the tests of `run_many`."""

import numpy as np
import pandas as pd


def corpus(analyses: int, seed: int = 1) -> pd.DataFrame:
    """Return trials of many meta-analyses, their rows shuffled."""
    rng = np.random.default_rng(seed)
    rows = []
    for g in range(analyses):
        for i in range(int(rng.integers(1, 7))):
            n, m = (int(x) for x in rng.integers(40, 200, 2))
            rows.append((f"meta {g}", f"trial {i}", int(rng.binomial(n, 0.2)), n, int(rng.binomial(m, 0.3)), m))
    names = ["meta_id", "study", "events_treatment", "n_treatment", "events_control", "n_control"]
    return pd.DataFrame(rows, columns=names).sample(frac=1.0, random_state=seed).reset_index(drop=True)


def contents(folder) -> dict[str, bytes]:
    """Return what is in a folder, hidden files included."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
