"""Import what sampling needs in the background, while the data are read."""

import threading

from bayesmeta.engines.sampling.chains import sampler_module
from bayesmeta.engines.sampling.compiled import code_store


def warm_up() -> threading.Thread:
    """Start importing what NUTS needs, and return at once with the thread that does it.

    With compiled models on disk that is numba's linker and the sampler; else PyMC and nutpie. A failed
    import is not reported here: the fit that needs the package meets it again and says so.
    """
    thread = threading.Thread(target=_import, name="bayesmeta-warm-up", daemon=True)
    thread.start()
    return thread


def _import() -> None:
    try:
        if code_store.has_programs():
            import pyarrow  # noqa: F401

            code_store.prepare_linker()
            sampler_module()
        else:
            import nutpie  # noqa: F401
            import pymc  # noqa: F401
    except ImportError:
        return
