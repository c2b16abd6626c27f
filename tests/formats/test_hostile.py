"""Bombs and damage: refused before they are unpacked, and never another exception than DataError."""

import csv
import importlib.util
import random
import struct
import subprocess
import zipfile
from pathlib import Path

import pytest
from hypothesis import given

from bayesmeta.errors import DataError
from bayesmeta.formats import limits, read_bytes
from bayesmeta.formats.archive import open_archive

ROOT = Path(__file__).resolve().parents[2]
BILLION_LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;&lol;&lol;&lol;">'
    b"]><COCHRANE_REVIEW>&lol2;</COCHRANE_REVIEW>"
)
EXTERNAL = b'<?xml version="1.0"?><!DOCTYPE a SYSTEM "file:///etc/passwd"><COCHRANE_REVIEW/>'


@pytest.mark.parametrize("bomb", [BILLION_LAUGHS, EXTERNAL])
def test_xml_with_a_document_type_is_refused(bomb):
    """Entities that multiply and references to other files are refused."""
    with pytest.raises(DataError, match="refused"):
        read_bytes(bomb, "b.rm5")


def test_xml_bombs_inside_a_workbook_are_refused(files):
    """The XML of a workbook is read by the same hardened parser."""
    data = files.zip_of({"xl/workbook.xml": BILLION_LAUGHS})
    with pytest.raises(DataError, match="refused"):
        read_bytes(data, "b.xlsx")


@pytest.mark.parametrize("member", ["xl/workbook.xml", "X-data-rows.csv"])
def test_zip_bombs_are_refused_before_unpacking(files, member):
    """A member that unpacks to a thousand times its size is no table."""
    data = files.zip_of({member: b"\0" * (8 * 2**20)})
    assert len(data) < 2**15
    with pytest.raises(DataError, match="zip bomb"):
        read_bytes(data, "b.zip")


def test_a_zip_that_lies_about_its_size_is_refused(files):
    """The declared size of a member does not decide how much is unpacked."""
    data = bytearray(files.zip_of({"a.csv": b"0" * (2**20)}))
    # Both records of the member's unpacked size: local header and central directory.
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", data, data.index(signature) + offset, 10)
    with pytest.raises(DataError, match="cannot be unpacked"):
        open_archive(bytes(data), "b.zip").read("a.csv")


def test_unusual_compression_is_refused(files):
    """LZMA can ask for gigabytes of dictionary; no program writes workbooks with it."""
    data = files.zip_of({"xl/workbook.xml": b"<a/>"}, zipfile.ZIP_LZMA)
    with pytest.raises(DataError, match="other than deflate"):
        read_bytes(data, "b.xlsx")


def test_encrypted_members_are_refused(files):
    """A password-protected archive is named as such."""
    data = bytearray(files.zip_of({"xl/workbook.xml": b"<a/>"}))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(DataError, match="encrypted"):
        read_bytes(bytes(data), "b.xlsx")


def test_archives_in_archives_are_opened_twice_at_most(files):
    """A matryoshka of archives ends in an error and not in recursion."""
    data = files.revman_zip()
    for _ in range(3):
        data = files.zip_of({"X-data.zip": data})
    with pytest.raises(DataError, match="no RevMan Web data package"):
        read_bytes(data, "b.zip")


@pytest.mark.parametrize(
    "text",
    [
        b"a\n" * (limits.MAX_ROWS + 2),
        b",".join([b"a"] * (limits.MAX_COLUMNS + 2)) + b"\n",
        b"a,b\n" + b"x" * limits.MAX_BYTES,
    ],
)
def test_tables_beyond_the_limits_are_refused(text):
    """Too many rows, columns or bytes are refused, with the way for large files."""
    with pytest.raises(DataError, match="read_many"):
        read_bytes(text, "big.csv")


def test_nested_elements_do_not_exhaust_the_stack():
    """Deeply nested XML is read or refused, not a crash."""
    deep = b"<COCHRANE_REVIEW>" + b"<COMPARISON>" * 50_000 + b"</COMPARISON>" * 50_000 + b"</COCHRANE_REVIEW>"
    with pytest.raises(DataError):
        read_bytes(b"<?xml version='1.0'?>" + deep, "deep.rm5")


def _fuzzer():
    path = ROOT / "benchmarks" / "fuzz_readers.py"
    spec = importlib.util.spec_from_file_location("fuzz_readers", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FUZZER = _fuzzer()


@given(FUZZER.hypothesis_inputs())
def test_made_up_input_ends_in_a_data_error_or_a_valid_table(data):
    """Whatever hypothesis makes up is refused with a message or is a sound table."""
    try:
        FUZZER.check_valid(FUZZER.attempt("text", data, Path()))
    except DataError as error:
        assert str(error)  # noqa: PT017  (either ending is right; a message is due in both)


@pytest.mark.parametrize("reader", [name for name in FUZZER.READERS if name != "hypothesis"])
def test_malformed_input_ends_in_a_data_error_or_a_valid_table(reader, tmp_path):
    """Sixty damaged inputs a reader; the recorded run has thousands."""
    rng = random.Random(f"7 {reader}")
    for _, case in zip(range(60), FUZZER.cases(reader, rng), strict=False):
        try:
            FUZZER.check_valid(FUZZER.attempt(reader, case, tmp_path))
        except DataError as error:
            assert str(error)  # noqa: PT017  (either ending is right; a message is due in both)


def test_the_recorded_run_supports_its_claim():
    """The record covers every reader with 20,000 inputs in all, no other ending, and less than 1 GiB."""
    with FUZZER.RECORD.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["reader"] for row in rows} == set(FUZZER.READERS)
    assert {row["outcome"] for row in rows} == {"DataError", "table"}
    assert sum(int(row["inputs"]) for row in rows) >= 20_000
    assert max(int(row["peak_mib"]) for row in rows) < FUZZER.LIMIT_MIB
    assert {int(row["seed"]) for row in rows} == {FUZZER.SEED}


def test_the_recorded_run_was_of_committed_code():
    """The version in the record is a commit of this project, and the code was not changed since that commit."""
    with FUZZER.RECORD.open(encoding="utf-8", newline="") as file:
        versions = {row["version"] for row in csv.DictReader(file)}
    (version,) = versions
    assert len(version) == 40
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout: there is no history to look the commit up in")
    command = ["git", "-C", str(ROOT), "cat-file", "-t", version]
    known = subprocess.run(command, capture_output=True, text=True, check=False)
    if known.returncode and (ROOT / ".git" / "shallow").exists():
        pytest.skip("a shallow checkout: the commit may be older than its history")
    assert known.stdout.strip() == "commit"
