"""What must be true of effect measures whatever the data."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesmeta.effects import MEASURES, compute_effects, is_ratio
from bayesmeta.effects.continuous import hedges_correction
from bayesmeta.effects.zero_cells import ZeroRule, correct_zeros

COMPUTED = sorted(name for name, m in MEASURES.items() if m.compute is not None)
ARMS = {"two_by_two", "person_time", "means"}
# Standardized by one arm's SD, so not symmetric in the arms.
ONE_SIDED = {"SMD1", "SMCR", "SMCRH"}
SWAPPABLE = [n for n in COMPUTED if MEASURES[n].family in {*ARMS, "paired"} and n not in ONE_SIDED]
INTERCHANGED = (("_treatment", "_control"), ("_control", "_treatment"))


@st.composite
def raw_data(draw: st.DrawFn, family: str) -> dict[str, np.ndarray]:
    """Return plausible raw data of up to six studies."""
    k = draw(st.integers(1, 6))

    def column(values: st.SearchStrategy[Any]) -> np.ndarray:
        return np.array(draw(st.lists(values, min_size=k, max_size=k)), dtype=float)

    def counts(size: np.ndarray) -> np.ndarray:
        return np.round(column(st.floats(0, 1)) * size)

    def arm(name: str) -> dict[str, np.ndarray]:
        return {f"mean_{name}": column(st.floats(0.5, 200)), f"sd_{name}": column(st.floats(0.05, 60))}

    size, events, time = st.integers(5, 2000), st.integers(0, 300), st.floats(1, 1e4)
    n1, n2 = column(size), column(size)
    makers: dict[str, Any] = {
        "two_by_two": lambda: {
            "events_treatment": counts(n1),
            "n_treatment": n1,
            "events_control": counts(n2),
            "n_control": n2,
        },
        "person_time": lambda: {
            "events_treatment": column(events),
            "time_treatment": column(time),
            "events_control": column(events),
            "time_control": column(time),
        },
        "means": lambda: {**arm("treatment"), **arm("control"), "n_treatment": n1, "n_control": n2},
        "paired": lambda: {**arm("treatment"), **arm("control"), "n": n1, "ri": column(st.floats(-0.95, 0.95))},
        "proportion": lambda: {"events": counts(n1), "n": n1},
        "rate": lambda: {"events": column(events), "time": column(time)},
        "mean": lambda: {"mean": column(st.floats(0.5, 200)), "sd": column(st.floats(0.05, 60)), "n": n1},
        "correlation": lambda: {"ri": column(st.floats(-0.99, 0.99)), "n": n1},
    }
    return makers[family]()


def _swapped(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    def other(name: str) -> str:
        for ours, theirs in INTERCHANGED:
            if name.endswith(ours):
                return name.removesuffix(ours) + theirs
        return name

    return {other(name): values for name, values in columns.items()}


def _close(actual: np.ndarray, desired: np.ndarray, rtol: float = 1e-9) -> None:
    np.testing.assert_allclose(actual, desired, rtol=rtol, atol=1e-11)


def test_ratios_are_the_comparisons_whose_natural_scale_is_the_exponential() -> None:
    """A comparison is called a ratio exactly where 0 and 1 on the analysis scale read 1 and e."""
    for name, measure in MEASURES.items():
        compares = measure.null is not None and not measure.scale.needs_n
        assert is_ratio(name) == (compares and np.allclose(measure.to_natural([0.0, 1.0]), [1.0, np.e])), name
    assert not is_ratio("0R")


@pytest.mark.parametrize("name", sorted(MEASURES))
def test_every_measure_has_words_and_a_reference_line_that_agree(name: str) -> None:
    """Labels exist, and the null value of one scale is the null value of the other."""
    measure = MEASURES[name]
    assert measure.label
    assert measure.analysis_label
    assert measure.label in measure.axis_label
    assert ("log scale" in measure.axis_label) == measure.ratio
    if measure.null is None:
        assert measure.null_natural is None
    else:
        assert measure.null_natural == (1.0 if measure.ratio else 0.0)


@pytest.mark.parametrize("name", COMPUTED)
@given(data=st.data())
def test_every_estimable_effect_has_a_variance(name: str, data: st.DataObject) -> None:
    """Effect and variance are both finite or both absent, and no variance is negative."""
    columns = data.draw(raw_data(MEASURES[name].family))
    for vtype in MEASURES[name].vtypes:
        raw = compute_effects(name, columns, vtype=vtype)
        assert (np.isfinite(raw.yi) == np.isfinite(raw.vi)).all()
        assert not (raw.vi < 0).any()


@pytest.mark.parametrize("name", SWAPPABLE)
@given(data=st.data(), to=st.sampled_from(["only0", "all", "if0all", "none"]))
def test_swapping_the_arms_flips_the_sign(name: str, data: st.DataObject, to: str) -> None:
    """With the arms interchanged every effect changes sign and keeps its variance."""
    columns = data.draw(raw_data(MEASURES[name].family))
    one, other = compute_effects(name, columns, to=to), compute_effects(name, _swapped(columns), to=to)
    _close(other.yi, -one.yi)
    _close(other.vi, one.vi)


@pytest.mark.parametrize("name", ["OR", "PETO", "RD", "AS", "PHI", "YUQ", "YUY", "OR2DL", "OR2DN", "PBIT"])
@given(columns=raw_data("two_by_two"))
def test_complementary_events_flip_the_sign(name: str, columns: dict[str, np.ndarray]) -> None:
    """Counting the patients without the event instead gives the reciprocal odds ratio, and opposite differences."""
    without = {
        **columns,
        "events_treatment": columns["n_treatment"] - columns["events_treatment"],
        "events_control": columns["n_control"] - columns["events_control"],
    }
    one, other = compute_effects(name, columns), compute_effects(name, without)
    _close(other.yi, -one.yi)
    _close(other.vi, one.vi, rtol=1e-8)


SCALING = {"MD": 1, "SMD": 0, "SMDH": 0, "SMD1": 0, "ROM": 0, "CVR": 0, "VR": 0, "D2OR": 0, "RPB": 0, "RBIS": 0}


@pytest.mark.parametrize("name", sorted(SCALING))
@given(columns=raw_data("means"), unit=st.floats(1e-3, 1e3))
def test_units_do_not_matter_to_standardized_measures(name: str, columns: dict[str, np.ndarray], unit: float) -> None:
    """A change of unit multiplies mean differences and leaves standardized ones and ratios alone."""
    moved = {c: v * unit if c.startswith(("mean", "sd")) else v for c, v in columns.items()}
    one, other = compute_effects(name, columns), compute_effects(name, moved)
    factor = unit ** SCALING[name]
    np.testing.assert_allclose(other.yi, one.yi * factor, rtol=1e-8, atol=1e-10 * factor)
    np.testing.assert_allclose(other.vi, one.vi * factor**2, rtol=1e-7, atol=1e-10 * factor**2)


@pytest.mark.parametrize("name", ["MD", "SMD", "SMDH", "SMD1"])
@given(columns=raw_data("means"), shift=st.floats(-100, 100))
def test_differences_of_means_ignore_a_common_shift(name: str, columns: dict[str, np.ndarray], shift: float) -> None:
    """Adding a constant to both means changes no difference."""
    moved = {c: v + shift if c.startswith("mean") else v for c, v in columns.items()}
    one, other = compute_effects(name, columns), compute_effects(name, moved)
    np.testing.assert_allclose(other.yi, one.yi, rtol=1e-9, atol=1e-9)


@given(columns=raw_data("person_time"), unit=st.floats(1e-3, 1e3))
def test_the_unit_of_time_cancels_in_a_rate_ratio(columns: dict[str, np.ndarray], unit: float) -> None:
    """Person-months or person-years give one rate ratio; rate differences scale with the unit."""
    moved = {c: v * unit if c.startswith("time") else v for c, v in columns.items()}
    ratio, again = compute_effects("IRR", columns), compute_effects("IRR", moved)
    _close(again.yi, ratio.yi)
    _close(again.vi, ratio.vi)
    difference, scaled = compute_effects("IRD", columns), compute_effects("IRD", moved)
    np.testing.assert_allclose(scaled.yi * unit, difference.yi, rtol=1e-9, atol=1e-9)


def _numeric_delta(name: str, cells: list[float], options: dict[str, Any]) -> float:
    """Return the first-order variance of a 2x2 measure by numerical differentiation in both risks."""
    a, n1, c, n2 = cells

    def effect(p1: float, p2: float) -> float:
        columns = {"events_treatment": [p1 * n1], "n_treatment": [n1], "events_control": [p2 * n2], "n_control": [n2]}
        return float(compute_effects(name, columns, **options).yi[0])

    p1, p2, h = a / n1, c / n2, 1e-5
    g1 = (effect(p1 + h, p2) - effect(p1 - h, p2)) / (2 * h)
    g2 = (effect(p1, p2 + h) - effect(p1, p2 - h)) / (2 * h)
    return g1**2 * p1 * (1 - p1) / n1 + g2**2 * p2 * (1 - p2) / n2


@pytest.mark.parametrize(
    ("name", "options"),
    [(n, {}) for n in ("OR", "RR", "RD", "AS", "YUQ", "YUY", "PBIT", "OR2DL", "OR2DN")] + [("PHI", {"vtype": "ST"})],
)
def test_variances_of_2x2_measures_are_the_delta_method(name: str, options: dict[str, Any]) -> None:
    """Each large-sample variance is the squared slope in both risks times their binomial variances."""
    for cells in ([6, 17, 2, 28], [19, 48, 22, 100], [120, 150, 30, 90]):
        columns = dict(zip(MEASURES[name].columns, [[v] for v in cells], strict=True))
        exact = compute_effects(name, columns, **options).vi[0]
        # PBIT's published variance uses 2 pi p q exp(z^2) / n, which is the delta method exactly.
        assert exact == pytest.approx(_numeric_delta(name, list(map(float, cells)), options), rel=1e-6)


@pytest.mark.parametrize("name", sorted(MEASURES))
@given(data=st.data())
def test_scales_are_inverse_to_each_other(name: str, data: st.DataObject) -> None:
    """Going to the natural scale and back changes nothing."""
    measure = MEASURES[name]
    low = max(measure.scale.low, -50.0)
    high = min(measure.scale.high, 50.0)
    # Strictly inside: the ends are infinite on some analysis scales.
    x = np.array(data.draw(st.lists(st.floats(low + 1e-3, high - 1e-3), min_size=1, max_size=5)))
    n = data.draw(st.floats(2, 5000)) if measure.scale.needs_n else None
    y = measure.from_natural(x, n)
    np.testing.assert_allclose(measure.to_natural(y, n), x, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(measure.from_natural(measure.to_natural(y, n), n), y, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", ["PLO", "PLN", "PR", "PAS", "PFT", "IR", "IRLN", "IRS", "IRFT", "ZCOR"])
@given(data=st.data())
def test_to_natural_undoes_the_measure(name: str, data: st.DataObject) -> None:
    """A single study's effect, brought to the natural scale, is its proportion, rate or correlation."""
    measure = MEASURES[name]
    columns = data.draw(raw_data(measure.family))
    raw = compute_effects(name, columns, add=0.0)
    there = np.isfinite(raw.yi)
    first, second = (columns[c] for c in measure.columns)
    x = first if measure.family == "correlation" else first / second
    natural = measure.to_natural(raw.yi[there], second[there])
    np.testing.assert_allclose(natural, x[there], rtol=1e-7, atol=1e-8)


