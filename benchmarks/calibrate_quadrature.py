"""Calibration of the quadrature engine, every model it does.

Question it answers: when truths are drawn from the prior and data from the model, is the posterior
probability below the truth uniform, for every quantity reported? (Cook, Gelman & Rubin 2006, Journal of
Computational and Graphical Statistics 15:675-692.)

Run ``python benchmarks/calibrate_quadrature.py`` for the record (20,000 simulated meta-analyses a model), or
name some with ``--models``: the others keep their rows. Analyses one by one are kept in blocks under ``--parts``, each
with its git hash, and a run that was stopped, on whatever machine, goes on from there; once a model has its rows its
blocks are deleted. The record is a CSV row per model, prior and quantity, with seed and git hashes.

The first analyses of every model stand number by number in a second record, written with the first (or by ``--sample``
alone): as long as today's code gives the same numbers, the record proves today's code.
"""

import argparse
import concurrent.futures
import csv
import math
import subprocess
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import special, stats

import bayesmeta as bm
from bayesmeta.studies import PersonTime, TwoByTwo

RECORD = Path(__file__).parent / "records" / "calibrate_quadrature.csv"
SAMPLE = RECORD.with_name("calibrate_quadrature_sample.csv")
SAMPLE_FIELDS = ("model", "prior", "replicate", "quantity", "probability")
PARTS = RECORD.parent / "unfinished"
SEED = 20261125
ANALYSES = 20_000
BLOCK = 250
FIELDS = ("model", "prior", "quantity", "n", "declined", "ks_p", "chi2_p", "coverage50", "coverage95", "seed", "git")

type Simulated = tuple[object, dict[str, float]]


@dataclass(frozen=True, slots=True)
class Setting:
    """The normal model under one prior: scipy's version draws the truth, the text form is what the engine is given."""

    mu_scale: float
    tau: stats.rv_continuous
    tau_text: str


@dataclass(frozen=True, slots=True)
class OneByOne:
    """A model whose analyses are fitted one by one.

    ``simulate`` draws truths by quantity (names of a posterior's marginals) and the data they make.
    """

    simulate: Callable[[np.random.Generator], Simulated]
    priors: dict[str, str]

    @property
    def prior_text(self) -> str:
        """Priors in one line."""
        return "; ".join(f"{name} {text}" for name, text in self.priors.items())


SETTINGS = (
    Setting(2.82, stats.halfnorm(scale=0.5), "half_normal(0.5)"),
    Setting(1.0, stats.halfcauchy(scale=0.5), "half_cauchy(0.5)"),
    Setting(1.0, stats.lognorm(0.67, scale=np.exp(-1.97)), "log_normal(-1.97, 0.67)"),
)


def calibrate(setting: Setting, analyses: int, seed: int) -> dict[str, np.ndarray]:
    """Return ``(analyses,)`` posterior probabilities below the truth, by quantity, of the normal model in one batch.

    Data are measured from the truth, so that it is 0 in every analysis and the prior's mean moves instead.
    """
    rng = np.random.default_rng(seed)
    k = rng.integers(2, 13, analyses)
    mu = setting.mu_scale * rng.standard_normal(analyses)
    tau = setting.tau.rvs(analyses, random_state=rng)
    new = mu + tau * rng.standard_normal(analyses)
    sei = np.exp(rng.normal(-1.2, 0.6, (analyses, 12)))
    yi = mu[:, None] + np.hypot(sei, tau[:, None]) * rng.standard_normal(sei.shape)
    sei[np.arange(12) >= k[:, None]] = np.nan
    yi[np.isnan(sei)] = np.nan
    found = bm.fit_many(
        (yi, sei),
        priors={"mu": f"normal(0, {setting.mu_scale})", "tau": setting.tau_text},
        above=np.column_stack([mu, new]),
        tau_above=tau[:, None],
    )
    return {
        "mu": 1.0 - found.mu_above.values[:, 0],
        "theta_new": 1.0 - found.theta_new_above.values[:, 1],
        "tau": 1.0 - found.tau_exceeds.values[:, 0],
    }


# The truths and data of each model are written here from the formulas in its docstring, not with its own code.

K = 3


def random_effects(
    rng: np.random.Generator, mu_sd: float, tau_sd: float, noise: np.ndarray
) -> tuple[dict[str, float], np.ndarray]:
    """Return truths and the studies' true effects; the last of `noise` is a new study's."""
    mu, tau = mu_sd * rng.standard_normal(), tau_sd * abs(rng.standard_normal())
    theta = mu + tau * noise
    return {"mu": mu, "tau": tau, "theta": theta[0], "theta_new": theta[-1]}, theta[:-1]


