"""``bayesmeta batch`` from a shell."""

import json
import subprocess
import sys

import pandas as pd
from made_up_corpus import corpus

import bayesmeta as bm


def test_batch_writes_what_run_many_gives(tmp_path):
    """The command writes the numbers of `run_many`, says what has no answer, and bad input is exit code 2."""
    trials = corpus(4)
    trials.loc[trials.index[0], "events_control"] = 999
    trials.to_csv(tmp_path / "trials.csv", index=False)
    command = [sys.executable, "-m", "bayesmeta", "batch", "trials.csv", "--out", "out", "--model", "none"]

    def batch(*more):
        return subprocess.run([*command, *more], cwd=tmp_path, capture_output=True, text=True, check=False)

    done = batch("--by", "meta_id", "--workers", "1", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["analyses"] == 4
    assert list(said["errors"]) == [trials["meta_id"].iloc[0]]
    expected = bm.run_many(tmp_path / "trials.csv", by="meta_id", out=tmp_path / "ours", model=None).to_frame()
    assert pd.read_parquet(tmp_path / "out" / "part-00000.parquet").equals(expected)
    wrong = batch("--by", "nothing")
    assert wrong.returncode == 2
    assert "no column 'nothing'" in wrong.stderr
