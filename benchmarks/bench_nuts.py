"""What compiling once, integrating theta out and storing machine code are worth.

Question it answers: against the plain way (the non-centred model and ``pm.sample`` at its defaults),
how much faster are effective draws, a refit with new priors, and the first fit of a fresh process?

Run: ``python benchmarks/bench_nuts.py``; writes ``records/bench_nuts.csv`` and, for the first fit by
route, cold and warm, ``records/startup.csv``. Wall seconds of one machine: use the ratios.
"""

import csv
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RECORDS = Path(__file__).parent / "records"
DATA = """
import bayesmeta as bm
from bayesmeta.resources import data_dir
data = bm.effect_sizes(bm.read_studies(data_dir() / "bcg_vaccine.csv"), measure="OR")
"""
PLAIN = """
import pymc as pm, numpy as np
def build(scale):
    with pm.Model() as model:
        mu, tau = pm.Normal("mu", 0, 2.82), pm.HalfNormal("tau", scale)
        theta = pm.Deterministic("theta", mu + tau * pm.Normal("eta", 0, 1, shape=data.k))
        pm.Normal("y", theta, data.sei, observed=data.yi)
    return model
"""
ROUTES = {
    "plain: pm.sample, non-centred": DATA + PLAIN + "pm.sample(model=build(0.5), random_seed=1, progressbar=False)",
    "plain: pm.sample with the PyMC sampler": DATA
    + PLAIN
    + "pm.sample(model=build(0.5), random_seed=1, progressbar=False, nuts_sampler='pymc')",
    "PyTensor C backend: logp and gradient only": DATA
    + PLAIN
    + "build(0.5).logp_dlogp_function(ravel_inputs=True, mode='CVM')",
    "nutpie with PyTensor's numba cache": DATA
    + PLAIN
    + "import nutpie; nutpie.sample(nutpie.compile_pymc_model(build(0.5)), seed=1, progress_bar=False)",
    "bayesmeta": DATA + "bm.fit(data, engine='nuts', seed=1)",
}


def first_fit(code: str, folder: str) -> float:
    """Return wall seconds of a fresh process, with compiled files in `folder`."""
    environment = {
        # Python keeps its byte code, as it does on a user's machine, where every route profits alike.
        **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        "BAYESMETA_CACHE": f"{folder}/bayesmeta",
        "PYTENSOR_FLAGS": f"base_compiledir={folder}/pytensor",
        "NUMBA_CACHE_DIR": f"{folder}/numba",
    }
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def startup(repeats: int = 2) -> list[dict[str, object]]:
    """Return the first fit of a fresh process by route: with no compiled files, and the best of the next ones."""
    rows: list[dict[str, object]] = []
    for name, code in ROUTES.items():
        with tempfile.TemporaryDirectory() as folder:
            cold = first_fit(code, folder)
            warm = min(first_fit(code, folder) for _ in range(repeats))
        rows.append({"route": name, "cold_seconds": f"{cold:.2f}", "warm_seconds": f"{warm:.2f}"})
        print(rows[-1], flush=True)
    return rows


def in_process() -> list[dict[str, object]]:
    """Return seconds and effective draws per second of both ways, in this process."""
    import pymc as pm

    import bayesmeta as bm
    from bayesmeta import convergence
    from bayesmeta.engines.chains import Settings, run
    from bayesmeta.engines.program_cache import prepare
    from bayesmeta.model import load_model

    space: dict[str, object] = {}
    exec(DATA + PLAIN, space)
    data, build = space["data"], space["build"]
    pm.sample(model=build(0.5), random_seed=1, progressbar=False)
    start = time.perf_counter()
    pm.sample(model=build(1.0), random_seed=1, progressbar=False)
    fresh = time.perf_counter() - start

    import nutpie

    compiled = nutpie.compile_pymc_model(build(0.5))
    start = time.perf_counter()
    trace = nutpie.sample(compiled, draws=4000, tune=1000, chains=4, seed=1, progress_bar=False)
    seconds = time.perf_counter() - start
    plain = min(convergence.ess_bulk(trace.posterior[name].values) for name in ("mu", "tau")) / seconds

    model = load_model("normal_normal")
    run(prepare(model, data, model.priors), Settings(seed=1))
    start = time.perf_counter()
    result = run(prepare(model, data, model.priors), Settings(draws=4000, thin=1, seed=1, target_accept=0.8))
    seconds = time.perf_counter() - start
    ours = min(convergence.ess_bulk(result.draws[name]) for name in ("mu", "tau")) / seconds

    options = {"draws": 1000, "tune": 1000, "thin": 1, "chains": 4}
    bm.fit(data, engine="nuts", seed=1, **options)
    start = time.perf_counter()
    bm.fit(data, engine="nuts", seed=1, priors={"tau": "half_normal(1)"}, **options)
    refit = time.perf_counter() - start
    return [
        {"figure": "effective draws per second after compilation", "plain": f"{plain:.0f}", "bayesmeta": f"{ours:.0f}"}
        | {"ratio": f"{ours / plain:.1f}"},
        {"figure": "seconds of a refit, 4 x 1000 draws", "plain": f"{fresh:.2f}", "bayesmeta": f"{refit:.3f}"}
        | {"ratio": f"{fresh / refit:.1f}"},
    ]


def write(name: str, rows: list[dict[str, object]]) -> None:
    """Write a record."""
    RECORDS.mkdir(exist_ok=True)
    with (RECORDS / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    """Measure and write both records."""
    print(platform.platform(), os.cpu_count(), "cores", flush=True)
    rows = in_process()
    first = startup()
    write("startup.csv", first)
    plain, ours = (float(str(first[i]["warm_seconds"])) for i in (0, -1))
    rows.append(
        {"figure": "seconds of the first fit of a fresh process, warm", "plain": f"{plain:.2f}"}
        | {"bayesmeta": f"{ours:.2f}", "ratio": f"{plain / ours:.1f}"}
    )
    write("bench_nuts.csv", rows)
    for row in rows:
        print(row, flush=True)


if __name__ == "__main__":
    sys.exit(main())
