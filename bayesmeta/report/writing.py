"""Writing a file whole or not at all."""

import os
import tempfile
from pathlib import Path

from bayesmeta.errors import BayesMetaError


def check_writable(path: Path) -> None:
    """Raise before any work is done when a report could not be written to `path`.

    Raises
    ------
    BayesMetaError
        If `path` is a folder, or its folder does not exist or cannot be written to.
    """
    if path.is_dir():
        raise BayesMetaError(f"Cannot write the report to {str(path)!r}: it is a folder. Give a file name.")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise BayesMetaError(f"Cannot write the report to {str(path)!r}: the folder {str(folder)!r} does not exist.")
    if not os.access(folder, os.W_OK):
        raise BayesMetaError(f"Cannot write the report to {str(path)!r}: no permission to write in {str(folder)!r}.")


def write_whole(path: Path, text: str) -> None:
    """Write `text` so that `path` holds either what it held before or all of `text`.

    Raises
    ------
    BayesMetaError
        If the file cannot be written.
    """
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.absolute().parent)
    except OSError as error:
        raise BayesMetaError(f"Cannot write {str(path)!r}: {error.strerror}.") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        # mkstemp makes the file private; a report is to be read like any other new file.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise BayesMetaError(f"Cannot write {str(path)!r}: {error.strerror}.") from None
    except BaseException:
        # Ctrl-C between the two steps must leave no half-written file behind.
        Path(temporary).unlink(missing_ok=True)
        raise
