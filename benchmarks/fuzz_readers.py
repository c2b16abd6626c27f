"""Damaged and hostile files against every reader.

Question it answers: does any malformed input, read with whatever options, end in something other than a
`DataError` or a valid table, take longer than `LIMIT_SECONDS`, or need more than 1 GiB?

    python benchmarks/fuzz_readers.py                 # 27,000 inputs; writes benchmarks/records/fuzz_readers.csv
    python benchmarks/fuzz_readers.py --cases 100     # a short run, printed only

Each reader runs in a process of its own, so that a crash in native code is counted and not suffered.
"""

import argparse
import csv
import io
import json
import random
import resource
import signal
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from example_files import examples, zip_of  # noqa: E402

from bayesmeta.errors import DataError  # noqa: E402
from bayesmeta.formats import Options, RawTable, read_bytes  # noqa: E402
from bayesmeta.reading import read_frame, read_many  # noqa: E402
from bayesmeta.reading.names import ALIASES, AMBIGUOUS  # noqa: E402
from bayesmeta.reading.options import NOTHING_STATED, ReadingOptions  # noqa: E402
from bayesmeta.reading.table import table_from_raw  # noqa: E402
from bayesmeta.studies import StudyTable  # noqa: E402

if TYPE_CHECKING:
    from hypothesis import strategies as st

RECORD = HERE / "records" / "fuzz_readers.csv"
READERS = (
    "text",
    "xlsx",
    "parquet",
    "revman5_xml",
    "revman5_csv",
    "revman_web",
    "data_frame",
    "read_many",
    "hypothesis",
)
LIMIT_SECONDS = 20
LIMIT_MIB = 1024
SEED = 20261123

TOKENS = (
    *(b"\0", b'"', b",", b";", b"\t", b"\n", b"\r", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"-", b"NA", b"nan", b"inf"),
    *(b"1e400", b"-1", b"0", b"0.5", b"1,5", b"12a", b"9" * 400, b"=1+1", b"<", b">", b"&lt;", b"&#0;", b"PK\x03\x04"),
    *(b"study", b"outcome", b"yi", b"vi", b"se", b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"\xe2\x88\x92", b"\xd9\xa3"),
)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Return `data` with one to eight local damages."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        at = rng.randrange(len(out) + 1)
        end = min(len(out), at + rng.choice((1, 1, 4, 16, 64)))
        kind = rng.randrange(6)
        if kind == 0 and out:
            out[min(at, len(out) - 1)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del out[at:end]
        elif kind == 2:
            out[at:at] = rng.choice(TOKENS)
        elif kind == 3:
            out[at:end] = rng.choice(TOKENS)
        elif kind == 4:
            out[at:at] = out[at:end] * rng.choice((1, 2, 50))
        else:
            out = out[:at] if rng.random() < 0.3 else out[:at] + bytes(rng.randrange(256) for _ in range(8)) + out[end:]
    return bytes(out)


def mutate_zip(data: bytes, rng: random.Random) -> bytes:
    """Return an archive with a damaged, missing, renamed or doubled member, or damaged as a whole."""
    if rng.random() < 0.3:
        return mutate(data, rng)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for _ in range(rng.choice((1, 1, 2))):
        name = rng.choice(list(members))
        kind = rng.randrange(8)
        if kind == 0 and len(members) > 1:
            del members[name]
        elif kind == 1:
            members[rng.choice(("xl/workbook.xml", "../../etc/x", "a-data-rows.csv", "a-parameters.csv"))] = members[
                name
            ]
        else:
            members[name] = _mutate_member(members[name], rng)
    return zip_of(members)


def _mutate_member(inner: bytes, rng: random.Random) -> bytes:
    if inner.startswith(b"PK"):
        try:
            return mutate_zip(inner, rng)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, KeyError, RuntimeError):
            # Damaged once already.
            pass
    return mutate(inner, rng)


def random_text(rng: random.Random) -> bytes:
    """Return a table of random headers and cells: well formed, and mostly nonsense."""
    names = [*ALIASES, *AMBIGUOUS, "x", "", "study"]
    width = rng.randrange(1, 9)
    header = ["study", *(rng.choice(names) for _ in range(width))]
    cells = (
        "1",
        "0",
        "7",
        "12",
        "0.5",
        "-0.5",
        "",
        "NA",
        "1e-320",
        "1e308",
        "inf",
        "A",
        "-",
        "1,5",
        "99999999999999999999",
    )
    rows = [[f"S{i}", *(rng.choice(cells) for _ in range(width))] for i in range(rng.randrange(1, 6))]
    separator = rng.choice(",;\t")
    lines = [header, *rows]
    return "\n".join(separator.join(f'"{c}"' if separator in c else c for c in line) for line in lines).encode()


