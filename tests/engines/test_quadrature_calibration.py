"""Calibration of the quadrature engine: the record, and small samples drawn again."""

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


def quantities(name):
    """Return what is recorded of a model."""
    if name == "common_effect":
        return {"mu"}
    if name == "meta_regression":
        return {"beta[intercept]", "beta[year]", "tau", "theta"}
    return {"mu", "tau", "theta_new"} | (set() if name == "normal_normal" else {"theta"})


def test_the_record_covers_every_quantity_of_the_models_in_it(calibration, record):
    """The normal models are there, under every prior, and a model that is there is there whole."""
    models = {row["model"] for row in record}
    known = {"common_effect", "normal_normal", "meta_regression", "binomial_normal", "hypergeometric_normal"}
    known |= {"poisson_normal", "binomial_normal_symmetric", "binomial_normal_rr", "binomial_normal_rd", "robust_t"}
    assert known <= models <= set(calibration.MODELS)
    found = {(row["model"], row["prior"], row["quantity"]) for row in record}
    normal = {("normal_normal", s.tau_text, q) for s in calibration.SETTINGS for q in quantities("normal_normal")}
    rest = models - {"normal_normal"}
    assert found == normal | {(m, calibration.ONE_BY_ONE[m].prior_text, q) for m in rest for q in quantities(m)}


def test_the_record_is_uniform(record):
    """Twenty thousand analyses a model: no test of uniformity rejects after Bonferroni, coverage is nominal to 4 SE."""
    for row in record:
        n = int(row["n"])
        assert n >= 20_000
        assert row["declined"] == "0", row
        assert min(float(row["ks_p"]), float(row["chi2_p"])) > 0.01 / (2 * len(record)), row
        for level in (0.5, 0.95):
            se = (level * (1 - level) / n) ** 0.5
            assert abs(float(row[f"coverage{round(100 * level)}"]) - level) < 4 * se, row


@pytest.mark.parametrize(("name", "analyses"), [("common_effect", 200), ("meta_regression", 60), ("robust_t", 8)])
def test_a_new_sample_of_other_models_is_uniform(calibration, name, analyses):
    """New analyses one by one, truths drawn by scipy: posterior probabilities below the truth are uniform."""
    for quantity, pit in calibration.block(name, 7, 0, analyses).items():
        assert np.all((pit >= 0) & (pit <= 1)), quantity
        assert stats.kstest(pit, "uniform").pvalue > 1e-4, quantity


def test_a_stopped_run_goes_on_from_its_blocks(calibration, tmp_path, monkeypatch):
    """What is in a finished block is not computed again, and the answer is that of one run."""
    monkeypatch.setattr(calibration, "BLOCK", 2)
    whole, _ = calibration.one_by_one("common_effect", 4, 5, tmp_path, 1)
    first, second = sorted(tmp_path.iterdir())
    second.unlink()
    np.savez(first, mu=np.array([0.25, 0.75]), git="0123456789ab")
    again, commits = calibration.one_by_one("common_effect", 4, 5, tmp_path, 1)
    assert again["mu"].tolist() == [0.25, 0.75, *whole["mu"][2:]]
    assert commits == sorted({"0123456789ab", calibration.git_hash()})


def test_the_record_is_of_the_present_code(calibration, record):
    """The first analyses of every model and prior in the record are today what they were when it was made."""
    with calibration.SAMPLE.open(encoding="utf-8", newline="") as file:
        then = list(csv.DictReader(file))
    assert {(row["model"], row["prior"], row["quantity"]) for row in then} == {
        (row["model"], row["prior"], row["quantity"]) for row in record
    }
    now = [row for name in calibration.MODELS for row in calibration.sample(name)]
    names = calibration.SAMPLE_FIELDS[:-1]
    for old, new in zip(then, now, strict=True):
        again = "run python benchmarks/calibrate_quadrature.py --models " + old["model"]
        assert [old[name] for name in names] == [str(new[name]) for name in names]
        assert float(new["probability"]) == pytest.approx(float(old["probability"]), abs=1e-7), (again, old)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_new_sample_is_uniform(calibration, index):
    """Four hundred new analyses: posterior probabilities below the truth are uniform."""
    for pit in calibration.calibrate(calibration.SETTINGS[index], 400, seed=7).values():
        assert np.all((pit >= 0) & (pit <= 1))
        assert stats.kstest(pit, "uniform").pvalue > 1e-4


def test_a_wrong_prior_would_be_noticed(calibration):
    """The test has power: truths from a prior twice as wide are rejected at once."""
    right = calibration.SETTINGS[0]
    wrong = calibration.Setting(right.mu_scale, stats.halfnorm(scale=1.0), right.tau_text)
    assert stats.kstest(calibration.calibrate(wrong, 400, seed=7)["tau"], "uniform").pvalue < 1e-6
