"""The data sets that ship."""

import pytest

import bayesmeta as bm
from bayesmeta.errors import DataError
from bayesmeta.resources import data_dir

# metafor 3.8-1: rma(measure = "IRR", method = "DL") on the same counts and times: estimate, standard error, tau2.
METAFOR = {
    "catheter_bloodstream_nielweise2008": (-0.3875746473, 0.2207070219, 0.0752539493),
    "warfarin_stroke_hart1999": (-1.0168157148, 0.1634592501, 0.0),
}


def test_every_csv_in_the_data_folder_is_a_data_set():
    """Adding a file adds a data set."""
    files = {path.stem for path in data_dir().glob("*.csv")} - {"INDEX"}
    assert set(bm.list_datasets()) == files


@pytest.mark.parametrize("name", bm.list_datasets())
def test_every_data_set_has_rows_and_a_citation(name):
    """A frame says where its numbers come from."""
    frame = bm.load_dataset(name)
    assert len(frame) >= 1
    assert frame.attrs["name"] == name
    assert frame.attrs["citation"]
    assert frame.attrs["kind"]


def test_the_extension_may_be_given():
    """Both spellings of a name are the same data set."""
    assert bm.load_dataset("bcg_vaccine.csv").equals(bm.load_dataset("bcg_vaccine"))


def test_an_unknown_name_meets_the_nearest():
    """A misspelt name is met with the right one."""
    with pytest.raises(DataError, match="Did you mean 'bcg_vaccine'"):
        bm.load_dataset("bcg_vacine")


@pytest.mark.parametrize("name", sorted(METAFOR))
def test_person_time_data_give_what_metafor_gives(name):
    """Pooled incidence rate ratios of the data sets with person-time are metafor's."""
    table = bm.read_studies(data_dir() / f"{name}.csv")
    pooled = bm.frequentist.pool(bm.effect_sizes(table, "IRR"), method="DL")
    assert (pooled.mu, pooled.se, pooled.tau2) == pytest.approx(METAFOR[name], abs=1e-9)