def common_effect(rng: np.random.Generator) -> Simulated:
    """Estimates of one effect."""
    sei, mu = rng.uniform(0.1, 0.6, K), rng.standard_normal()
    return bm.EffectSizes(mu + sei * rng.standard_normal(K), sei), {"mu": mu}


def meta_regression(rng: np.random.Generator) -> Simulated:
    """Eight estimates, whose effects go with a moderator."""
    k = 8
    sei, year = rng.uniform(0.1, 0.6, k), rng.standard_normal(k)
    beta, tau = rng.standard_normal(2), 0.5 * abs(rng.standard_normal())
    theta = beta[0] + beta[1] * year + tau * rng.standard_normal(k)
    X = np.column_stack([np.ones(k), year])
    data = bm.EffectSizes(theta + sei * rng.standard_normal(k), sei, X=X, terms=("intercept", "year"))
    return data, {"beta[intercept]": beta[0], "beta[year]": beta[1], "tau": tau, "theta": theta[0]}


def robust_t(rng: np.random.Generator) -> Simulated:
    """Estimates whose true effects have four degrees of freedom."""
    truth, theta = random_effects(rng, 1.0, 0.5, rng.standard_t(4.0, K + 1))
    sei = rng.uniform(0.1, 0.6, K)
    return bm.EffectSizes(theta + sei * rng.standard_normal(K), sei), truth


def two_by_two(
    rng: np.random.Generator, arms: Callable[[float, float], tuple[float, float]], mu_sd: float, tau_sd: float
) -> Simulated:
    """Small 2x2 tables; ``arms`` maps baseline and theta to the risks of the control and the treatment arm."""
    truth, theta = random_effects(rng, mu_sd, tau_sd, rng.standard_normal(K + 1))
    baseline, n = rng.normal(-1.0, 1.0, K), rng.integers(8, 60, (2, K))
    p = np.array([arms(a, t) for a, t in zip(baseline, theta, strict=True)]).T
    control, treatment = rng.binomial(n, p)
    return TwoByTwo(treatment, n[1], control, n[0]), truth


def control_arms(alpha: float, theta: float) -> tuple[float, float]:
    """The baseline is the control arm's log odds."""
    return special.expit(alpha), special.expit(alpha + theta)


def symmetric_arms(alpha: float, theta: float) -> tuple[float, float]:
    """The baseline is the mean of both arms' log odds."""
    return special.expit(alpha - theta / 2), special.expit(alpha + theta / 2)


def risks(alpha: float, pair: Callable[[float], tuple[float, float]]) -> tuple[float, float]:
    """Return the risks with mean log odds alpha among those that `pair` gives for x in (0, 1), by bisection on x."""
    low, high = -60.0, 60.0
    for _ in range(80):
        middle = 0.5 * (low + high)
        p0, p1 = np.clip(pair(special.expit(middle)), 1e-300, 1.0 - 1e-16)
        low, high = (middle, high) if 0.5 * (special.logit(p0) + special.logit(p1)) < alpha else (low, middle)
    p0, p1 = pair(special.expit(0.5 * (low + high)))
    return min(max(p0, 0.0), 1.0), min(max(p1, 0.0), 1.0)


def ratio_arms(alpha: float, theta: float) -> tuple[float, float]:
    """Two risks with log ratio theta and mean log odds alpha."""
    ratio = math.exp(-abs(theta))
    return risks(alpha, lambda x: (ratio * x, x) if theta > 0 else (x, ratio * x))


def difference_arms(alpha: float, theta: float) -> tuple[float, float]:
    """Two risks with difference theta, within (-1, 1), and mean log odds alpha."""
    room, up = 1.0 - abs(theta), abs(theta)
    return risks(alpha, lambda x: (room * x, room * x + up) if theta > 0 else (room * x + up, room * x))


def poisson_normal(rng: np.random.Generator) -> Simulated:
    """Few events per person-time."""
    truth, theta = random_effects(rng, 1.0, 0.5, rng.standard_normal(K + 1))
    alpha, time = rng.normal(-1.0, 1.0, K), rng.uniform(5.0, 60.0, (2, K))
    control, treatment = rng.poisson(time[0] * np.exp(alpha)), rng.poisson(time[1] * np.exp(alpha + theta))
    return PersonTime(treatment, time[1], control, time[0]), truth


