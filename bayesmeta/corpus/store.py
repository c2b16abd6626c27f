"""Where the parts of a corpus' results lie: whole or not at all, and known by their digest.

A folder of results holds ``manifest.json``, which says what was asked, and parts. While parts are being made, a journal
has a line for each that is in its place; once all are, the manifest lists them and the journal goes. What is neither
in the journal nor in the manifest under its digest is made again.
"""

import hashlib
import io
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bayesmeta.errors import DataError
from bayesmeta.export.files import write_bytes

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

type Format = Literal["parquet", "csv"]

MANIFEST = "manifest.json"
JOURNAL = "parts.journal"


def encoded(columns: Mapping[str, NDArray[Any]], form: Format) -> bytes:
    """Return a part as it is written; the same columns give the same bytes."""
    if form == "csv":
        return _frame(columns).to_csv(index=False, lineterminator="\n").encode()
    from pyarrow import parquet

    sink = io.BytesIO()
    parquet.write_table(_arrow(columns), sink, compression="zstd")
    return sink.getvalue()


def _frame(columns: Mapping[str, NDArray[Any]]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(dict(columns))


def _arrow(columns: Mapping[str, NDArray[Any]]) -> "pa.Table":
    import pyarrow as pa

    texts = {name: pa.array(values.tolist(), pa.string()) for name, values in columns.items() if values.dtype == object}
    return pa.table({name: texts.get(name, values) for name, values in columns.items()})


@dataclass(frozen=True, slots=True)
class Store:
    """A folder of results.

    Parameters
    ----------
    folder
        Made where it is not there.
    form
        ``"parquet"`` or ``"csv"``.
    parts
        How many there are when all are made.
    """

    folder: Path
    form: Format
    parts: int

    def part(self, i: int) -> Path:
        """Return the path of a part."""
        return self.folder / f"part-{i:05d}.{self.form}"

    def open(self, asked: Mapping[str, Any]) -> dict[int, str]:
        """Make or enter the folder; return the digests of the parts that are made already.

        Raises
        ------
        DataError
            If the folder cannot be written, or holds the results of something else.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"Cannot make {str(self.folder)!r}: {error.strerror}. Choose another folder.") from None
        path = self.folder / MANIFEST
        if not path.exists():
            others = [p.name for p in self.folder.iterdir() if re.fullmatch(r"part-\d+\.(parquet|csv)", p.name)]
            if others:
                raise DataError(
                    f"{str(self.folder)!r} holds {sorted(others)[0]} and no manifest that says what it is. "
                    "Choose another folder, or empty this one."
                )
            write_bytes(path, _text({"asked": asked, "parts": {}}))
        found = read_manifest(self.folder)
        differs = [name for name in {*asked, *found["asked"]} if asked.get(name) != found["asked"].get(name)]
        if differs:
            name = min(differs)
            raise DataError(
                f"{str(self.folder)!r} holds results of another run: {name} was {found['asked'].get(name)!r} and is "
                f"now {asked.get(name)!r}. Choose another folder, or empty this one."
            )
        known = {int(i): str(digest) for i, digest in found["parts"].items()} | self._journal()
        return {i: digest for i, digest in known.items() if i < self.parts and _is(self.part(i), digest)}

    def _journal(self) -> dict[int, str]:
        try:
            text = (self.folder / JOURNAL).read_text("ascii", errors="replace")
        except FileNotFoundError:
            return {}
        # A line that was being written when the run ended does not match.
        return {int(m[1]): m[2] for m in re.finditer(r"^(\d+) ([0-9a-f]{64})$", text, re.MULTILINE)}

    def put(self, i: int, content: bytes) -> str:
        """Write a part, whole, and then its line in the journal; return its digest."""
        write_bytes(self.part(i), content)
        digest = hashlib.sha256(content).hexdigest()
        try:
            # Its own line even where the last one was cut off.
            with (self.folder / JOURNAL).open("a", encoding="ascii") as journal:
                journal.write(f"\n{i} {digest}\n")
        except OSError as error:
            raise DataError(
                f"Cannot write in {str(self.folder)!r}: {error.strerror}. The parts made so far are whole: make room "
                "and start the same run again."
            ) from None
        return digest

    def close(self, asked: Mapping[str, Any], digests: Mapping[int, str]) -> None:
        """Write the manifest of a complete run, and take the journal and what a killed run left away."""
        parts = {str(i): digests[i] for i in range(self.parts)}
        write_bytes(self.folder / MANIFEST, _text({"asked": asked, "parts": parts}))
        (self.folder / JOURNAL).unlink(missing_ok=True)
        for path in self.folder.glob(".*.part"):
            if re.fullmatch(r"\.(part-\d+\.(parquet|csv)|manifest\.json)\..*\.part", path.name):
                path.unlink(missing_ok=True)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a folder of results.

    Raises
    ------
    DataError
        If there is none, or it cannot be read.
    """
    path = folder / MANIFEST
    try:
        found = json.loads(path.read_text("utf-8"))
        dict(found["asked"]), dict(found["parts"])
    except FileNotFoundError:
        raise DataError(f"{os.fspath(folder)!r} has no {MANIFEST}: it is no folder of results.") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(f"{os.fspath(path)!r} is damaged. Empty the folder and start again.") from None
    return dict(found)


def _is(path: Path, digest: str) -> bool:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == digest
    except OSError:
        return False


def _text(manifest: Mapping[str, Any]) -> bytes:
    return f"{json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False)}\n".encode()


def same_as_written(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run was asked, as it comes back from a manifest: so that the two can be compared."""
    return dict(json.loads(json.dumps(asked, default=_plain)))


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else repr(value)
