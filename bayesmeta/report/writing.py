"""In which forms a report is written, and whether it can be, asked before it is computed."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesmeta.errors import BayesMetaError

if TYPE_CHECKING:
    from bayesmeta.analysis import Analysis
    from bayesmeta.report.values import Document

type Writer = Callable[[Any, "Document"], bytes]


def _html(analysis: object, document: "Document") -> bytes:
    from bayesmeta.report.html import render

    return render(document).encode()


def _docx(analysis: object, document: "Document") -> bytes:
    from bayesmeta.report.docx import docx

    return docx(document)


def _markdown(analysis: object, document: "Document") -> bytes:
    from bayesmeta.report.markdown import markdown

    return markdown(document).encode()


def _json(analysis: "Analysis", document: "Document") -> bytes:
    from bayesmeta.report.json_document import as_json

    return as_json(analysis, document).encode()


WRITERS: dict[str, Writer] = {".html": _html, ".docx": _docx, ".md": _markdown, ".json": _json}
"""Suffix of a file to what writes it; every writer takes the same sections, and only that of JSON the analysis too."""


def rendered(analysis: "Analysis", document: "Document", path: Path) -> bytes:
    """Return a report as the bytes of a file whose suffix says the form."""
    return WRITERS[path.suffix.lower()](analysis, document)


def check_writable(path: Path) -> None:
    """Raise before any work is done when a report could not be written to `path`.

    Raises
    ------
    BayesMetaError
        If its suffix names no form of a report, it is a folder, or its folder does not exist or cannot be written to.
    """
    if path.suffix.lower() not in WRITERS and not path.is_dir():
        raise BayesMetaError(
            f"Cannot write the report to {str(path)!r}: its ending must say the form, one of {', '.join(WRITERS)}."
        )
    if path.is_dir():
        raise BayesMetaError(f"Cannot write the report to {str(path)!r}: it is a folder. Give a file name.")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise BayesMetaError(f"Cannot write the report to {str(path)!r}: the folder {str(folder)!r} does not exist.")
    if not os.access(folder, os.W_OK):
        raise BayesMetaError(f"Cannot write the report to {str(path)!r}: no permission to write in {str(folder)!r}.")