def frame_of(rng: random.Random) -> object:
    """Return a pandas, polars or pyarrow frame of random columns."""
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    k = rng.randrange(0, 5)
    if rng.random() < 0.3:
        # Sound but for one column that may be anything.
        sound = {"study": ["A", "B"], "yi": [0.5, 0.25], "sei": [0.5, 1.0], "n": [10, 20]}
        odd = {rng.choice(("yi", "sei", "n", "x", "year")): rng.choices((1, 2, 0, None, 0.5), k=2)}
        return pl.DataFrame(sound | odd, strict=False)
    pools: list[list[object]] = [
        [1, 2, 3, 0, 50],
        [0.5, float("nan"), -1.0, 2.0, float("inf")],
        ["A", "", "12a", "3", "NA"],
        [True, False],
        [None],
    ]
    names = ["study", *rng.sample([*ALIASES, *AMBIGUOUS, "x"], rng.randrange(1, 8))]
    columns = {n: [f"S{i}" for i in range(k)] if n == "study" else rng.choices(rng.choice(pools), k=k) for n in names}
    library = rng.randrange(4)
    if library == 0:
        return pd.DataFrame(columns)
    if library == 1:
        return pl.DataFrame(columns, strict=False)
    if library == 2:
        return pa.table(columns)
    return rng.choice((None, 3, [1, 2], {"study": ["A"]}, b"x"))


def cases(reader: str, rng: random.Random) -> Iterator[object]:
    """Return an endless supply of malformed inputs for a reader."""
    files = examples()
    seeds = files["text"] if reader == "read_many" else files.get(reader, [])
    seeds = [*seeds, b"meta,study,yi,sei\nM,A,1,2\nM,B,2,1\nN,A,0.5,0.5\n"] if reader == "read_many" else seeds
    while True:
        if reader == "data_frame":
            yield frame_of(rng)
        elif reader in ("text", "read_many") and rng.random() < 0.4:
            yield random_text(rng)
        elif reader in ("xlsx", "revman_web"):
            yield mutate_zip(rng.choice(seeds), rng)
        else:
            yield mutate(rng.choice(seeds), rng)


def options_for(case: object) -> ReadingOptions:
    """Return what is said about an input, the same for the same input: nothing for half of them."""
    rng = random.Random(zlib.crc32(case if isinstance(case, bytes) else repr(case).encode()))
    if rng.random() < 0.5:
        return NOTHING_STATED
    said: dict[str, Any] = {
        "decimal": rng.choice((None, None, ".", ",")),
        "header_row": rng.choice((None, None, 1, 2, "1-2", "2-4")),
        "duplicates": rng.choice(("error", "number", "cluster")),
        "total_rows": rng.choice(("refuse", "exclude", "study")),
        "ci_level": rng.choice((None, 0.9)),
        "subgroup": rng.choice((None, None, None, "A")),
        "columns": rng.choice(({}, {}, {"yi": "x"}, {"events": "r"}, {"study": "study"}, {"n_treatment": "n1i"})),
    }
    marks = [mark for mark in (None, ",", ".", " ", "'") if mark is None or mark != said["decimal"]]
    return ReadingOptions(thousands=rng.choice(marks), **said)


def attempt(reader: str, case: object, folder: Path) -> StudyTable | None:
    """Read one input through to a study table; DataError is the caller's to count."""
    said = options_for(case)
    if reader == "data_frame":
        return read_frame(case, said)  # type: ignore[arg-type]
    assert isinstance(case, bytes)
    if reader == "read_many":
        path = folder / "many"
        path.write_bytes(case)
        many = read_many(path, by="meta" if case.startswith(b"meta") else "study")
        return many.table(many.groups[0]) if many.k and (many.group == 0).any() else None
    raw = read_bytes(case, "fuzzed", Options(said.decimal, said.sheet, said.thousands, said.header_lines))
    try:
        return table_from_raw(raw, "fuzzed", said)
    except DataError:
        outcome = _first_outcome(raw)
        if outcome is None:
            raise
        return table_from_raw(raw, "fuzzed", replace(said, outcome=outcome))


def _first_outcome(raw: RawTable) -> str | None:
    if "outcome" not in raw.headers:
        return None
    return next((str(c).strip() for c in raw.columns[raw.headers.index("outcome")] if c), None)


def check_valid(table: StudyTable | None) -> None:
    """Raise AssertionError if a table that was accepted cannot be true."""
    if table is None:
        return
    assert table.k >= 1
    assert len(set(table.study)) == table.k
    for arm in ("treatment", "control"):
        if f"events_{arm}" in table.columns and f"n_{arm}" in table.columns:
            events, n = table.column(f"events_{arm}"), table.column(f"n_{arm}")
            assert not (events > n).any()
            assert not ((events < 0) | (n < 1) | (events % 1 > 0)).any()
    for name in ("sei", "vi"):
        assert name not in table.columns or not (table.column(name) <= 0).any()


def outcome_of(reader: str, case: object, folder: Path) -> str:
    """Return how reading one input ended: ``table``, ``DataError``, ``hang`` or another exception's name."""
    signal.setitimer(signal.ITIMER_REAL, LIMIT_SECONDS)
    try:
        check_valid(attempt(reader, case, folder))
    except DataError:
        return "DataError"
    except TimeoutError:
        return "hang"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return type(error).__name__
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return "table"


