"""Exports: the numbers survive every format, a failure leaves the old file, and R gets the same answer."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import bayesmeta as bm
from bayesmeta.errors import DataError, ModelError
from bayesmeta.export import WRITERS, provenance, r_script, result_frame, study_frame, write_bytes, write_tables
from bayesmeta.export.r_script import r_number, r_text
from bayesmeta.reading import read_studies

DATA = Path(__file__).resolve().parents[1] / "data"


@pytest.fixture(scope="module")
def table():
    """The stenting studies, mortality: one of them has a zero cell."""
    return read_studies(DATA / "rescue_stenting.csv", outcome="mortality")


@pytest.fixture(scope="module")
def effects(table):
    """Their log odds ratios."""
    return bm.effect_sizes(table, "OR")


@pytest.fixture(scope="module")
def post(effects):
    """Their posterior by quadrature."""
    return bm.fit(effects, priors={"mu": "normal(0, 2.82)", "tau": "half_normal(0.5)"}, engine="quadrature")


@pytest.mark.parametrize("extension", sorted(set(WRITERS) - {".json"}))
def test_a_study_table_reads_back_as_it_was(tmp_path, table, extension):
    """What is written in a table format is read again with the same columns and numbers."""
    path = write_tables(tmp_path / f"out{extension}", {"studies": study_frame(table)})
    again = read_studies(path)
    assert again.study == table.study
    for name, values in table.columns.items():
        np.testing.assert_array_equal(again.columns[name], values)


@pytest.mark.parametrize(("extension", "tolerance"), [(".csv", 0), (".parquet", 0), (".xlsx", 5e-16)])
def test_effects_keep_every_digit(tmp_path, effects, extension, tolerance):
    """Effects come back to the last bit; workbooks are written with 16 digits."""
    again = read_studies(write_tables(tmp_path / f"e{extension}", {"effects": study_frame(effects)}))
    np.testing.assert_allclose(again.column("yi"), effects.yi, rtol=tolerance)
    np.testing.assert_allclose(again.column("sei"), effects.sei, rtol=tolerance)


def test_the_study_frame_has_weights_and_shrunken_effects(effects, post):
    """Weights add up to 100 percent, and a shrunken effect lies between the study's own and the mean."""
    frame = study_frame(effects, fit=bm.frequentist.pool(effects), post=post)
    assert frame["weight_percent"].sum() == pytest.approx(100, rel=1e-12)
    low, high = np.minimum(frame["yi"], post.mu.mean()), np.maximum(frame["yi"], post.mu.mean())
    assert frame["theta_mean"].between(low, high).all()
    assert (frame["theta_low"] < frame["theta_mean"]).all()
    assert frame["events_control"].tolist() == [5, 19, 29, 9]


def test_results_are_on_both_scales_with_their_intervals_named(effects, post):
    """A ratio is given on the log and on the natural scale, one the exponential of the other."""
    frame = result_frame({"classical": bm.frequentist.pool(effects), "Bayes": post}, measure="OR")
    for name, mean in (("classical", bm.frequentist.pool(effects).mu), ("Bayes", post.mu.median())):
        rows = frame[(frame["result"] == name) & (frame["quantity"] == "pooled effect")].set_index("scale")
        assert rows.loc["log odds ratio", "value"] == mean
        assert rows.loc["odds ratio", "value"] == pytest.approx(np.exp(mean), rel=1e-14)
        assert rows.loc["odds ratio", "low"] == pytest.approx(np.exp(rows.loc["log odds ratio", "low"]), rel=1e-14)
    kinds = set(frame["interval"].str.partition(" ")[0])
    assert {"confidence", "credible", "prediction", "posterior"} <= kinds


def test_json_holds_tables_and_provenance_and_no_nan(tmp_path, table, effects):
    """JSON names file, hash, rule and what was changed; an absent number is null."""
    frames = {
        "studies": study_frame(table),
        "results": result_frame({"DL": bm.frequentist.pool(effects)}, measure="OR"),
    }
    path = write_tables(tmp_path / "out.json", frames, about=provenance(table, effects))
    content = json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert content["provenance"]["sha256"] == table.sha256
    assert "Cornelissen 2019" in content["provenance"]["adjusted"][0]
    assert content["studies"][3]["year"] is None
    assert content["studies"][0]["events_control"] == 5


def test_a_workbook_has_a_sheet_for_each_table_and_never_a_formula(tmp_path):
    """A study called =1+1 is a text in the workbook and comes back as one."""
    import openpyxl
    import pandas as pd

    frame = pd.DataFrame({"study": ["=1+1", "B\x07"], "yi": [1.0, 2.0], "sei": [1.0, float("nan")]})
    path = write_tables(tmp_path / "x.xlsx", {"studies": frame}, about={"source": "s", "excluded": [{"study": "C"}]})
    book = openpyxl.load_workbook(path)
    assert book.sheetnames == ["studies", "provenance"]
    assert book["studies"]["A2"].data_type == "s"
    assert book["studies"]["A2"].value == "=1+1"
    assert book["studies"]["C3"].value is None


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    """Until the new file is complete the old one stays, and no part of the new one is left behind."""
    path = tmp_path / "out.csv"
    path.write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bayesmeta.export.files.os.replace", full)
    with pytest.raises(DataError, match="No space left"):
        write_bytes(path, b"new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "words"), [("out.doc", "Known: .csv"), ("none/out.csv", "Check the folder"), (".", "extension")]
)
def test_a_path_that_cannot_be_written_is_refused(tmp_path, name, words):
    """An unknown extension and a missing folder are errors before anything is written."""
    import pandas as pd

    with pytest.raises(DataError, match=words):
        write_tables(tmp_path / name, {"a": pd.DataFrame({"x": [1]})})


