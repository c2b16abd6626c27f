"""The results of a corpus, as they lie in their folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bayesmeta.errors import DataError
from bayesmeta.words import counted

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class CorpusResults:
    """The results of many meta-analyses, in parts on disk.

    Parameters
    ----------
    folder
        Holds ``manifest.json`` and the parts.
    parts
        Paths of the parts, in the order of the corpus.
    analyses
        How many meta-analyses there are.
    reused
        Parts that an earlier run had made.
    """

    folder: Path
    parts: tuple[Path, ...]
    analyses: int
    reused: int = 0

    def to_frame(self) -> "pd.DataFrame":
        """Return all results, one row a meta-analysis in the order in which they first appear in the source.

        Effects are on the analysis scale. ``error`` says why an analysis has no answer, and is empty otherwise.

        Raises
        ------
        DataError
            If a part is no longer there.
        """
        import pandas as pd

        frames = []
        for path in self.parts:
            if not path.is_file():
                raise DataError(f"{str(path)!r} is not there any more. Start the same run again to make it.")
            if path.suffix == ".parquet":
                frames.append(pd.read_parquet(path))
            else:
                heads = pd.read_csv(path, nrows=0).columns
                blank = {name: [""] for name in heads if name not in ("analysis", "error")}
                frames.append(
                    pd.read_csv(path, dtype={"analysis": str, "error": str}, keep_default_na=False, na_values=blank)
                )
        return pd.concat(frames, ignore_index=True)

    def errors(self) -> dict[str, str]:
        """Return the analyses without an answer, and why."""
        frame = self.to_frame()
        bad = frame[frame["error"] != ""]
        return dict(zip(bad["analysis"], bad["error"], strict=True))

    def __str__(self) -> str:
        """Return where the results are, how many, and the first of those without an answer."""
        bad = self.errors()
        lines = [
            f"{self.analyses} meta-{'analysis' if self.analyses == 1 else 'analyses'} in "
            f"{counted(len(self.parts), 'part')}, {self.reused} of them made before: {self.folder}",
            f"{len(bad)} without an answer" + (":" if bad else ""),
        ]
        lines += [f"  {name}: {reason}" for name, reason in list(bad.items())[:5]]
        return "\n".join(lines + ([f"  and {len(bad) - 5} more"] if len(bad) > 5 else []))
