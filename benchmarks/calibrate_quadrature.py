"""Calibration of the quadrature engine for normal models.

Question it answers: when truths are drawn from the prior and data from the model, is the posterior
probability below the truth uniform, for mu, tau and a new study's effect?

Run ``python benchmarks/calibrate_quadrature.py`` for the record (20,000 simulated meta-analyses), or
import `calibrate` for a small sample. The record is a CSV row per model and quantity, with seed and git hash.
"""

import argparse
import csv
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

import bayesmeta as bm

RECORD = Path(__file__).parent / "records" / "calibrate_quadrature.csv"
SEED = 20261123
ANALYSES = 20_000


@dataclass(frozen=True, slots=True)
class Setting:
    """A model to calibrate: scipy's version draws the truth, the text form is what the engine is given."""

    name: str
    mu_scale: float
    tau: stats.rv_continuous
    tau_text: str


SETTINGS = (
    Setting("half_normal", 2.82, stats.halfnorm(scale=0.5), "half_normal(0.5)"),
    Setting("half_cauchy", 1.0, stats.halfcauchy(scale=0.5), "half_cauchy(0.5)"),
    Setting("log_normal", 1.0, stats.lognorm(0.67, scale=np.exp(-1.97)), "log_normal(-1.97, 0.67)"),
)


def calibrate(setting: Setting, analyses: int, seed: int) -> dict[str, np.ndarray]:
    """Return ``(analyses,)`` posterior probabilities below the truth, by quantity.

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


def summarise(pit: np.ndarray) -> dict[str, float]:
    """Return uniformity tests of posterior probabilities and the coverage of 50% and 95% intervals."""
    counts = np.histogram(pit, bins=20, range=(0.0, 1.0))[0]
    return {
        "n": len(pit),
        "ks_p": float(stats.kstest(pit, "uniform").pvalue),
        "chi2_p": float(stats.chisquare(counts).pvalue),
        "coverage50": float(np.mean(np.abs(pit - 0.5) <= 0.25)),
        "coverage95": float(np.mean(np.abs(pit - 0.5) <= 0.475)),
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


def main() -> None:
    """Write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--analyses", type=int, default=ANALYSES)
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    rows, commit = [], git_hash()
    for setting in SETTINGS:
        for quantity, pit in calibrate(setting, options.analyses, options.seed).items():
            row = {"model": "normal_normal", "prior": setting.tau_text, "quantity": quantity, **summarise(pit)}
            rows.append({**row, "seed": options.seed, "git": commit})
            print(row)
    RECORD.parent.mkdir(exist_ok=True)
    with RECORD.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