def hypergeometric_normal(rng: np.random.Generator) -> Simulated:
    """Small 2x2 tables whose totals of events do not depend on the effect."""
    truth, theta = random_effects(rng, 1.0, 0.5, rng.standard_normal(K + 1))
    n = rng.integers(8, 60, (2, K))
    events = rng.binomial(n.sum(axis=0), special.expit(rng.normal(-1.0, 1.0, K)))
    treatment = np.array(
        [
            stats.nchypergeom_fisher.rvs(n0 + n1, n1, e, math.exp(t), random_state=rng)
            for n0, n1, e, t in zip(*n, events, theta, strict=True)
        ]
    )
    return TwoByTwo(treatment, n[1], events - treatment, n[0]), truth


BOTH = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)"}
TABLES = {**BOTH, "baseline": "normal(-1, 1)"}
ONE_BY_ONE = {
    "common_effect": OneByOne(common_effect, {"mu": "normal(0, 1)"}),
    "meta_regression": OneByOne(
        meta_regression, {"intercept": "normal(0, 1)", "beta": "normal(0, 1)", "tau": "half_normal(0.5)"}
    ),
    "robust_t": OneByOne(robust_t, BOTH),
    "binomial_normal": OneByOne(lambda rng: two_by_two(rng, control_arms, 1.0, 0.5), TABLES),
    "binomial_normal_symmetric": OneByOne(lambda rng: two_by_two(rng, symmetric_arms, 1.0, 0.5), TABLES),
    "binomial_normal_rr": OneByOne(lambda rng: two_by_two(rng, ratio_arms, 1.0, 0.5), TABLES),
    # Risk differences lie between -1 and 1 with these priors as good as always.
    "binomial_normal_rd": OneByOne(
        lambda rng: two_by_two(rng, difference_arms, 0.15, 0.08),
        {"mu": "normal(0, 0.15)", "tau": "half_normal(0.08)", "baseline": "normal(-1, 1)"},
    ),
    "poisson_normal": OneByOne(poisson_normal, TABLES),
    "hypergeometric_normal": OneByOne(hypergeometric_normal, BOTH),
}
MODELS = ("normal_normal", *ONE_BY_ONE)


def analyse(name: str, seed: int, replicate: int) -> dict[str, float]:
    """Return the posterior probabilities below the truth of one simulated meta-analysis; nan where it is declined."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode()), replicate])
    data, truth = ONE_BY_ONE[name].simulate(rng)
    try:
        post = bm.fit(data, name, priors=ONE_BY_ONE[name].priors, engine="quadrature")
        theta = next(iter(post.theta.values())) if "theta" in truth else None
        marginals = {quantity: theta if quantity == "theta" else post[quantity] for quantity in truth}
        return {quantity: float(marginals[quantity].cdf(truth[quantity])) for quantity in truth}
    except bm.ConvergenceError:
        return dict.fromkeys(truth, math.nan)


def block(name: str, seed: int, start: int, stop: int) -> dict[str, np.ndarray]:
    """Return `analyse` of replicates from start to stop, by quantity."""
    rows = [analyse(name, seed, replicate) for replicate in range(start, stop)]
    return {quantity: np.array([row[quantity] for row in rows]) for quantity in rows[0]}


def blocks_of(name: str, analyses: int, seed: int, parts: Path) -> dict[tuple[int, int], Path]:
    """Return first and last replicate of every block, and its file."""
    ends = [(start, min(start + BLOCK, analyses)) for start in range(0, analyses, BLOCK)]
    return {(start, stop): parts / f"{name}-{seed}-{start}-{stop}.npz" for start, stop in ends}


def one_by_one(
    name: str, analyses: int, seed: int, parts: Path, processes: int
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return posterior probabilities below the truth, computed in blocks that are kept in files, and their commits."""
    files = blocks_of(name, analyses, seed, parts)
    missing = [ends for ends, path in files.items() if not path.is_file()]
    parts.mkdir(parents=True, exist_ok=True)
    with concurrent.futures.ProcessPoolExecutor(processes) as pool:
        futures = {pool.submit(block, name, seed, *ends): ends for ends in missing}
        for done, future in enumerate(concurrent.futures.as_completed(futures), 1):
            path = files[futures[future]]
            unfinished = path.with_suffix(".tmp.npz")
            pits = {quantity: pit.astype(np.float32) for quantity, pit in future.result().items()}
            np.savez_compressed(unfinished, git=git_hash(), **pits)
            unfinished.replace(path)
            print(f"{name}: {done} of {len(missing)} blocks", flush=True)
    blocks = [dict(np.load(path)) for path in files.values()]
    commits = sorted({str(part.pop("git")) for part in blocks})
    return {quantity: np.concatenate([b[quantity] for b in blocks]).astype(float) for quantity in blocks[0]}, commits


