"""Cost of one posterior of an exact binomial likelihood, as ratios measured in one run.

Questions it answers: does a full fit of ``binomial_normal`` with ten studies (mu and tau with intervals, evidence)
take under 0.1 s of processor time? How does that compare with NUTS on the same compiled model, in total and per
effective draw, and with nested ``scipy.integrate`` written down straightforwardly?

The nested integrals would take hours, so their cost is extrapolated, and labelled so: the time of one average at
one (mu, tau), times the pairs at which ``dblquad`` asks, times the number of studies.

Run ``python benchmarks/bench_exact.py [--without-nuts]``; it prints the table and writes records/exact.csv.
Processor times are the fastest of several repeats, which a busy machine disturbs least.
"""

import argparse
import csv
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from nuts_cost import against_nuts
from scipy import integrate, special, stats

import bayesmeta as bm
from bayesmeta.posterior import Posterior
from bayesmeta.studies import TwoByTwo

RECORD = Path(__file__).parent / "records" / "exact.csv"
SEED = 1


def tables(k: int = 10) -> TwoByTwo:
    """Return simulated trials of 30 to 200 patients an arm, with risks of 12 and 20 percent."""
    rng = np.random.default_rng(SEED)
    n_treatment, n_control = rng.integers(30, 200, k), rng.integers(30, 200, k)
    return TwoByTwo(rng.binomial(n_treatment, 0.12), n_treatment, rng.binomial(n_control, 0.2), n_control)


def full_fit(data: TwoByTwo, model: str) -> Posterior:
    """Fit, and ask for what a report asks first: intervals of mu and tau, and the evidence."""
    post = bm.fit(data, model=model, engine="quadrature")
    post.mu.eti()
    post.tau.eti()
    assert post.log_evidence is not None
    return post


def fastest(work: Callable[[], object], repeats: int) -> float:
    """Return the least processor time of several repeats, in seconds."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def nested_average(data: TwoByTwo, i: int, mu: float, tau: float) -> float:
    """Average one study's likelihood over its baseline and its random effect, by scipy's nested quadrature."""
    c, n0 = data.events_control[i], data.n_control[i]
    a, n1 = data.events_treatment[i], data.n_treatment[i]
    place = special.logit((c + 0.5) / (n0 + 1))

    def integrand(alpha: float, theta: float) -> float:
        arms = stats.binom.pmf(c, n0, special.expit(alpha)) * stats.binom.pmf(a, n1, special.expit(alpha + theta))
        return float(arms * stats.norm.pdf(alpha, 0, 10) * stats.norm.pdf(theta, mu, tau))

    low, high = mu - 8 * tau, mu + 8 * tau
    return integrate.dblquad(integrand, low, high, place - 4, place + 4, epsabs=1e-16, epsrel=1e-8)[0]


def questions(post: Posterior) -> int:
    """Return at how many pairs (mu, tau) dblquad asks for evidence and means of a posterior shaped like this one."""
    mean, sd, width = post.mu.mean(), post.mu.sd(), post.tau.sd()
    asked = 0

    def density(mu: float, tau: float) -> float:
        nonlocal asked
        asked += 1
        return math.exp(-0.5 * ((mu - mean) / sd) ** 2 - 0.5 * (tau / width) ** 2)

    for moment in (lambda mu, tau: 1.0, lambda mu, tau: mu, lambda mu, tau: tau):
        integrate.dblquad(
            lambda mu, tau, g=moment: density(mu, tau) * g(mu, tau),
            0.0, 10 * width, mean - 8 * sd, mean + 8 * sd, epsabs=1e-12, epsrel=1e-8,
        )  # fmt: skip
    return asked


def rows(nuts: bool) -> Iterator[tuple[str, float, str]]:
    """Yield question, value and unit."""
    data = tables()
    post = full_fit(data, "binomial_normal")
    seconds = fastest(lambda: full_fit(data, "binomial_normal"), 15)
    yield "binomial_normal, k = 10: full fit, processor time (at most 0.1)", seconds, "s"
    yield "its own error estimate", post.diagnostics.figures["error_estimate"], "relative"
    for model in ("binomial_normal_symmetric", "hypergeometric_normal", "binomial_normal_rr", "binomial_normal_rd"):
        yield f"{model}, k = 10: full fit, processor time", fastest(lambda m=model: full_fit(data, m), 3), "s"
    for k in (3, 30, 100):
        other = tables(k)
        yield (
            f"binomial_normal, k = {k} / k = 10",
            fastest(lambda d=other: full_fit(d, "binomial_normal"), 3) / seconds,
            "x",
        )
    mu, tau = post.mu.mean(), post.tau.mean()
    one = fastest(lambda: nested_average(data, 0, mu, tau), 1)
    asked = questions(post)
    yield "nested scipy: one study at one (mu, tau)", one, "s"
    yield "nested scipy: pairs (mu, tau) for evidence and two means", asked, "pairs"
    yield "nested scipy / full fit, extrapolated", one * asked * data.k / seconds, "times"
    if nuts:
        yield from against_nuts(data, "binomial_normal", seconds)


def main() -> None:
    """Print the table and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--without-nuts", action="store_true", help="leave out what needs a compiler")
    found = []
    for name, value, unit in rows(not parser.parse_args().without_nuts):
        print(f"{name:66s} {value:12.4g} {unit}", flush=True)
        found.append((name, f"{value:.6g}", unit))
    RECORD.parent.mkdir(exist_ok=True)
    with RECORD.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["question", "value", "unit"])
        writer.writerows(found)


if __name__ == "__main__":
    main()
