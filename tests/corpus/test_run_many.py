"""A corpus gives what its meta-analyses give one by one, whoever computes them."""

import re
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from made_up_corpus import contents, corpus

import bayesmeta as bm
from bayesmeta.errors import DataError, ModelError
from bayesmeta.frequentist import pool

PRIORS = {"mu": "normal(0, 2)", "tau": "half_normal(0.5)"}


@pytest.fixture(scope="module")
def trials():
    return corpus(12)


@pytest.fixture(scope="module")
def done(trials, tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    trials.to_csv(folder / "trials.csv", index=False)
    results = bm.run_many(folder / "trials.csv", by="meta_id", out=folder / "out", priors=PRIORS, chunk=5)
    return folder, results


def test_each_row_is_what_single_calls_give(trials, done):
    """Every row of the results is the fit and the pooling of its meta-analysis alone."""
    frame = done[1].to_frame().set_index("analysis")
    assert list(frame.index) == list(dict.fromkeys(trials["meta_id"]))
    for name in frame.index[:4]:
        effects = bm.effect_sizes(bm.read_studies(trials[trials["meta_id"] == name].drop(columns="meta_id")), "OR")
        post, row = bm.fit(effects, priors=PRIORS), frame.loc[name]
        assert row["k"] == effects.k
        for quantity in ("mu", "tau", "theta_new"):
            marginal = post[quantity]
            expected = [marginal.mean(), marginal.sd(), marginal.median(), *marginal.eti(0.95)]
            found = [row[f"{quantity}_{what}"] for what in ("mean", "sd", "median", "low", "high")]
            assert found == pytest.approx(expected, rel=1e-7, abs=1e-9)
        assert row["mu_above"] == pytest.approx(float(post.mu.sf(0.0)), abs=1e-8)
        assert row["log_evidence"] == pytest.approx(post.log_evidence, abs=1e-8)
        classical = pool(effects, method="REML", ci="hksj")
        assert row["REML_mu"] == pytest.approx(classical.mu, rel=1e-12)
        if effects.k > 1:
            assert row["REML_hksj_low"] == pytest.approx(classical.ci.low, rel=1e-12)


def test_frames_files_and_forms_agree(trials, done, tmp_path):
    """A pandas or polars frame and a Parquet file give the numbers of the CSV file; so do parts written as CSV."""
    expected = done[1].to_frame()
    trials.to_parquet(tmp_path / "trials.parquet")
    for i, source in enumerate((trials, pl.from_pandas(trials), tmp_path / "trials.parquet")):
        found = bm.run_many(
            source, by="meta_id", out=tmp_path / str(i), priors=PRIORS, chunk=5, form=("csv", "parquet")[i % 2]
        )
        assert found.parts[0].suffix == (".csv", ".parquet")[i % 2]
        assert found.to_frame().equals(expected)


def test_threads_processes_and_dask_give_the_same_bytes(done, tmp_path):
    """Parts and manifest are the same bytes on one core, on two processes, on threads and on a dask cluster."""
    from distributed import Client, LocalCluster

    folder, _ = done
    expected = contents(folder / "out")
    assert sorted(expected) == ["manifest.json", "part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]

    def run(name, executor):
        bm.run_many(folder / "trials.csv", by="meta_id", out=tmp_path / name, priors=PRIORS, chunk=5, executor=executor)
        return contents(tmp_path / name)

    with ThreadPoolExecutor(2) as threads:
        assert run("threads", threads) == expected
    with ProcessPoolExecutor(2, get_context("spawn")) as processes:
        assert run("processes", processes) == expected
    with (
        LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        assert run("dask", client) == expected


def test_a_bad_analysis_is_a_row_with_its_error(trials, tmp_path):
    """An impossible count, a text among numbers and a study named twice spoil their own meta-analysis alone."""
    good = bm.run_many(trials, by="meta_id", out=tmp_path / "good", priors=PRIORS, chunk=20).to_frame()
    bad = trials.astype({"events_treatment": object})
    names = list(dict.fromkeys(bad["meta_id"]))
    first = {name: bad.index[bad["meta_id"] == name][0] for name in names}
    bad.loc[first[names[0]], "events_treatment"] = 999
    bad.loc[first[names[1]], "events_treatment"] = "twelve"
    bad.loc[len(bad)] = bad.loc[first[names[2]]]
    bad.to_csv(tmp_path / "bad.csv", index=False)
    results = bm.run_many(tmp_path / "bad.csv", by="meta_id", out=tmp_path / "bad", priors=PRIORS, chunk=20)
    errors = results.errors()
    assert list(errors) == names[:3]
    assert "999" in errors[names[0]]
    assert "twelve" in errors[names[1]]
    assert "twice" in errors[names[2]]
    numbers = [c for c in good.columns if c not in ("analysis", "error")]
    found = results.to_frame()
    assert np.isnan(found.loc[:2, "mu_mean"]).all()
    assert np.allclose(
        found.loc[3:, numbers].astype(float), good.loc[3:, numbers].astype(float), rtol=1e-12, equal_nan=True
    )
    assert "3 without an answer" in str(results)


def test_models_of_counts_and_estimates(trials, tmp_path):
    """A model of the counts gives what `fit` gives, and ready estimates are pooled as they stand."""
    few = trials[trials["meta_id"].isin(list(dict.fromkeys(trials["meta_id"]))[:2])]
    model = "hypergeometric_normal"
    frame = bm.run_many(few, by="meta_id", out=tmp_path / "counts", model=model, classical=()).to_frame()
    assert "REML_mu" not in frame
    for _, row in frame.iterrows():
        table = bm.read_studies(few[few["meta_id"] == row["analysis"]].drop(columns="meta_id"))
        assert row["mu_mean"] == pytest.approx(bm.fit(table, model=model).mu.mean(), rel=1e-10)
    ready = {"id": ["a", "a", "b"], "yi": [0.1, 0.3, -0.2], "sei": [0.2, 0.1, 0.3]}
    row = (
        bm.run_many(pl.DataFrame(ready), by="id", out=tmp_path / "ready", measure="SMD", model=None).to_frame().iloc[0]
    )
    assert row["REML_mu"] == pytest.approx(pool(bm.EffectSizes([0.1, 0.3], [0.2, 0.1]), method="REML").mu, rel=1e-12)


@pytest.mark.parametrize(
    ("option", "error", "says"),
    [
        ({"by": "id"}, DataError, "no column 'id'"),
        ({"measure": "ORR"}, ModelError, "OR"),
        ({"model": "meta_regression"}, ModelError, "quadrature"),
        ({"model": "hypergeometric_normal", "measure": "RR"}, ModelError, "OR"),
        ({"classical": ("REMML",)}, ModelError, "REML"),
        ({"chunk": 0}, ModelError, "chunk"),
        ({"workers": 0}, ModelError, "workers"),
        ({"form": "xlsx"}, ModelError, "parquet"),
        ({"executor": 3}, ModelError, "executor"),
    ],
)
def test_what_is_asked_is_checked_first(trials, tmp_path, option, error, says):
    """An unknown column, measure, estimator or form is refused with the way out, and no part is written."""
    with pytest.raises(error, match=says):
        bm.run_many(trials, **{"by": "meta_id", "out": tmp_path / "out"} | option)
    assert not list(tmp_path.glob("out/part-*"))


def test_the_page_about_it_runs(tmp_path, monkeypatch, capsys):
    """The example of docs/corpus.md runs as it stands, and says which analysis is impossible."""
    page = (Path(__file__).parents[2] / "docs" / "corpus.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(block, {})
    assert "130 events among 120 patients" in capsys.readouterr().out
