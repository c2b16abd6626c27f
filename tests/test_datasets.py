"""The data sets that ship."""

import pytest

import bayesmeta as bm
from bayesmeta.errors import DataError
from bayesmeta.resources import data_dir


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
