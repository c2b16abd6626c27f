"""Tables of other people, read as they come.

Question it answers: how many of the tables that people publish are read without a word of help, and is any of them
misread? A table is read when `read_studies` takes it without an option; what it does not take it must refuse with the
question that decides.

Run: ``python benchmarks/read_other_tables.py FOLDER`` with a folder of tables as their owners write them. The record
was made of the data sets of the R packages metadat, meta, dmetar and metaplus by ``write.csv``, of the RevMan files
that meta ships, and of a table of Metapsy. It has a row a table; the headers and first rows of those that are read go
to ``tests/golden/other_tables.json``, which ``tests/test_other_tables.py`` reads again.
"""

import argparse
import csv
import json
from pathlib import Path

import bayesmeta as bm
from bayesmeta.errors import DataError

ROOT = Path(__file__).parent
RECORD = ROOT / "records" / "other_tables.csv"
SAMPLE = ROOT.parent / "tests" / "golden" / "other_tables.json"
FIELDS = ("table", "result", "studies", "what")
ROWS = 8
"""Rows of a table that are kept for the test."""


def name_of(path: Path) -> str:
    """Return a table's name in the record: files that are not CSV keep their ending."""
    return path.stem if path.suffix == ".csv" else path.name


def read(path: Path) -> dict[str, object]:
    """Return how a table was read, or why it was refused."""
    try:
        table = bm.read_studies(path)
    except DataError as error:
        reason = str(error).replace(str(path), path.name).removeprefix(f"{path.name}: ").removeprefix(f"{path.name}, ")
        return {"table": name_of(path), "result": "refused", "studies": 0, "what": reason[:160]}
    what = "; ".join(f"{name} <- {header}" for name, header in table.mapping.items())
    return {"table": name_of(path), "result": "read", "studies": table.k, "what": what}


def sample(path: Path) -> dict[str, object] | None:
    """Return a table's header, its first rows and what they were read as; None where they are not read alone."""
    if path.suffix != ".csv":
        return None
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[: ROWS + 1]
    cut = path.with_name(f"{path.stem}.cut")
    try:
        cut.write_text("\n".join(lines), encoding="utf-8")
        table = bm.read_studies(cut)
    except DataError:
        return None
    finally:
        cut.unlink(missing_ok=True)
    return {"table": path.stem, "lines": lines, "mapping": dict(table.mapping)}


def main() -> None:
    """Read every table of the folder and write the record and the sample."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    paths = sorted(path for path in parser.parse_args().folder.iterdir() if path.is_file())
    rows = [read(path) for path in paths]
    with RECORD.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    taken = {row["table"] for row in rows if row["result"] == "read"}
    kept = [found for path in paths if path.stem in taken and (found := sample(path)) is not None]
    SAMPLE.write_text(json.dumps(kept, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{len(taken)} of {len(rows)} tables read without an option, {len(kept)} kept for the test")


if __name__ == "__main__":
    main()
