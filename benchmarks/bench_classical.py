"""Speed of the classical analysis: one meta-analysis against other packages, many against a loop.

Questions it answers: is pooling by DL and REML faster than metafor, PyMARE, pimeta and statsmodels on the same data,
for k = 5, 50, 5000, and what does one vectorised call over 10,000 meta-analyses save?

Packages that are absent are left out. Python packages run in the interpreter named by ``BAYESMETA_PEERS_PYTHON``
(a virtual environment with ``pymare pimeta statsmodels``; default: this one), metafor in ``Rscript``. Every side gets
arrays ready in its own container and returns the pooled estimate, its standard error and tau2; the median of
repeated calls counts. A peer whose DL takes more than five seconds at some k is not asked for REML there.

    python benchmarks/bench_classical.py [benchmarks/records/classical.csv]
"""

import csv
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

SEED = 20260101
SIZES = (5, 50, 5000)
METHODS = ("DL", "REML")
PATIENCE = 5.0
MANY, STUDIES = 10_000, 10

type Row = dict[str, object]


def data(k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return effects and sampling variances of `k` heterogeneous studies, the same on every call."""
    rng = np.random.default_rng([SEED, k])
    v = rng.uniform(0.01, 0.3, k)
    return rng.normal(0.3, np.sqrt(v + 0.05)), v


def seconds(call: Callable[[], object], budget: float = 0.4) -> float:
    """Return the median time of one call over about `budget` seconds, at least three calls unless one is slow."""
    start = time.perf_counter()
    call()
    first = time.perf_counter() - start
    if first > PATIENCE:
        return first
    times = []
    for _ in range(max(3, min(2000, int(budget / max(first, 1e-6))))):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return median(times)


def ours(k: int, method: str) -> tuple[float, float]:
    """Return the time of one pooled fit and its estimate."""
    from bayesmeta import EffectSizes
    from bayesmeta.frequentist import pool

    y, v = data(k)
    effects = EffectSizes(yi=y, sei=np.sqrt(v))
    return seconds(lambda: pool(effects, method=method)), pool(effects, method=method).mu


PEERS = """
import json, sys, time, warnings
import numpy as np
warnings.simplefilter("ignore")
spec = json.load(open(sys.argv[1]))
sys.path.insert(0, spec["here"])
from bench_classical import seconds, PATIENCE
out = []
for entry in spec["cases"]:
    k, y, v = entry["k"], np.array(entry["y"]), np.array(entry["v"])
    calls = {}
    try:
        import pimeta
        for m in ("DL", "REML"):
            calls["pimeta", m] = (lambda m=m: pimeta.rma(y, v, method=m), lambda r: float(np.ravel(r.b)[0]))
    except ImportError:
        pass
    try:
        from pymare import Dataset
        from pymare.estimators import DerSimonianLaird, VarianceBasedLikelihoodEstimator
        ds = Dataset(y[:, None], v[:, None], X=np.ones((k, 1)), add_intercept=False)
        first = lambda e: float(np.ravel(e.params_["fe_params"])[0])
        calls["pymare", "DL"] = (lambda: DerSimonianLaird().fit_dataset(ds), first)
        calls["pymare", "REML"] = (lambda: VarianceBasedLikelihoodEstimator(method="REML").fit_dataset(ds), first)
    except ImportError:
        pass
    try:
        from statsmodels.stats.meta_analysis import combine_effects
        read = lambda r: float(r.mean_effect_re)
        calls["statsmodels", "DL"] = (lambda: combine_effects(y, v, method_re="chi2"), read)
    except ImportError:
        pass
    slow = set()
    for (name, m), (call, read) in calls.items():
        if name in slow:
            continue
        t = seconds(call)
        if t > PATIENCE:
            slow.add(name)
        out.append([name, m, k, t, read(call()) if t <= PATIENCE else None])
print(json.dumps(out))
"""

METAFOR = """
suppressMessages(library(metafor))
spec <- commandArgs(TRUE)[1]
d <- read.csv(spec)
for (k in unique(d$k)) {
  x <- d[d$k == k, ]
  for (m in c("DL", "REML")) {
    first <- system.time(r <- rma(x$y, x$v, method = m))[["elapsed"]]
    n <- if (first > 5) 0 else max(3, min(300, floor(0.5 / max(first, 1e-3))))
    t <- if (n == 0) first else median(replicate(n, system.time(rma(x$y, x$v, method = m))[["elapsed"]] ))
    if (n > 20) t <- system.time(for (i in 1:n) rma(x$y, x$v, method = m))[["elapsed"]] / n
    cat("metafor", m, k, format(t, digits = 8), format(as.numeric(r$beta), digits = 15), "\\n")
    if (first > 5) break
  }
}
"""


def python_peers() -> list[tuple[str, str, int, float, float | None]]:
    """Return the timings of the Python packages that are installed."""
    python = os.environ.get("BAYESMETA_PEERS_PYTHON", sys.executable)
    cases = [{"k": k, "y": data(k)[0].tolist(), "v": data(k)[1].tolist()} for k in SIZES]
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "spec.json"
        spec.write_text(json.dumps({"here": str(Path(__file__).parent), "cases": cases}))
        done = subprocess.run([python, "-c", PEERS, str(spec)], capture_output=True, text=True, check=True)
    return [tuple(row) for row in json.loads(done.stdout.splitlines()[-1])]


def metafor() -> list[tuple[str, str, int, float, float | None]]:
    """Return the timings of metafor, or nothing without Rscript or metafor."""
    if shutil.which("Rscript") is None:
        return []
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "data.csv"
        with spec.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["k", "y", "v"])
            for k in SIZES:
                writer.writerows([k, repr(float(y)), repr(float(v))] for y, v in zip(*data(k), strict=True))
        done = subprocess.run(["Rscript", "-e", METAFOR, str(spec)], capture_output=True, text=True, check=False)
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith("metafor")]
    return [(name, m, int(k), float(t), float(mu)) for name, m, k, t, mu in rows]


def many() -> list[Row]:
    """Return vectorised against looped pooling of many meta-analyses."""
    from bayesmeta import EffectSizes
    from bayesmeta.frequentist import pool, pool_many

    rng = np.random.default_rng(SEED)
    v = rng.uniform(0.01, 0.3, (MANY, STUDIES))
    y = rng.normal(0.3, np.sqrt(v + 0.05))
    rows: list[Row] = []
    for method in METHODS:
        together = seconds(lambda method=method: pool_many(y, v, method=method), budget=2.0)
        effects = [EffectSizes(yi=a, sei=np.sqrt(b)) for a, b in zip(y, v, strict=True)]
        start = time.perf_counter()
        mus = [pool(e, method=method).mu for e in effects]
        loop = time.perf_counter() - start
        worst = float(np.abs(np.array(mus) - pool_many(y, v, method=method).mu).max())
        rows += [
            row("pool_many", method, f"{MANY} x {STUDIES}", together, 1.0, 0.0),
            row("loop over pool", method, f"{MANY} x {STUDIES}", loop, loop / together, worst),
        ]
    return rows


def row(package: str, method: str, k: object, time_: float, ratio: float, difference: float | None) -> Row:
    """Return one line of the record; the ratio is this package's time over ours."""
    return {
        "package": package,
        "method": method,
        "k": k,
        "seconds": f"{time_:.3g}",
        "times_slower_than_bayesmeta": f"{ratio:.3g}",
        "difference_of_mu": "" if difference is None else f"{difference:.1e}",
    }


def main() -> None:
    """Print the table and, when a path is given, write it."""
    base = {(m, k): ours(k, m) for k in SIZES for m in METHODS}
    rows = [row("bayesmeta", m, k, t, 1.0, 0.0) for (m, k), (t, _) in base.items()]
    for name, m, k, t, mu in [*metafor(), *python_peers()]:
        mine, estimate = base[m, k]
        rows.append(row(name, m, k, t, t / mine, None if mu is None else abs(mu - estimate)))
    rows.sort(key=lambda r: (str(r["method"]), int(str(r["k"])), float(str(r["seconds"]))))
    rows += many()
    for r in rows:
        print("  ".join(f"{value!s:>14}" for value in r.values()))
    print(platform.python_version(), platform.machine(), "numpy", np.__version__)
    if len(sys.argv) > 1:
        with Path(sys.argv[1]).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