def test_one_table_formats_refuse_two(tmp_path, table):
    """A CSV file cannot hold studies and results."""
    frame = study_frame(table)
    with pytest.raises(DataError, match="holds one table, not studies, results"):
        write_tables(tmp_path / "x.csv", {"studies": frame, "results": frame})


METHODS = ("DL", "REML", "ML", "EB", "PM", "PMM", "HE", "SJ", "EE")


@pytest.fixture(scope="module")
def printed_by_r(effects, tmp_path_factory) -> dict[str, dict[str, float]]:
    """What R prints for each method and interval rule, in one R session because it takes seconds to start."""
    _need("metafor")
    text = ""
    names = [f"{method} {ci}" for method in METHODS for ci in ("wald", "hksj")]
    for name in names:
        method, ci = name.split()
        script = r_script(effects, method=method, ci=ci, level=0.9, mu="normal(0, 2.82)", tau="half_normal(0.5)")
        text += f'cat("=== {name}\\n")\n{script}'
    sections = _output(text, tmp_path_factory.mktemp("r")).split("=== ")[1:]
    return {name: _figures(section) for name, section in zip(names, sections, strict=True)}


# Priors of tau of every kind that the script knows, with a normal and a flat prior of mu in turn.
TAU_PRIORS = (
    "half_normal(0.5)",
    "uniform()",
    "half_cauchy(0.5)",
    "jeffreys()",
    "half_student_t(4, 0.5)",
    "dumouchel()",
    "exponential(2)",
    "log_normal(-1.97, 0.67)",
    "uniform(0, 4)",
    "lomax(2, 1)",
    "i2()",
    "half_logistic(0.3)",
    "shrinkage()",
    "berger_deely()",
    "gamma(2, 5)",
    "rayleigh(0.5)",
    "sqrt()",
    "conventional()",
)
MU_PRIORS = dict(zip(TAU_PRIORS, ("normal(0, 2.82)", "flat()") * 9, strict=True))


@pytest.fixture(scope="module")
def printed_by_bayesmeta(effects, tmp_path_factory) -> dict[str, dict[str, float]]:
    """What the R package bayesmeta prints for each prior of tau, in one R session."""
    _need("metafor")
    _need("bayesmeta")
    scripts = (r_script(effects, level=0.9, mu=mu, tau=tau) for tau, mu in MU_PRIORS.items())
    text = "".join(f'cat("=== {tau}\\n")\n{script}' for tau, script in zip(MU_PRIORS, scripts, strict=True))
    sections = _output(text, tmp_path_factory.mktemp("r")).split("=== ")[1:]
    return {tau: _figures(section) for tau, section in zip(MU_PRIORS, sections, strict=True)}


