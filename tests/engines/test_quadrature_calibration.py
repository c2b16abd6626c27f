"""Calibration of the normal model: the record, and a small sample drawn again."""

import csv
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def calibration():
    """Return the benchmark as a module."""
    spec = importlib.util.spec_from_file_location("calibrate_quadrature", BENCHMARKS / "calibrate_quadrature.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def record():
    """Return the rows of the record."""
    with (BENCHMARKS / "records" / "calibrate_quadrature.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_record_is_complete_and_uniform(calibration, record):
    """Twenty thousand analyses a prior: no uniformity test rejects after Bonferroni, coverage is nominal to 4 SE."""
    expected = {(s.tau_text, q) for s in calibration.SETTINGS for q in ("mu", "tau", "theta_new")}
    assert {(row["prior"], row["quantity"]) for row in record} == expected
    for row in record:
        n = int(row["n"])
        assert n >= 20_000
        assert min(float(row["ks_p"]), float(row["chi2_p"])) > 0.01 / (2 * len(record))
        for level in (0.5, 0.95):
            se = (level * (1 - level) / n) ** 0.5
            assert abs(float(row[f"coverage{round(100 * level)}"]) - level) < 4 * se


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_new_sample_is_uniform(calibration, index):
    """Four hundred new analyses: posterior probabilities below the truth are uniform."""
    for pit in calibration.calibrate(calibration.SETTINGS[index], 400, seed=7).values():
        assert np.all((pit >= 0) & (pit <= 1))
        assert stats.kstest(pit, "uniform").pvalue > 1e-4


def test_a_wrong_prior_would_be_noticed(calibration):
    """The test has power: truths from a prior twice as wide are rejected at once."""
    right = calibration.SETTINGS[0]
    wrong = calibration.Setting("wrong", right.mu_scale, stats.halfnorm(scale=1.0), right.tau_text)
    assert stats.kstest(calibration.calibrate(wrong, 400, seed=7)["tau"], "uniform").pvalue < 1e-6
