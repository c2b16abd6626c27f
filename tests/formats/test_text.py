"""Separated text: encodings, separators, decimal marks, and everything that is wrong with a line."""

import pytest

from bayesmeta.errors import DataError
from bayesmeta.formats import read_bytes
from bayesmeta.reading.table import table_from_raw

TABLE = "study,yi,sei\nÉmile,0.5,0.25\nB,-1.5,1\n"


def read(data: bytes, **options):
    return table_from_raw(read_bytes(data, "t.csv"), "t.csv", **options)


@pytest.mark.parametrize(
    ("encoding", "named"),
    [("utf-8", "utf-8"), ("utf-8-sig", "utf-8-sig"), ("utf-16", "utf-16"), ("latin-1", "latin-1")],
)
def test_every_usual_encoding_is_read_and_named(encoding, named):
    """A file reads the same in UTF-8 with and without mark, UTF-16 and Latin-1, and the table says which it was."""
    table = read(TABLE.encode(encoding))
    assert table.study == ("Émile", "B")
    assert f"encoding {named}" in table.notes


def test_windows_dashes_are_read():
    """Bytes 0x80 to 0x9f, which Latin-1 leaves to control characters, are Windows punctuation."""
    table = read("study,yi,sei\nA–B,1,1\nC,2,1\n".encode("cp1252"))
    assert table.study == ("A–B", "C")
    assert "encoding cp1252" in table.notes


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_separator_is_found(separator):
    """Commas, semicolons and tabs are told apart by the header line."""
    table = read(TABLE.replace(",", separator).encode())
    assert table.column("yi").tolist() == [0.5, -1.5]


def test_decimal_commas_are_read_in_semicolon_files_and_noted():
    """A semicolon file with decimal commas is read as its author meant it, and says so."""
    table = read(b"study;yi;sei\nA;0,5;0,25\nB;-1,5;1\n")
    assert table.column("yi").tolist() == [0.5, -1.5]
    assert "decimal mark ','" in table.notes


def test_a_number_that_may_be_thousands_is_not_guessed():
    """1,234 in a semicolon file is 1.234 or 1234; the error names both readings."""
    with pytest.raises(DataError, match=r"1\.234.*1234.*decimal=','"):
        read(b"study;yi;sei\nA;1,234;1\nB;2;1\n")


def test_mixed_decimal_marks_are_refused():
    """A file with decimal points and decimal commas has no one decimal mark."""
    with pytest.raises(DataError, match="which is the decimal mark"):
        read(b"study;yi;sei\nA;1,5;1.5\nB;2;1\n")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"study,yi,sei\n", "no data rows"),
        (b"study,yi,sei\nA,1\n", r"line 2.*2 cells.*header has 3"),
        (b"study,yi,sei\nA,1,1,9\n", r"line 2.*4 cells.*header has 3"),
        (b"study,yi,yi\nA,1,1\n", "columns 2 and 3 are both called 'yi'"),
        (b"study,yi,sei\nA\0,1,1\n", "line 2: a NUL byte"),
        (b'study,yi,sei\n"A"x,1,1\n', "line 2.*quotation marks"),
        (b"\xff\xfeA", "not valid utf-16"),
    ],
)
def test_a_broken_file_is_refused_with_its_line(data, words):
    """Empty, ragged, doubled, binary and badly quoted files each end in an error that says where."""
    with pytest.raises(DataError, match=words) as error:
        read(data)
    assert "t.csv" in str(error.value)


def test_line_numbers_count_line_breaks_inside_quotes():
    """The line an error names is the line a text editor shows."""
    with pytest.raises(DataError, match="line 4, study 'B'"):
        read(b'study,yi,sei\n"A\nx",1,1\nB,x,1\n')


def test_excels_separator_line_is_understood():
    """A first line "sep=;" states the separator and is no header."""
    assert read(b"sep=;\nstudy;yi;sei\nA;1;1\n").row == (3,)


@pytest.mark.parametrize(
    ("magic", "words"), [(b"%PDF-1.7", "PDF"), (b"\xd0\xcf\x11\xe0", "old Excel"), (b"\x1f\x8b\x08", "gzip")]
)
def test_other_files_are_named_for_what_they_are(magic, words):
    """A PDF, an old workbook and a compressed file are refused with what to do."""
    with pytest.raises(DataError, match=words):
        read(magic + b"xx")
