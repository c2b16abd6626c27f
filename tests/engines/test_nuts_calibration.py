"""The record of simulation-based calibration: every model, enough replicates, uniform ranks."""

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from fingerprints import fingerprint
from scipy import stats

from bayesmeta.model import list_models

RECORD = Path(__file__).parents[2] / "benchmarks" / "records" / "calibrate_nuts.csv"
BINS = 20


def _ranks() -> dict[str, dict[str, list[int]]]:
    found: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    with RECORD.open(newline="") as file:
        for row in csv.DictReader(file):
            found[row["model"]][row["parameter"]].append((int(row["rank"]) + 0.5) / (int(row["of"]) + 1))
    return found


RANKS = _ranks()
# No simulated replicates yet: NUTS is held against quadrature on single data sets, and quadrature against dense sums.
NOT_YET = frozenset(
    {"design_groups", "network_binomial", "network_consistency", "network_inconsistency"}
    | {"peese", "pet", "selection_stepfun"}
)


def test_models_without_a_calibration_are_named():
    """Every model has rows in the record, or is named above: a new one is calibrated or said not to be."""
    assert {name for name in list_models() if name not in RANKS} == NOT_YET


@pytest.mark.parametrize("name", sorted(RANKS))
def test_a_calibrated_model_is_as_it_was_then(name):
    """The record holds at least 200 replicates of the model's present programs."""
    with RECORD.open(newline="") as file:
        programs = {row["program"] for row in csv.DictReader(file) if row["model"] == name}
    assert programs == {fingerprint(name)}, "run python benchmarks/calibrate_nuts.py --models " + name
    assert min(len(ranks) for ranks in RANKS[name].values()) >= 200


@pytest.mark.parametrize("name", sorted(RANKS))
def test_ranks_of_the_truth_are_uniform(name):
    """No parameter's ranks depart from uniform, by chi-squared and Kolmogorov-Smirnov, counting all tests made."""
    tests = 2 * sum(len(parameters) for parameters in RANKS.values())
    for parameter, ranks in RANKS[name].items():
        counts = np.histogram(ranks, np.linspace(0, 1, BINS + 1))[0]
        p = min(stats.chisquare(counts).pvalue, stats.kstest(ranks, "uniform").pvalue)
        assert p > 0.01 / tests, f"{parameter}: p = {p:.2g}"