def summarise(pit: np.ndarray) -> dict[str, float]:
    """Return uniformity tests of posterior probabilities and the coverage of 50% and 95% intervals."""
    kept = pit[~np.isnan(pit)]
    counts = np.histogram(kept, bins=20, range=(0.0, 1.0))[0]
    return {
        "n": len(kept),
        "declined": len(pit) - len(kept),
        "ks_p": float(stats.kstest(kept, "uniform").pvalue),
        "chi2_p": float(stats.chisquare(counts).pvalue),
        "coverage50": float(np.mean(np.abs(kept - 0.5) <= 0.25)),
        "coverage95": float(np.mean(np.abs(kept - 0.5) <= 0.475)),
    }


def git_hash() -> str:
    """Return the commit the record was made at."""
    done = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent,
    )
    return done.stdout.strip()


def rows_of(name: str, analyses: int, seed: int, parts: Path, processes: int) -> Iterator[dict[str, object]]:
    """Yield the record's rows of one model."""
    commits = [git_hash()]
    if name == "normal_normal":
        found = [(s.tau_text, calibrate(s, analyses, seed)) for s in SETTINGS]
    else:
        pits, commits = one_by_one(name, analyses, seed, parts, processes)
        found = [(ONE_BY_ONE[name].prior_text, pits)]
    for prior, pits in found:
        for quantity, pit in pits.items():
            row = {"model": name, "prior": prior, "quantity": quantity, **summarise(pit), "seed": seed}
            yield {**row, "git": " ".join(commits)}


def write(name: str, fresh: list[dict[str, object]], record: Path) -> None:
    """Put a model's rows in the place of those it had in the record."""
    kept = []
    if record.is_file():
        with record.open(encoding="utf-8", newline="") as file:
            kept = [row for row in csv.DictReader(file) if row["model"] != name]
    record.parent.mkdir(exist_ok=True)
    with record.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=FIELDS, lineterminator="\n", restval="0")
        writer.writeheader()
        writer.writerows(sorted([*kept, *fresh], key=lambda row: MODELS.index(str(row["model"]))))


def sample(name: str) -> Iterator[dict[str, object]]:
    """Yield the posterior probabilities below the truth of a model's first analyses."""
    if name == "normal_normal":
        found = [(s.tau_text, calibrate(s, 20, SEED)) for s in SETTINGS]
    else:
        found = [(ONE_BY_ONE[name].prior_text, block(name, SEED, 0, 4))]
    for prior, pits in found:
        for quantity, values in pits.items():
            for replicate, value in enumerate(values):
                yield dict(zip(SAMPLE_FIELDS, (name, prior, replicate, quantity, f"{value:.10f}"), strict=True))


def write_sample(models: Iterable[str]) -> None:
    """Write the sample of some models; the others keep their rows."""
    kept: list[dict[str, object]] = []
    if SAMPLE.is_file():
        with SAMPLE.open(encoding="utf-8", newline="") as file:
            kept = [row for row in csv.DictReader(file) if row["model"] not in models]
    fresh = [row for name in models for row in sample(name)]
    with SAMPLE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=SAMPLE_FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted([*kept, *fresh], key=lambda row: MODELS.index(str(row["model"]))))


def main() -> None:
    """Calibrate the models named and write the record, one model after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="*", default=MODELS, choices=MODELS)
    parser.add_argument("--analyses", type=int, default=ANALYSES)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--parts", type=Path, default=PARTS, help="folder of finished blocks")
    parser.add_argument("--record", type=Path, default=RECORD)
    parser.add_argument("--sample", action="store_true", help="write the first analyses of each model, and stop")
    options = parser.parse_args()
    if options.sample:
        write_sample(options.models)
        return
    for name in options.models:
        fresh = list(rows_of(name, options.analyses, options.seed, options.parts, options.processes))
        write(name, fresh, options.record)
        write_sample([name])
        print(*fresh, sep="\n", flush=True)
        for path in blocks_of(name, options.analyses, options.seed, options.parts).values():
            path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
