"""Premat et al. 2020, Neuroradiology 62:629-637: rescue stenting after failed thrombectomy, the abstract's figures.

The counts of one of the four studies are nowhere printed; they are the integers that reproduce these figures, by the
method that RevMan calls Mantel-Haenszel random effects (see data/SOURCES.md).
"""

import numpy as np
import pytest
from as_printed import DATA, assert_printed, columns

import bayesmeta as bm

PRINTED = columns("rescue_stenting_published")


@pytest.mark.parametrize("row", range(3), ids=list(PRINTED["outcome"]))
def test_pooled_odds_ratio_interval_p_and_i2(row):
    """Odds ratio with its 95% interval, p-value and I2 of each outcome."""
    text = {name: str(column[row]) for name, column in PRINTED.items()}
    counts = bm.read_studies(DATA / "rescue_stenting.csv", outcome=text["outcome"]).two_by_two()
    fit = bm.frequentist.mantel_haenszel(counts, random=True)
    assert_printed(np.exp([fit.mu, *fit.ci]), " ".join(text[name] for name in ("or", "ci_low", "ci_high")))
    assert_printed(fit.I2, f"{float(text['i2_percent']):.0f}")
    if text["p"].startswith("<"):
        assert fit.p_value < float(text["p"].removeprefix("<"))
    else:
        assert_printed(fit.p_value, text["p"])