@given(df=st.integers(2, 100_000))
def test_hedges_correction_rises_to_one(df: int) -> None:
    """The small-sample factor lies between 0 and 1, rises with df, and is near 1 - 3 / (4 df - 1)."""
    j, after = hedges_correction(np.array([df, df + 1], dtype=float))
    assert 0 < j < after < 1
    assert j == pytest.approx(1 - 3 / (4 * df - 1), abs=0.1 / df**2)


counts = st.lists(st.integers(0, 3), min_size=4, max_size=4)


@given(
    tables=st.lists(counts, min_size=1, max_size=8),
    to=st.sampled_from(["only0", "all", "if0all", "none"]),
    drop00=st.booleans(),
    add=st.floats(0.01, 2),
)
def test_the_zero_cell_rules_do_what_their_names_say(
    tables: list[list[int]], to: str, drop00: bool, add: float
) -> None:
    """Studies are dropped and added to exactly where the rule says, and cells change nowhere else."""
    cells = tuple(np.array(tables, dtype=float).T)
    a, b, c, d = cells
    double = ((a == 0) & (c == 0)) | ((b == 0) & (d == 0))
    done = correct_zeros(cells, ZeroRule(add, to, drop00), double_zero=double)
    zero = np.array([0 in table for table in tables])
    assert (done.dropped == (double if drop00 else False)).all()
    seen = zero & ~done.dropped
    wanted = {"only0": seen, "all": True, "if0all": seen.any(), "none": False}[to]
    assert (done.added == (wanted & ~done.dropped)).all()
    for before, after in zip(cells, done.cells, strict=True):
        expected = np.where(done.dropped, np.nan, before + np.where(done.added, add, 0.0))
        np.testing.assert_array_equal(after, expected)


@given(data=st.data(), columns=raw_data("two_by_two"), to=st.sampled_from(["only0", "all", "if0all"]))
def test_many_meta_analyses_at_once_are_each_done_alone(
    data: st.DataObject, columns: dict[str, np.ndarray], to: str
) -> None:
    """Effects computed for grouped studies are those of each group computed by itself."""
    k = len(columns["n_control"])
    group = np.array(data.draw(st.lists(st.integers(0, 2), min_size=k, max_size=k)))
    for vtype in ("LS", "AV"):
        together = compute_effects("OR", columns, to=to, vtype=vtype, group=group)
        for g in set(group.tolist()):
            mine = {c: v[group == g] for c, v in columns.items()}
            alone = compute_effects("OR", mine, to=to, vtype=vtype)
            _close(together.yi[group == g], alone.yi, rtol=1e-12)
            _close(together.vi[group == g], alone.vi, rtol=1e-12)
