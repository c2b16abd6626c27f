"""Whether a report can be written, asked before it is computed."""

import os
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
