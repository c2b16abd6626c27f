"""``bayesmeta sensitivity`` and ``bayesmeta tipping-point``: output on good input, one message on bad input."""

import io
import sys

import pandas as pd
import pytest

import bayesmeta.cli
from bayesmeta.resources import data_dir

DATA = data_dir() / "rescue_stenting.csv"


@pytest.fixture
def bayesmeta_cli(monkeypatch, capsys, tmp_path):
    """Run the command line in a folder of its own; return exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["bayesmeta", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            bayesmeta.cli.main()
        captured = capsys.readouterr()
        return end.value.code, captured.out, captured.err

    return run


MORTALITY = (DATA, "--outcome", "mortality", "--benefit", "lower")


def test_the_prior_grid_prints_a_table_and_the_range(bayesmeta_cli):
    """A row for each pair of priors, then the range of each probability with direction and estimand."""
    code, out, _ = bayesmeta_cli(
        "sensitivity", *MORTALITY, "--mu", "normal(0, 2.82)", "--tau", "half_normal(0.5)", "--tau", "half_normal(1)"
    )
    assert code == 0
    assert "0.986" in out
    assert "P(benefit (OR < 1), mean effect | data) over 2 pairs of priors: 0.973 to 0.986." in out
    assert "true effect of a new study" in out


def test_csv_is_every_digit_of_the_grid(bayesmeta_cli):
    """--csv prints nothing but the table."""
    code, out, _ = bayesmeta_cli(
        "sensitivity", *MORTALITY, "--mu", "normal(0, 2.82)", "--tau", "half_normal(0.5)", "--csv"
    )
    frame = pd.read_csv(io.StringIO(out))
    assert code == 0
    assert len(frame) == 1
    assert frame["p_mu"][0] == pytest.approx(0.98605, abs=5e-6)


def test_the_published_prior_of_the_outcome_takes_part(bayesmeta_cli):
    """--kind and --against choose the prior of Turner et al. 2015."""
    _, out, _ = bayesmeta_cli(
        "sensitivity", *MORTALITY, "--mu", "flat()", "--csv",
        "--kind", "all-cause mortality", "--against", "pharmacological vs placebo/control",
    )  # fmt: skip
    assert "log_normal(-1.975, 0.67)" in out


def test_a_multiverse_prints_range_and_drivers_and_draws(bayesmeta_cli, tmp_path):
    """--multiverse prints what drives the probability, and --figure writes the curve."""
    code, out, _ = bayesmeta_cli("sensitivity", *MORTALITY, "--multiverse", "-m", "OR", "--figure", "curve.svg")
    assert code == 0
    assert "450 Bayesian analyses" in out
    assert "mu prior (5 levels)" in out
    assert (tmp_path / "curve.svg").read_text().lstrip().startswith("<?xml")


def test_tipping_points_are_printed_in_sentences(bayesmeta_cli):
    """The conclusion, the sceptical prior, heterogeneity, null studies, changed outcomes and fragility."""
    code, out, _ = bayesmeta_cli("tipping-point", *MORTALITY)
    assert code == 0
    assert "P(benefit (OR < 1), mean effect | data) = 0.986" in out
    for start in (
        "Sceptical prior:",
        "Heterogeneity:",
        "Null studies:",
        "Changed outcomes:",
        "Fragility:",
        "Matthews'",
    ):
        assert any(line.startswith(start) for line in out.splitlines())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("tipping-point", DATA, "--outcome", "mortality", "--benefit", "down"), "Unknown benefit"),
        (("tipping-point", *MORTALITY, "--prior", "tau"), "e.g. --prior"),
        (("tipping-point", *MORTALITY, "--prior", "sigma=half_normal(1)"), "sigma"),
        (("tipping-point", *MORTALITY, "--threshold", "-2"), "odds ratio"),
        (("sensitivity", *MORTALITY, "-m", "OR", "-m", "RR"), "--multiverse"),
        (("sensitivity", *MORTALITY, "--tau", "half_normal(-1)"), "greater than 0"),
        (("sensitivity", *MORTALITY, "--tau", "half_normal(1)", "--kind", "pain"), "only one"),
        (("sensitivity", *MORTALITY, "--level", "95"), "strictly between 0 and 1"),
        (("sensitivity", *MORTALITY, "--mu", "flat()", "--figure", "x.abc"), "abc"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(bayesmeta_cli, arguments, says):
    """Bad input is one message that says what to write, and no traceback."""
    code, _, err = bayesmeta_cli(*arguments)
    assert code == 2
    assert says in err
    assert "Traceback" not in err
