"""What compiling once, integrating theta out and storing machine code are worth.

Question it answers: against the plain way (the non-centred model and ``pm.sample`` at its defaults),
how much faster are effective draws, a refit with new priors, and the first fit of a fresh process?

Run: ``uv run --group bench python benchmarks/bench_nuts.py [--startup]``; writes ``records/bench_nuts.csv`` and,
for the first fit by route, cold and warm, ``records/startup.csv`` (alone with ``--startup``). Without the group
"bench" the routes over JAX are recorded as not installed. Wall seconds of one machine: use the ratios.
"""

import csv
import importlib.util
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
MEAN = "\nprint(float(trace.posterior['mu'].mean()))"
NUMPYRO = """
import numpyro; numpyro.enable_x64()
import jax, numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS
def model():
    mu, tau = numpyro.sample("mu", dist.Normal(0, 2.82)), numpyro.sample("tau", dist.HalfNormal(0.5))
    with numpyro.plate("study", data.k):
        eta = numpyro.sample("eta", dist.Normal(0, 1))
        numpyro.sample("y", dist.Normal(mu + tau * eta, data.sei), obs=data.yi)
mcmc = MCMC(NUTS(model), num_warmup=1000, num_samples=1000, num_chains=4, chain_method="vectorized", progress_bar=False)
mcmc.run(jax.random.PRNGKey(1))
print(float(mcmc.get_samples()["mu"].mean()))
"""
SAMPLE = "trace = pm.sample(model=build(0.5), random_seed=1, progressbar=False{})" + MEAN
NUTPIE = (
    "import nutpie; trace = nutpie.sample(nutpie.compile_pymc_model(build(0.5){}), seed=1, progress_bar=False)" + MEAN
)
# What is timed, and the packages it needs besides bayesmeta's own: those of the group "bench" in pyproject.toml.
ROUTES: dict[str, tuple[str, tuple[str, ...]]] = {
    "plain: pm.sample, non-centred": (PLAIN + SAMPLE.format(""), ()),
    "plain: pm.sample with the PyMC sampler": (PLAIN + SAMPLE.format(", nuts_sampler='pymc'"), ()),
    "PyTensor C backend: logp and gradient only": (
        PLAIN + "build(0.5).logp_dlogp_function(ravel_inputs=True, mode='CVM')",
        (),
    ),
    "nutpie with PyTensor's numba cache": (PLAIN + NUTPIE.format(""), ()),
    "nutpie with JAX and its compilation cache": (PLAIN + NUTPIE.format(", backend='jax'"), ("jax",)),
    "pm.sample with numpyro and JAX's compilation cache": (
        PLAIN + SAMPLE.format(", nuts_sampler='numpyro'"),
        ("jax", "numpyro"),
    ),
    "numpyro itself with JAX's compilation cache": (NUMPYRO, ("jax", "numpyro")),
    "bayesmeta": ("print(bm.fit(data, engine='nuts', seed=1).mu.mean())", ()),
}


def first_fit(code: str, folder: str) -> tuple[float, str]:
    """Return wall seconds of a fresh process, with compiled files in `folder`, and what it printed last."""
    environment = {
        # Python keeps its byte code, as it does on a user's machine, where every route profits alike.
        **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        "BAYESMETA_CACHE": f"{folder}/bayesmeta",
        "PYTENSOR_FLAGS": f"base_compiledir={folder}/pytensor",
        "NUMBA_CACHE_DIR": f"{folder}/numba",
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": f"{folder}/jax",
        # By default JAX keeps only what took a second to compile.
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", DATA + code], env=environment, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{code}\n{done.stderr}")
    return seconds, (done.stdout.split() or [""])[-1]


def startup(repeats: int = 2) -> list[dict[str, object]]:
    """Return the first fit of a fresh process by route: with no compiled files, and the best of the next ones.

    ``mean_mu`` is the posterior mean that the last process found: a cache that gave another would be none.
    """
    rows: list[dict[str, object]] = []
    for name, (code, packages) in ROUTES.items():
        absent = [package for package in packages if importlib.util.find_spec(package) is None]
        if absent:
            told = f"not installed: {', '.join(absent)}"
            rows.append({"route": name, "cold_seconds": told, "warm_seconds": told, "mean_mu": ""})
        else:
            with tempfile.TemporaryDirectory() as folder:
                cold, _ = first_fit(code, folder)
                warm, mean = min(first_fit(code, folder) for _ in range(repeats))
            mean = f"{float(mean):.3f}" if mean else ""
            rows.append({"route": name, "cold_seconds": f"{cold:.2f}", "warm_seconds": f"{warm:.2f}", "mean_mu": mean})
        print(rows[-1], flush=True)
    return rows


def in_process() -> list[dict[str, object]]:
    """Return seconds and effective draws per second of both ways, in this process."""
    import pymc as pm

    import bayesmeta as bm
    from bayesmeta.engines.sampling.chains import Settings, run
    from bayesmeta.engines.sampling.compiled.program_cache import prepare
    from bayesmeta.marginals import convergence
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
    rows = [] if "--startup" in sys.argv[1:] else in_process()
    first = startup()
    write("startup.csv", first)
    if not rows:
        return
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
