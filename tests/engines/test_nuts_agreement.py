"""The record of NUTS against quadrature on the data sets that ship, and the comparison itself."""

import csv
import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
from fingerprints import fingerprint

import bayesmeta as bm
from bayesmeta.errors import ModelError
from bayesmeta.evidence.agreement import AgreementRow, agreement
from bayesmeta.model import list_models

RECORD = Path(__file__).parents[2] / "benchmarks" / "records" / "agreement_nuts.csv"
with RECORD.open(newline="", encoding="utf-8") as _file:
    ROWS = list(csv.DictReader(_file))


@pytest.fixture(scope="module")
def script():
    """Return the script that makes the record; its folder is no package."""
    path = RECORD.parents[1] / "agreement_nuts.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_analysis_that_fits_has_a_row(script):
    """Every model was run on every data set that ships and fits it."""
    assert script.missing(script.analyses(list_models())) == []


def test_record_is_of_the_present_programs_and_one_seed():
    """Every row was made with the programs as they are now, and with the seed that no default was chosen with."""
    models = {row["model"] for row in ROWS}
    assert {(row["model"], row["program"]) for row in ROWS} == {(name, fingerprint(name)) for name in models}
    assert {row["seed"] for row in ROWS} == {"20261125"}
    assert len({row["data"] for row in ROWS}) >= 25


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['model']}-{row['data']}-{row['outcome']}")
def test_sampler_met_its_limits_on_every_data_set(row):
    """No divergences after remedies, R-hat below 1.01, effective sample sizes above 400, no lasting disagreement."""
    assert row["error"] == ""
    assert row["ok"] == "True"
    assert float(row["divergences"]) == 0
    assert float(row["max_rhat"]) < 1.01
    assert min(float(row["min_ess_bulk"]), float(row["min_ess_tail"])) > 400
    if row["compared"]:
        assert int(row["beyond_again"]) == 0


def test_hardly_any_figure_is_beyond_the_limit():
    """Fewer than 1 in 200 of all figures compared lie beyond four Monte Carlo errors in the first run."""
    compared = sum(int(row["compared"]) for row in ROWS if row["compared"])
    assert sum(int(row["beyond_limit"]) for row in ROWS if row["compared"]) < compared / 200


def test_z_is_the_difference_in_errors():
    """A row agrees when the difference is at most four errors; a constant must be met exactly."""
    assert AgreementRow("mu", "mean", 1.4, 1.0, 0.1).agrees
    assert not AgreementRow("mu", "mean", 1.5, 1.0, 0.1).agrees
    assert AgreementRow("mu", "mean", 1.0, 1.0, 0.0).z == 0.0
    assert math.isinf(AgreementRow("mu", "mean", 1.1, 1.0, 0.0).z)


def test_only_the_same_analysis_is_compared():
    """Other priors, and a posterior without draws, are refused."""
    data = bm.EffectSizes(yi=np.array([0.1, 0.4]), sei=np.array([0.2, 0.3]), measure="OR")
    one = bm.fit(data, engine="quadrature")
    with pytest.raises(ModelError, match="not sampled"):
        agreement(one, one)
    with pytest.raises(ModelError, match="same priors"):
        agreement(one, bm.fit(data, engine="quadrature", priors={"tau": "half_normal(1)"}))
