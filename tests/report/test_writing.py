"""A report file is replaced whole or left as it was."""

import os

import pytest

from bayesmeta.errors import BayesMetaError
from bayesmeta.export import write_bytes
from bayesmeta.report.writing import check_writable


def test_a_file_is_replaced_whole(tmp_path):
    """The new text stands where the old was, and no other file is left."""
    path = tmp_path / "report.html"
    path.write_text("old")
    write_bytes(path, "new †".encode())
    assert path.read_text(encoding="utf-8") == "new †"
    assert os.listdir(tmp_path) == ["report.html"]


def test_a_new_report_is_readable_like_any_new_file(tmp_path):
    """Its permissions are those of a file made in the ordinary way."""
    (tmp_path / "ordinary").write_text("")
    write_bytes(tmp_path / "report.html", b"text")
    assert (tmp_path / "report.html").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


@pytest.mark.parametrize("fault", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch, fault):
    """Stopped before the last step, the old file is untouched and the unfinished one is gone."""
    path = tmp_path / "report.html"
    path.write_text("old")

    def stop(*_):
        raise fault

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises((KeyboardInterrupt, BayesMetaError)):
        write_bytes(path, b"new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["report.html"]


def test_a_place_that_cannot_be_written_is_refused_early(tmp_path):
    """A folder as target, and a folder that does not exist, are named."""
    with pytest.raises(BayesMetaError, match="is a folder"):
        check_writable(tmp_path)
    with pytest.raises(BayesMetaError, match="does not exist"):
        check_writable(tmp_path / "absent" / "report.html")
