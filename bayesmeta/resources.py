"""Where the data and model folders are: beside the package in a checkout, inside it in a wheel."""

from functools import cache
from pathlib import Path

from bayesmeta.errors import BayesMetaError

PACKAGE = Path(__file__).resolve().parent


@cache
def _folder(shipped: str, checkout: str) -> Path:
    inside = PACKAGE / shipped
    # A checkout has no shipped copy, so the folder that is edited is the folder that is read.
    for folder in (inside, PACKAGE.parent / checkout):
        if folder.is_dir():
            return folder
    raise BayesMetaError(
        f"The folder {checkout!r} that ships with bayesmeta is missing from this installation. Reinstall bayesmeta."
    )


def models_dir() -> Path:
    """Return the folder of model files."""
    return _folder("_models", "models")


def data_dir() -> Path:
    """Return the folder of data sets and prior tables."""
    return _folder("_data", "data")