def _alarm(*_: object) -> None:
    raise TimeoutError


def run_reader(reader: str, number: int, seed: int) -> dict[str, object]:
    """Return how many inputs ended how, and the peak memory of this process in MiB."""
    signal.signal(signal.SIGALRM, _alarm)
    rng = random.Random(f"{seed} {reader}")
    counts: Counter[str] = Counter()
    bad: list[str] = []

    def count(reader: str, case: object, folder: str) -> None:
        outcome = outcome_of(reader, case, Path(folder))
        counts[outcome] += 1
        if outcome not in ("table", "DataError") and len(bad) < 3:
            bad.append(f"{outcome}: {case!r:.2000}")

    with tempfile.TemporaryDirectory() as folder:
        if reader == "hypothesis":
            run_hypothesis(number, seed, lambda case: count("text", case, folder))
        else:
            for _, case in zip(range(number), cases(reader, rng), strict=False):
                count(reader, case, folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"reader": reader, "inputs": counts.total(), "counts": dict(counts), "peak_mib": round(peak), "bad": bad}


def hypothesis_inputs() -> "st.SearchStrategy[bytes]":
    """Return bytes that start as some format does, and tables of text that hypothesis makes up."""
    from hypothesis import strategies as st

    starts = st.sampled_from(
        (b"", b"PK\x03\x04", b"PAR1", b"<?xml ", b"Comparison Number,Outcome Number,Subgroup Number")
    )
    junk = st.builds(lambda start, rest: start + rest, starts, st.binary(max_size=200))
    cell = st.one_of(st.integers(-5, 300).map(str), st.floats().map(str), st.text(max_size=8), st.just(""))
    header = st.lists(st.sampled_from(sorted([*ALIASES, *AMBIGUOUS])), min_size=2, max_size=8)
    rows = st.lists(st.lists(cell, min_size=2, max_size=8), max_size=5)
    encoding = st.sampled_from(("utf-8", "utf-16", "utf-8-sig"))
    separator = st.sampled_from(",;\t")

    def join(head: list[str], body: list[list[str]], mark: str, name: str) -> bytes:
        lines = [head, *((row * len(head))[: len(head)] for row in body)]
        return "\n".join(mark.join(line) for line in lines).encode(name, errors="replace")

    return st.one_of(junk, st.builds(join, header, rows, separator, encoding))


def run_hypothesis(number: int, seed: int, check: Callable[[bytes], None]) -> None:
    """Call `check` with `number` inputs that hypothesis generates."""
    import hypothesis

    @hypothesis.settings(
        max_examples=number,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.seed(seed)
    @hypothesis.given(hypothesis_inputs())
    def run(case: bytes) -> None:
        check(case)

    run()


def in_a_process(reader: str, number: int, seed: int) -> dict[str, object]:
    """Return `run_reader` of a child process; its death is the outcome ``crash``."""
    command = [sys.executable, str(Path(__file__)), "--reader", reader, "--cases", str(number), "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        message = done.stderr[-2000:]
        return {"reader": reader, "inputs": number, "counts": {"crash": 1}, "peak_mib": 0, "bad": [message]}
    result: dict[str, object] = json.loads(done.stdout)
    return result


def code_version() -> str:
    """Return the hash of the commit that was run, with a mark if the package was changed since."""
    git = ["git", "-C", str(HERE.parent)]
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    paths = ["bayesmeta/formats", "bayesmeta/reading", "benchmarks/fuzz_readers.py"]
    status = subprocess.run([*git, "status", "--porcelain", *paths], capture_output=True, text=True, check=True).stdout
    return commit + ("-changed" if status.strip() else "")


def main() -> None:
    """Run all readers, print the table, and write the record unless the run was shortened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=0, help="inputs a reader (default 3,000, with the record)")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--reader", choices=READERS, help="run one reader in this process and print JSON")
    options = parser.parse_args()
    number = options.cases or 3000
    if options.reader:
        print(json.dumps(run_reader(options.reader, number, options.seed)))
        return
    version = code_version()
    results = [in_a_process(reader, number, options.seed) for reader in READERS]
    rows = [
        [r["reader"], options.seed, version, outcome, count, r["peak_mib"]]
        for r in results
        for outcome, count in sorted(dict(r["counts"]).items())  # type: ignore[call-overload]
    ]
    for row in rows:
        print(*row, sep="\t")
    for result in results:
        for line in result["bad"]:  # type: ignore[attr-defined]
            print(f"{result['reader']}: {line}", file=sys.stderr)
    if not options.cases:
        RECORD.parent.mkdir(exist_ok=True)
        with RECORD.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["reader", "seed", "version", "outcome", "inputs", "peak_mib"])
            writer.writerows(rows)


if __name__ == "__main__":
    main()
