"""What a record of NUTS proves: the densities of a model's programs and the sampler's settings, as a short text.

A record carries the fingerprint of the programs that were sampled. It changes when a number of theirs changes, and not
when code is moved or said in other words; a test makes it again and compares.
"""

import hashlib
from functools import cache

import numpy as np

from bayesmeta.effects import contrasts
from bayesmeta.engines.sampling.chains import Settings
from bayesmeta.model import Model, load_model
from bayesmeta.studies import Contrasts, DiagnosticTable, DoseResponse, EffectSizes, NetworkTable, PersonTime, TwoByTwo

K = 4
POINTS = 3


def example(model: Model) -> object:
    """Return studies that a model takes."""
    data_type = model.data_type
    rng = np.random.default_rng(11)
    if data_type is EffectSizes:
        X = np.column_stack([np.ones(K), rng.normal(size=K)])
        cluster = ("a", "a", "b", "b") if model.takes_dependent_rows else ()
        outcome = ("x", "y", "x", "y") if model.takes_dependent_rows else None
        return EffectSizes(
            rng.normal(0.2, 0.5, K),
            rng.uniform(0.1, 0.5, K),
            X=X,
            terms=("intercept", "year"),
            cluster=cluster,
            outcome=outcome,
            R=[[1.0, 0.5], [0.5, 1.0]] if model.takes_dependent_rows else None,
        )
    if data_type is DoseResponse:
        cases, n = [20, 14, 9, 30, 28, 40], [200, 100, 50, 300, 220, 250]
        return DoseResponse(["a"] * 3 + ["b"] * 3, [0, 1, 2, 0, 1, 3], cases, n, "ir")
    if data_type is DiagnosticTable:
        return DiagnosticTable([30, 41, 25, 33], [5, 9, 4, 8], [4, 8, 7, 6], [42, 58, 80, 31])
    if data_type in (Contrasts, NetworkTable):
        events = [20, 14, 9, 30, 28, 40, 12, 19, 25]
        net = NetworkTable(list("aaabbccdd"), list("ABCABBCAC"), {"events": events, "n": [80] * 9})
        return net if data_type is NetworkTable else contrasts(net, "OR")
    if data_type is PersonTime:
        return PersonTime([0, 5, 9, 3], rng.uniform(50, 200, K), [4, 8, 7, 6], rng.uniform(50, 200, K))
    return TwoByTwo([0, 5, 9, 3], [40, 61, 75, 33], [4, 8, 7, 6], [42, 58, 80, 31])


def log_densities(name: str) -> dict[str, list[float]]:
    """Return the log density of every program of a model, under its default priors, at points drawn once."""
    model = load_model(name)
    data = example(model)
    found = {}
    for variant, build in model.programs.items():
        program = build(data, model.priors)
        logp, rng = program.compile_logp(mode="FAST_COMPILE"), np.random.default_rng(5)
        start = {value: np.shape(at) for value, at in sorted(program.initial_point().items())}
        points = [{value: rng.normal(0.0, 0.5, shape) for value, shape in start.items()} for _ in range(POINTS)]
        found[variant] = [float(logp(point)) for point in points]
    return found


@cache
def fingerprint(name: str) -> str:
    """Return 16 hexadecimal digits for the densities of a model's programs, to 7 digits, and the sampler's settings."""
    numbers = {variant: [f"{value:.6e}" for value in values] for variant, values in sorted(log_densities(name).items())}
    return hashlib.sha256(repr((numbers, Settings())).encode()).hexdigest()[:16]
