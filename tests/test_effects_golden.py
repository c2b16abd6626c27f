"""Effect measures against metafor's escalc, number by number."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bayesmeta as bm
from bayesmeta.effects import MEASURES, compute_effects

GOLDEN = Path(__file__).parent / "golden"
TOPICS = ("2x2", "rates", "means", "prop", "cor", "paired")
CASTS: dict[str, Any] = {"add": float, "to": str, "drop00": "TRUE".__eq__, "vtype": str}
# metafor finds the tetrachoric correlation by minimization, good to five digits.
NOT_OFFERED = {"RTET"}
# metafor's hypergeometric function is off by 4e-12 at r = 0, where the unbiased variance is exactly 1 / (n - 4).
RTOL = {"UCOR|UB": 1e-11}


def _columns(data: dict[str, Any], family: str) -> dict[str, np.ndarray]:
    """Return golden data under our column names for one family of measures."""
    x = {name: np.array(values, dtype=float) for name, values in data.items()}
    names = {
        "two_by_two": {
            "events_treatment": "ai",
            "n_treatment": "n1i",
            "events_control": "ci",
            "n_control": "n2i",
        },
        "person_time": {
            "events_treatment": "x1i",
            "time_treatment": "t1i",
            "events_control": "x2i",
            "time_control": "t2i",
        },
        "rate": {"events": "x1i", "time": "t1i"},
        "proportion": {"events": "xi", "n": "ni"},
        "correlation": {"ri": "ri", "n": "ni"},
        "means": {
            "mean_treatment": "m1i",
            "sd_treatment": "sd1i",
            "n_treatment": "n1i",
            "mean_control": "m2i",
            "sd_control": "sd2i",
            "n_control": "n2i",
        },
        "paired": {
            "mean_treatment": "m1i",
            "mean_control": "m2i",
            "sd_treatment": "sd1i",
            "sd_control": "sd2i",
            "n": "ni",
            "ri": "ri",
        },
        "mean": {"mean": "mi", "sd": "sdi", "n": "ni"},
    }[family]
    return {ours: x[theirs] for ours, theirs in names.items()}


def _cases() -> Iterator[Any]:
    for topic in TOPICS:
        golden = json.loads((GOLDEN / f"metafor_escalc_{topic}_mf5.json").read_text())
        for part in ("", "_tiny"):
            data = {k: v for k, v in golden.get(f"data{part}", {}).items() if k != "study"}
            for name, entry in golden.get(f"results{part}", {}).items():
                yield pytest.param(name, data, entry["result"], id=f"{topic}{part}:{name}")


def _options(parts: list[str]) -> dict[str, Any]:
    chosen = {}
    for part in parts:
        key, _, value = part.partition("=")
        if value:
            chosen[key] = CASTS[key](value)
        elif key != "default":
            chosen["vtype"] = key
    return chosen


CASES = [case for case in _cases() if case.values[0].split("|")[0] not in NOT_OFFERED]


def test_every_golden_measure_is_offered_or_listed_as_not() -> None:
    """Every measure of the golden files is in the registry, except those listed."""
    names = {case.values[0].split("|")[0] for case in _cases()}
    assert names - set(MEASURES) == NOT_OFFERED


@pytest.mark.parametrize(("name", "data", "expected"), CASES)
def test_effects_and_variances_are_metafors(name: str, data: dict[str, Any], expected: dict[str, Any]) -> None:
    """Each effect and variance equals metafor 5.0's to 1e-12, and is absent where metafor's is."""
    measure, *parts = name.split("|")
    columns, options = _columns(data, MEASURES[measure].family), _options(parts)
    if "error" in expected:
        with pytest.raises(bm.ModelError, match="vtype"):
            compute_effects(measure, columns, **options)
        return
    raw = compute_effects(measure, columns, **options)
    yi = np.array([np.nan if v is None else v for v in expected["yi"]], dtype=float)
    vi = np.array([np.nan if v is None else v for v in expected["vi"]], dtype=float)
    assert (np.isnan(raw.yi) == np.isnan(yi)).all()
    there = ~np.isnan(yi)
    # 15 significant digits are given; a number that is 0 in exact arithmetic is so to rounding.
    np.testing.assert_allclose(raw.yi[there], yi[there], rtol=RTOL.get(name, 1e-12), atol=1e-15)
    np.testing.assert_allclose(raw.vi[there], vi[there], rtol=RTOL.get(name, 1e-12), atol=1e-15)
    if name == "UCOR|UB":
        zero = columns["ri"] == 0
        np.testing.assert_allclose(raw.vi[zero], 1 / (columns["n"][zero] - 4), rtol=1e-13)


MORE = json.loads((GOLDEN / "metafor_escalc_variances.json").read_text())


@pytest.mark.parametrize("case", sorted(MORE["results"]))
def test_further_sampling_variances_are_metafors(case: str) -> None:
    """Variances that metafor offers beyond the usual one equal its own to 1e-12."""
    family, _, name = case.partition(":")
    measure, _, vtype = name.partition("|")
    expected = MORE["results"][case]["result"]
    raw = compute_effects(measure, _columns(MORE["data"][family], family), vtype=vtype, correct=measure != "ROM")
    np.testing.assert_allclose(raw.yi, expected["yi"], rtol=1e-12)
    np.testing.assert_allclose(raw.vi, expected["vi"], rtol=1e-12)
