"""Cost of the quadrature engine for normal models, as ratios measured in one run.

Questions it answers: how many times faster is a fit than a straightforward scipy.integrate.quad
implementation, and than the R package bayesmeta where it is installed? Does the cost grow linearly with the
number of studies? What does one analysis cost in batches of growing size, and a 20 x 20 grid of priors in
single fits?

Run ``python benchmarks/bench_quadrature.py``; it prints the table and writes records/bench_quadrature.csv.
Times are the fastest of several repeats, which a busy machine disturbs least.
"""

import csv
import math
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from scipy import integrate, optimize, stats

import bayesmeta as bm

RECORD = Path(__file__).parent / "records" / "bench_quadrature.csv"
PRIORS = {"mu": "normal(0, 2.82)", "tau": "half_normal(0.5)"}


def effects(k: int, seed: int = 1) -> bm.EffectSizes:
    """Return k simulated studies."""
    rng = np.random.default_rng(seed)
    sei = rng.uniform(0.1, 0.6, k)
    return bm.EffectSizes(yi=0.3 + np.hypot(0.3, sei) * rng.standard_normal(k), sei=sei)


def fastest(work: Callable[[], object], repeats: int) -> float:
    """Return the fastest of several repeats, in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def report(data: bm.EffectSizes) -> tuple[float, ...]:
    """Fit, and ask for what a report asks: intervals of mu, tau and a new study, a probability, the evidence."""
    post = bm.fit(data, priors=PRIORS, engine="quadrature")
    limits = [*post.mu.eti(), *post.tau.eti(), *post.theta_new.eti()]
    return (*limits, float(post.mu.sf(0.0)), post.log_evidence)


def by_scipy(data: bm.EffectSizes) -> tuple[float, ...]:
    """Return the same numbers as `report`, written down straightforwardly with scipy.integrate.quad and brentq."""
    y, v = data.yi, data.vi

    def conditional(tau: float) -> tuple[float, float, float]:
        w = 1.0 / (v + tau**2)
        precision = w.sum() + 2.82**-2
        mean = float(w @ y) / precision
        loglik = -0.5 * (len(y) * math.log(2 * math.pi) - np.log(w).sum() + math.log(precision) + 2 * math.log(2.82))
        loglik -= 0.5 * (float(w @ (y - mean) ** 2) + mean**2 / 2.82**2)
        return loglik, mean, precision**-0.5

    def expect(g: Callable[[float, float, float], float], top: float = 6.0) -> float:
        def integrand(tau: float) -> float:
            loglik, mean, sd = conditional(tau)
            return math.exp(loglik) * float(stats.halfnorm.pdf(tau, scale=0.5)) * g(tau, mean, sd)

        return integrate.quad(integrand, 0.0, top, epsabs=0.0, epsrel=1e-9)[0]

    evidence = expect(lambda tau, mean, sd: 1.0)

    def quantile(cdf: Callable[[float], float], q: float, low: float, high: float) -> float:
        return float(optimize.brentq(lambda x: cdf(x) / evidence - q, low, high, xtol=1e-9))

    def mu(x: float) -> float:
        return expect(lambda tau, mean, sd: float(stats.norm.cdf(x, mean, sd)))

    def new(x: float) -> float:
        return expect(lambda tau, mean, sd: float(stats.norm.cdf(x, mean, math.hypot(sd, tau))))

    def tau(x: float) -> float:
        return expect(lambda tau, mean, sd: 1.0, top=x)

    limits = [quantile(mu, q, -4, 4) for q in (0.025, 0.975)]
    limits += [quantile(tau, q, 1e-9, 5) for q in (0.025, 0.975)]
    limits += [quantile(new, q, -6, 6) for q in (0.025, 0.975)]
    return (*limits, 1.0 - mu(0.0) / evidence, math.log(evidence))


def by_r(data: bm.EffectSizes) -> float | None:
    """Return the seconds one fit takes in the R package bayesmeta; None where it is not installed."""
    if shutil.which("Rscript") is None:
        return None
    code = f"""
    if (!requireNamespace("bayesmeta", quietly = TRUE)) quit(status = 3)
    y <- c({",".join(map(repr, data.yi.tolist()))}); s <- c({",".join(map(repr, data.sei.tolist()))})
    t <- system.time(for (i in 1:3) bayesmeta::bayesmeta(y, s, mu.prior = c(0, 2.82),
      tau.prior = function(t) bayesmeta::dhalfnormal(t, scale = 0.5)))
    cat(t[["elapsed"]] / 3)
    """
    done = subprocess.run(["Rscript", "-e", code], capture_output=True, text=True, check=False)
    return float(done.stdout) if done.returncode == 0 else None


def against_others() -> Iterator[tuple[str, float, str]]:
    """Yield the cost of a fit and its ratios to other implementations."""
    data = effects(10)
    worst = max(abs(a - b) for a, b in zip(report(data), by_scipy(data), strict=True))
    fit = fastest(lambda: bm.fit(data, priors=PRIORS, engine="quadrature"), 50)
    full = fastest(lambda: report(data), 20)
    yield "one fit, k = 10", 1e3 * fit, "ms"
    yield "fit and report, k = 10", 1e3 * full, "ms"
    yield "scipy.integrate.quad / fit and report", fastest(lambda: by_scipy(data), 1) / full, "times"
    yield "largest difference from scipy.integrate.quad", worst, "absolute"
    r = by_r(data)
    if r is not None:
        yield "R bayesmeta / fit and report", r / full, "times"


def against_k() -> Iterator[tuple[str, float, str]]:
    """Yield the cost of a fit against the number of studies; constant per study means linear."""
    base = fastest(lambda: bm.fit(effects(10), priors=PRIORS, engine="quadrature"), 20)
    for k in (10, 100, 1_000, 10_000, 100_000):
        data = effects(k)
        seconds = fastest(lambda d=data: bm.fit(d, priors=PRIORS, engine="quadrature"), 3)
        yield f"k = {k} / k = 10", seconds / base, "times"


def against_batch() -> Iterator[tuple[str, float, str]]:
    """Yield the cost of one analysis in batches of growing size, and of a grid of priors, in single fits."""
    rng = np.random.default_rng(2)
    single = fastest(lambda: bm.fit(effects(4), priors=PRIORS, engine="quadrature"), 30)
    for size in (10, 100, 1_000, 10_000):
        yi, sei = rng.standard_normal((size, 4)), rng.uniform(0.2, 0.8, (size, 4))
        seconds = fastest(lambda y=yi, s=sei: bm.fit_many((y, s), priors=PRIORS), 2)
        yield f"analyses a second in a batch of {size}, k = 4", size / seconds, "per second"
        yield f"single fit / analysis in a batch of {size}", single * size / seconds, "times"
    data = effects(10)
    grid = [
        {"mu": f"normal(0, {a})", "tau": f"half_normal({b})"}
        for a in np.linspace(0.5, 5, 20)
        for b in np.linspace(0.1, 2, 20)
    ]
    one = fastest(lambda: report(data), 30)
    seconds = fastest(lambda: bm.fit_many(data, priors=grid), 3)
    yield "20 x 20 grid of priors, k = 10, in single fits and reports", seconds / one, "fits (at most 150)"


def main() -> None:
    """Print the table and write the record."""
    rows = [row for part in (against_others, against_k, against_batch) for row in part()]
    for name, value, unit in rows:
        print(f"{name:60s} {value:12.4g} {unit}")
    RECORD.parent.mkdir(exist_ok=True)
    with RECORD.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["question", "value", "unit"])
        writer.writerows((name, f"{value:.6g}", unit) for name, value, unit in rows)


if __name__ == "__main__":
    main()
