"""What a fit by quadrature costs beside NUTS, for the benchmarks of normal and of exact likelihoods."""

import time
from collections.abc import Iterator
from typing import Any

import bayesmeta as bm

SEED = 1


def against_nuts(data: Any, model: str, seconds: float, **priors: str) -> Iterator[tuple[str, float, str]]:
    """Yield the cost of NUTS, in fits by quadrature and per effective draw; `seconds` is the cost of one such fit.

    The model is compiled by a first fit that is not counted.
    """
    bm.fit(data, model=model, priors=priors, engine="nuts", seed=SEED)
    start, clock = time.process_time(), time.perf_counter()
    post = bm.fit(data, model=model, priors=priors, engine="nuts", seed=SEED + 1)
    used, wall = time.process_time() - start, time.perf_counter() - clock
    draws = min(post.mu.ess(), post.tau.ess())
    yield "NUTS, compiled: processor time", used, "s"
    yield "NUTS, compiled: wall time", wall, "s"
    yield "NUTS / quadrature", used / seconds, "times"
    yield "effective draws of mu or tau, the fewer", draws, "draws"
    yield "quadrature, in effective draws of NUTS", seconds * draws / used, "draws"
