"""Cells that hold two or three numbers are read as the numbers they hold, or refused."""

import numpy as np
import pytest

import bayesmeta as bm
from bayesmeta.errors import DataError
from bayesmeta.reading.totals import is_called_total


def read(tmp_path, text, **options):
    path = tmp_path / "studies.csv"
    path.write_text(text)
    return bm.read_studies(path, **options)


class TestIntervalsWithoutTheirEstimates:
    """A column of intervals beside one of estimates."""

    @pytest.mark.parametrize(
        "cell",
        ["0.51-1.02", "0.51 to 1.02", "(0.51; 1.02)", "[0.51, 1.02]", "0.51,1.02", "0.51 \u2013 1.02", "0·51–1·02"],
    )
    @pytest.mark.parametrize("header", ["95% CI", "CI (95%)", "Confidence interval", "HR 95% CI"])
    def test_are_two_limits(self, tmp_path, cell, header):
        """In every way that papers print them."""
        table = read(tmp_path, f'study,HR,{header}\nA,0.72,"{cell}"\nB,0.72,"{cell}"\n')
        np.testing.assert_allclose(table.columns["ci_low"], 0.51)
        np.testing.assert_allclose(table.columns["ci_high"], 1.02)
        effects = bm.effect_sizes(table, "HR")
        np.testing.assert_allclose(effects.yi, np.log(0.72))
        np.testing.assert_allclose(effects.sei, (np.log(1.02) - np.log(0.51)) / 2 / 1.959963984540054, rtol=1e-12)

    def test_have_the_level_of_their_header(self, tmp_path):
        """A 90% interval is narrower for the same standard error."""
        table = read(tmp_path, 'study,HR,90% CI\nA,0.72,"0.51-1.02"\nB,0.72,"0.51-1.02"\n')
        sei = bm.effect_sizes(table, "HR").sei
        np.testing.assert_allclose(sei, (np.log(1.02) - np.log(0.51)) / 2 / 1.6448536269514722, rtol=1e-12)

    def test_one_number_is_no_interval(self, tmp_path):
        """``1,02`` is a number with a decimal comma, or two numbers: not guessed."""
        with pytest.raises(DataError, match="no column for ci_low"):
            read(tmp_path, 'study,HR,95% CI\nA,0.72,"1,02"\nB,0.72,"1,03"\n')


class TestTwoNumbersOfAnArm:
    """Events of patients, and means with standard deviations."""

    @pytest.mark.parametrize(
        ("headers", "cells"),
        [
            ("Treatment n/N,Control n/N", ("12/120", "15/118")),
            ("Treatment n/N (%),Control n/N (%)", ("12/120 (10.0%)", "15/118 (12.7)")),
            ("Stenting,Control", ("12 / 120", "15 of 118")),
            ("Events (experimental),Events (placebo)", ("12/120", "15/118")),
        ],
    )
    def test_events_of_patients(self, tmp_path, headers, cells):
        """Both counts of both arms, whatever the header says of them."""
        table = read(tmp_path, f"study,{headers}\nA,{','.join(cells)}\nB,3/85,9/90\n")
        found = [table.columns[c].tolist() for c in ("events_treatment", "n_treatment", "events_control", "n_control")]
        assert found == [[12, 3], [120, 85], [15, 9], [118, 90]]

    @pytest.mark.parametrize("header", ["Events", "No. of events", "n (%)", "Events, n (%)"])
    def test_a_percentage_beside_events_is_left_out(self, tmp_path, header):
        """``n (%)`` of a paper's table is events, with the patients in a column of their own."""
        text = f'study,"Treatment {header}",Treatment total,"Control {header}",Control total\n'
        table = read(tmp_path, text + "A,12 (10%),120,15 (12.7%),118\nB,3 (3.5%),85,9 (10%),90\n")
        assert table.columns["events_treatment"].tolist() == [12, 3]
        assert table.columns["n_treatment"].tolist() == [120, 85]

    @pytest.mark.parametrize("cell", ["5.1 (1.2)", "5.1 ± 1.2", "5.1 (SD 1.2)", "5.1 +/- 1.2"])
    def test_means_with_standard_deviations(self, tmp_path, cell):
        """Where the header says that the second is a standard deviation."""
        text = "study,Drug mean (SD),Drug n,Placebo mean (SD),Placebo n\n"
        table = read(tmp_path, text + f"A,{cell},30,4.2 (1.3),31\nB,{cell},25,4.9 (1.5),26\n")
        assert table.columns["mean_treatment"].tolist() == [5.1, 5.1]
        assert table.columns["sd_treatment"].tolist() == [1.2, 1.2]
        assert table.columns["sd_control"].tolist() == [1.3, 1.5]

    @pytest.mark.parametrize("header", ["mean", "mean (SE)", "mean (95% CI)"])
    def test_brackets_that_may_be_standard_errors_are_not_read(self, tmp_path, header):
        """A standard error taken for a standard deviation would weigh a study n times too much."""
        text = f"study,Drug {header},Drug n,Placebo {header},Placebo n\n"
        with pytest.raises(DataError):
            read(tmp_path, text + "A,5.1 (1.2),30,4.2 (1.3),31\nB,6.1 (1.3),25,4.9 (1.5),26\n")

    def test_a_percentage_of_other_counts_is_an_error(self, tmp_path):
        """The message shows the cell and what its counts give."""
        with pytest.raises(
            DataError, match=r"line 2, column 'Treatment n/N', '12/120 \(20%\)': 12 of 120 is 10%, not 20%"
        ):
            read(tmp_path, "study,Treatment n/N,Control n/N\nA,12/120 (20%),15/118 (13%)\nB,3/85 (4%),9/90 (10%)\n")

    def test_the_user_s_columns_are_found_in_them(self, tmp_path):
        """A column stated for events gives the patients too."""
        table = read(
            tmp_path,
            "study,MT,MT plus stent\nA,15/118,12/120\nB,9/90,3/85\n",
            columns={"events_treatment": "MT plus stent", "events_control": "MT"},
        )
        assert table.columns["n_treatment"].tolist() == [120, 85]
        assert table.columns["events_control"].tolist() == [15, 9]

    def test_dates_are_no_counts(self, tmp_path):
        """The third of December is not three of twelve."""
        table = read(tmp_path, "study,date,yi,sei\nA,3/12,0.1,0.2\nB,4/12,0.2,0.3\n")
        assert "events" not in table.columns


class TestRowsThatAreNoStudies:
    """Totals are known by name though they are numbered."""

    @pytest.mark.parametrize("name", ["3. Random effects model", "1.1.2 Subtotal (95% CI)", "- Total", "12) Pooled"])
    def test_numbered(self, name):
        """As RevMan and R print them in lists."""
        assert is_called_total(name)

    @pytest.mark.parametrize("name", ["3. Totaro", "2001 Total knee", "12 Alliance"])
    def test_studies_stay_studies(self, name):
        """Numbers before a name say nothing."""
        assert not is_called_total(name)
