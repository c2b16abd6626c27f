"""Morris 2008, Organ Res Methods 11:364-386: pretest-posttest-control designs, Table 5, page 382."""

import numpy as np
from as_printed import assert_printed

from bayesmeta.effects import compute_effects
from bayesmeta.effects.continuous import hedges_correction

TREATMENT = {
    "pre": [30.6, 23.5, 0.5, 53.4, 35.6],
    "post": [38.5, 26.8, 0.7, 75.9, 36.0],
    "sd_pre": [15.0, 3.1, 0.1, 14.5, 4.7],
    "sd_post": [11.6, 4.1, 0.1, 4.4, 4.6],
    "n": [20, 50, 9, 10, 14],
}
CONTROL = {
    "pre": [23.1, 24.9, 0.6, 55.7, 34.8],
    "post": [19.7, 25.3, 0.6, 60.7, 33.4],
    "sd_pre": [13.8, 4.1, 0.2, 17.3, 3.1],
    "sd_post": [14.8, 3.3, 0.2, 17.9, 6.9],
    "n": [20, 42, 9, 11, 14],
}
RI = [0.47, 0.64, 0.77, 0.89, 0.44]


def change(arm):
    """Return the standardised mean changes of one arm, in SDs before treatment."""
    a = {name: np.array(values, dtype=float) for name, values in arm.items()}
    columns = {"mean_treatment": a["post"], "mean_control": a["pre"], "sd_treatment": a["sd_pre"]}
    return compute_effects("SMCR", {**columns, "sd_control": a["sd_post"], "n": a["n"], "ri": np.array(RI)}).yi


def test_differences_of_standardised_changes():
    """The effect of each study with both arms' own SDs, and with the pooled SD before treatment."""
    assert_printed(change(TREATMENT) - change(CONTROL), "0.7421 0.9524 1.8054 1.1514 0.5050")
    t, c = ({name: np.array(values, dtype=float) for name, values in arm.items()} for arm in (TREATMENT, CONTROL))
    df = t["n"] + c["n"] - 2
    pooled = np.sqrt(((t["n"] - 1) * t["sd_pre"] ** 2 + (c["n"] - 1) * c["sd_pre"] ** 2) / df)
    gain = (t["post"] - t["pre"]) - (c["post"] - c["pre"])
    assert_printed(hedges_correction(df) * gain / pooled, "0.7684 0.8010 1.2045 1.0476 0.4389")
