"""Cost of the quadrature engine for normal models, as ratios measured in one run.

Questions it answers: how many times faster is a fit than a straightforward scipy.integrate.quad
implementation, than the R package bayesmeta where it is installed, and than NUTS per effective draw? Does
the cost grow linearly with the number of studies? What does one analysis cost in batches of growing size,
and a 20 x 20 grid of priors in single fits?

Run ``python benchmarks/bench_quadrature.py``; it prints the table and writes records/bench_quadrature.csv.
R finds a bayesmeta in a library of your own by the variable R_LIBS.
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
from nuts_cost import against_nuts
from scipy import integrate, optimize, special, stats

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


R_SCRIPT = """
if (!requireNamespace("bayesmeta", quietly = TRUE)) quit(status = 3)
suppressMessages(library(bayesmeta))
y <- c({y}); s <- c({s})
one <- function(delta, epsilon) {{
  elapsed <- system.time({{
    b <- bayesmeta(y, s, mu.prior = c(0, 2.82), tau.prior = function(t) dhalfnormal(t, scale = 0.5),
                   interval.type = "central", delta = delta, epsilon = epsilon)
    figures <- c(b$qposterior(mu.p = 0.025), b$qposterior(mu.p = 0.975), b$qposterior(tau.p = 0.025),
                 b$qposterior(tau.p = 0.975), b$qposterior(theta.p = 0.025, predict = TRUE),
                 b$qposterior(theta.p = 0.975, predict = TRUE), 1 - b$pposterior(mu = 0), log(b$marginal))
  }})[["elapsed"]]
  cat(sprintf("%.17g", c(elapsed, figures)), "\\n")
}}
one(0.01, 1e-4); for (i in 1:3) one(0.01, 1e-4)
one(1e-3, 1e-6); one(1e-4, 1e-8)
cat(as.character(packageVersion("bayesmeta")), "\\n")
"""


def by_r(data: bm.EffectSizes) -> tuple[np.ndarray, str] | None:
    """Return ``(6, 9)`` seconds and figures of fits by the R package bayesmeta, and its version; None without it.

    Rows: the first fit of the session and three more at its default accuracy, one tighter, one tighter still. R's
    own start is not counted. A package in a library of one's own is found by R_LIBS, as R finds it.
    """
    if shutil.which("Rscript") is None:
        return None
    y, s = (", ".join(map(repr, values.tolist())) for values in (data.yi, data.sei))
    done = subprocess.run(
        ["Rscript", "-e", R_SCRIPT.format(y=y, s=s)], capture_output=True, text=True, check=False, timeout=1800
    )
    if done.returncode == 3:
        return None
    if done.returncode:
        raise RuntimeError(done.stderr)
    *rows, version = done.stdout.strip().splitlines()
    return np.array([row.split() for row in rows], dtype=float), version.strip()


def given_tau(data: bm.EffectSizes, tau: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return density of tau times likelihood, and mean and SD of mu, at each tau."""
    w = 1.0 / (data.vi + tau[:, None] ** 2)
    precision = w.sum(axis=1) + 2.82**-2
    mean = (w @ data.yi) / precision
    loglik = 0.5 * (np.log(w).sum(axis=1) - np.log(precision) - data.k * math.log(2 * math.pi)) - math.log(2.82)
    loglik -= 0.5 * ((w @ data.yi**2) - precision * mean**2)
    return np.exp(loglik + stats.halfnorm.logpdf(tau, scale=0.5)), mean, precision**-0.5


def by_dense_sum(data: bm.EffectSizes) -> np.ndarray:
    """Return the same numbers as `report`, to 1e-12: a trapezoidal sum over 4001 values of log tau, and bisection."""
    u, step = np.linspace(-30.0, math.log(6.0), 4001, retstep=True)
    tau = np.exp(u)
    density, mean, sd = given_tau(data, tau)
    mass = density * tau * step
    # Below exp(-30) the density is constant; the first node stands for that tail and half a step.
    mass[0] *= 1.0 / step + 0.5
    evidence = mass.sum()
    x, weight = np.polynomial.legendre.leggauss(200)

    def below(x_of_mu: float, spread: np.ndarray) -> float:
        return float(mass @ special.ndtr((x_of_mu - mean) / spread) / evidence)

    def tau_below(t: float) -> float:
        return float(0.5 * t * weight @ given_tau(data, 0.5 * t * (x + 1.0))[0] / evidence)

    def quantile(cdf: Callable[[float], float], q: float, low: float) -> float:
        return float(optimize.brentq(lambda x: cdf(x) - q, low, 9.0, xtol=1e-13))

    limits = [quantile(lambda x: below(x, sd), q, -9.0) for q in (0.025, 0.975)]
    limits += [quantile(tau_below, q, 1e-9) for q in (0.025, 0.975)]
    limits += [quantile(lambda x: below(x, np.hypot(sd, tau)), q, -9.0) for q in (0.025, 0.975)]
    return np.array([*limits, 1.0 - below(0.0, sd), math.log(evidence)])


def against_others() -> Iterator[tuple[str, float, str]]:
    """Yield the cost of a fit and its ratios to other implementations, and how far each is from exact numbers."""
    data = effects(10)
    exact = by_dense_sum(data)
    fit = fastest(lambda: bm.fit(data, priors=PRIORS, engine="quadrature"), 50)
    full = fastest(lambda: report(data), 20)
    yield "one fit, k = 10", 1e3 * fit, "ms"
    yield "fit and report, k = 10", 1e3 * full, "ms"
    yield "largest error of fit and report", float(np.abs(report(data) - exact).max()), "absolute"
    yield "scipy.integrate.quad / fit and report", fastest(lambda: by_scipy(data), 1) / full, "times"
    yield "largest error of scipy.integrate.quad", float(np.abs(by_scipy(data) - exact).max()), "absolute"
    yield from against_r(data, exact, full)
    yield from against_nuts(data, "normal_normal", full, **PRIORS)


def against_r(data: bm.EffectSizes, exact: np.ndarray, full: float) -> Iterator[tuple[str, float, str]]:
    """Yield the same for the R package bayesmeta, or that it was not there."""
    found = by_r(data)
    if found is None:
        yield "R bayesmeta / fit and report", math.nan, "the R package bayesmeta is not installed here"
        return
    rows, version = found
    name = f"R bayesmeta {version}"
    errors = np.abs(rows[:, 1:] - exact).max(axis=1)
    yield f"{name}, first fit of a session / fit and report", rows[0, 0] / full, "times"
    yield f"{name}, further fits / fit and report", rows[1:4, 0].min() / full, "times"
    yield f"{name}, delta = 1e-3, epsilon = 1e-6 / fit and report", rows[4, 0] / full, "times"
    yield f"{name}, delta = 1e-4, epsilon = 1e-8 / fit and report", rows[5, 0] / full, "times"
    yield f"largest error of {name}", errors[0], "absolute"
    yield f"largest error of {name}, delta = 1e-3, epsilon = 1e-6", errors[4], "absolute"
    yield f"largest error of {name}, delta = 1e-4, epsilon = 1e-8", errors[5], "absolute"


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
        print(f"{name:68s} {value:12.4g} {unit}")
    RECORD.parent.mkdir(exist_ok=True)
    with RECORD.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["question", "value", "unit"])
        writer.writerows((name, f"{value:.6g}", unit) for name, value, unit in rows)


if __name__ == "__main__":
    main()
