"""The command line: thin, and light to start; every command imports what it needs when it runs."""

import importlib
import io
import os
import pkgutil
import sys
import threading
import warnings

import typer

from bayesmeta.errors import BayesMetaError, DataWarning

BAD_INPUT = 2
INTERRUPTED = 130

app = typer.Typer(
    name="bayesmeta",
    help="Bayesian meta-analysis side by side with the classical one.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _root() -> None:
    """Bayesian meta-analysis side by side with the classical one."""


for _found in pkgutil.iter_modules(__path__):
    if not _found.name.startswith("_"):
        importlib.import_module(f"{__name__}.{_found.name}").register(app)


def main() -> None:
    """Run the command line: bad input is a message and exit code 2, Ctrl-C is exit code 130."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that has no dagger or superscript shows a question mark rather than ending in an error.
            stream.reconfigure(errors="replace")
    # The audit says what a DataWarning says, at the head of every answer.
    warnings.simplefilter("ignore", DataWarning)
    warnings.formatwarning = _sentence
    try:
        code = app(standalone_mode=True)
    except BayesMetaError as error:
        plan = any(word.lower().endswith(".toml") for word in sys.argv[1:])
        print(f"Error: {error.said('protocol' if plan else 'command line')}", file=sys.stderr)
        code = BAD_INPUT
    except KeyboardInterrupt:
        code = INTERRUPTED
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    if code == INTERRUPTED:
        print("Interrupted; nothing was written.", file=sys.stderr)
    _leave(code or 0)


def _sentence(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Return a warning as it is printed, without the line of the source that it comes from."""
    return f"Warning: {message}\n"


def _leave(code: int) -> None:
    """End the process, without waiting for imports that a command started in the background."""
    if any(t.name.startswith("warm") for t in threading.enumerate()):
        # The interpreter must not be torn down while a thread is still importing native libraries.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