class TestRScript:
    """The script for R."""

    def test_texts_and_numbers_are_safe(self):
        """Quotes, backslashes, line breaks and other scripts are escaped; numbers keep their digits."""
        assert r_text('a"b\\c\nd') == r'"a\"b\\c\u000ad"'
        assert r_number(0.1 + 0.2) == "0.30000000000000004"
        assert r_number(float("inf")) == "Inf"

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"method": "XX"}, "Unknown method"),
            ({"ci": "xx"}, "Unknown interval rule"),
            ({"tau": "inverse_gamma(1, 1)"}, "no density in R"),
            ({"tau": "half_normal(1)", "mu": "cauchy(0, 1)"}, "normal or flat"),
        ],
    )
    def test_what_r_has_no_counterpart_for_is_refused(self, effects, options, words):
        """A script that would answer another question is not written."""
        with pytest.raises(ModelError, match=words):
            r_script(effects, **options)

    def test_a_single_column_that_varies_is_a_moderator(self, effects):
        """A line through the origin is no pooled effect."""
        line = replace(effects, X=np.arange(1.0, effects.k + 1.0)[:, None], terms=("dose",))
        with pytest.raises(ModelError, match="moderators"):
            r_script(line)

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("ci", ["wald", "hksj"])
    def test_metafor_gives_our_numbers(self, effects, printed_by_r, method, ci):
        """Run by R, the script prints our estimate, limits and tau2, and recomputes our effects from the counts."""
        printed = printed_by_r[f"{method} {ci}"]
        fit = bm.frequentist.pool(effects, method=method, ci=ci, level=0.9)
        near = {"rel": 1e-9, "abs": 1e-11}
        for name, ours in (("estimate", fit.mu), ("low", fit.ci.low), ("high", fit.ci.high), ("tau2", fit.tau2)):
            assert printed[f"classical {name}"] == pytest.approx(ours, **near), name
        assert printed["largest difference of yi"] < 1e-12

    @pytest.mark.parametrize("scale", [1e-4, 300.0])
    def test_metafor_gives_our_numbers_in_any_unit(self, scale, tmp_path):
        """Effects of 1e-4 and of 300 have tau2 as exact in R as in ours: iterations know the unit."""
        _need("metafor")
        rng = np.random.default_rng(5)
        yi, sei = scale * rng.normal(0, 1, 9), scale * np.exp(rng.normal(-0.5, 0.6, 9))
        data = bm.EffectSizes(yi, sei, measure="GEN")
        text = "".join(r_script(data, method=method) for method in ("PM", "REML", "EB"))
        lines = [line.split(": ") for line in _output(text, tmp_path).splitlines() if line.startswith("classical tau2")]
        ours = [bm.frequentist.pool(data, method=method).tau2 for method in ("PM", "REML", "EB")]
        assert [float(value) for _, value in lines] == pytest.approx(ours, rel=1e-8)

    @pytest.mark.parametrize(
        ("measure", "ni"), [("OR", None), ("MD", 40), ("SMD", 40), ("RD", None), ("ZCOR", 40), ("PLO", None)]
    )
    def test_the_priors_are_those_of_fit(self, measure, ni):
        """Without priors named, the script states the ones that fit takes for the measure and these data."""
        sizes = None if ni is None else [ni] * 3
        data = bm.EffectSizes([3.0, 5.0, 4.0], [1.5, 2.0, 1.0], measure=measure, ni=sizes)
        post = bm.fit(data)
        script, mu, tau = r_script(data), post.priors["mu"], post.priors["tau"]
        if repr(mu) == "flat()":
            assert "mu.prior" not in script
        else:
            assert f"mu.prior = c(mean = {mu.loc!r}, sd = {mu.scale!r})," in script
        assert f"tau.prior = function(t) bayesmeta::dhalfnormal(t, scale = {tau.scale!r})," in script

    def test_a_unit_nobody_knows_leaves_out_the_bayesian_part(self):
        """Ready estimates of no known unit have no default prior: the script says so and takes given ones."""
        data = bm.EffectSizes([3.0, 5.0, 4.0], [1.5, 2.0, 1.0], measure="GEN")
        assert "# The Bayesian part is left out. No default prior for measure 'GEN'" in r_script(data)
        assert "bayesmeta::bayesmeta(" in r_script(data, mu="flat()", tau="half_normal(2)")

    @pytest.mark.parametrize("tau", TAU_PRIORS)
    def test_bayesmeta_gives_our_numbers(self, effects, printed_by_bayesmeta, tau):
        """Run by R, the Bayesian part prints our estimate, limits and median tau to the accuracy it asks for."""
        printed = printed_by_bayesmeta[tau]
        post = bm.fit(effects, priors={"mu": MU_PRIORS[tau], "tau": tau}, engine="quadrature")
        limits = post.mu.eti(0.9)
        near = 5e-4 * (limits.high - limits.low)
        for name, ours in (("estimate", post.mu.mean()), ("low", limits.low), ("high", limits.high)):
            assert printed[f"bayesian {name}"] == pytest.approx(ours, abs=near), name
        assert printed["bayesian tau"] == pytest.approx(post.tau.median(), rel=1e-5)

    def test_a_prior_without_limits_is_named(self, effects):
        """R's dunif is no density on (0, inf): the improper uniform prior is asked for by its name."""
        assert '    tau.prior = "uniform",' in r_script(effects, tau="uniform()").splitlines()
        assert "dunif(t, min = 0.0, max = 4.0)" in r_script(effects, tau="uniform(0, 4)")

    def test_any_study_name_survives(self, tmp_path):
        """Names with quotes, line breaks, accents and comment signs do not break the script."""
        _need("metafor")
        names = ['A "b" \\', "C\n# d", "Émile 5%", "日本 '; q()"]
        odd = bm.EffectSizes([0.1, 0.2, 0.3, 0.5], [0.1, 0.2, 0.3, 0.4], study=tuple(names), measure="GEN")
        printed = _figures(_output(r_script(odd), tmp_path))
        assert printed["classical estimate"] == pytest.approx(bm.frequentist.pool(odd).mu, rel=1e-10)


def _need(package: str) -> None:
    if shutil.which("Rscript") is None:
        pytest.skip("Rscript is not installed")
    command = ["Rscript", "-e", f'quit(status = !requireNamespace("{package}", quietly = TRUE))']
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip(f"the R package {package} is not installed")


def _output(text: str, folder: Path) -> str:
    path = write_bytes(folder / "script.R", text.encode())
    done = subprocess.run(["Rscript", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _figures(output: str) -> dict[str, float]:
    return {name: float(value) for name, value in re.findall(r"^([\w ]+): (-?[\d.e+-]+)$", output, re.MULTILINE)}
