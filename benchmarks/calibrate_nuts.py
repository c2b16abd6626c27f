"""Simulation-based calibration of every model under NUTS.

Question it answers: if parameters are drawn from the priors and data from the model, does the
posterior give the true value every rank equally often? (Talts, Betancourt, Simpson, Vehtari &
Gelman 2018, arXiv:1804.06788.) One row of the record is one parameter of one replicate.

Run: ``python benchmarks/calibrate_nuts.py [--replicates 250] [--models normal_normal ...]``; models
not named keep their rows. ``tests/engines/test_nuts_calibration.py`` tests the record.
"""

import argparse
import csv
import dataclasses
import sys
import time
from pathlib import Path

import numpy as np
from fingerprints import fingerprint

from bayesmeta.effects import contrasts
from bayesmeta.engines.sampling.chains import Settings, run
from bayesmeta.engines.sampling.compiled.program_cache import prepare
from bayesmeta.engines.sampling.results import hierarchical
from bayesmeta.engines.sampling.results.predictive import draw_prior, draw_theta
from bayesmeta.engines.sampling.results.quantities import derive
from bayesmeta.gaussian.covariance import Covariance
from bayesmeta.gaussian.pymc_program import build
from bayesmeta.gaussian.simulate import simulate
from bayesmeta.gaussian.statement import Gaussian
from bayesmeta.model import Model, list_models, load_model
from bayesmeta.studies import Contrasts, DiagnosticTable, DoseResponse, EffectSizes, NetworkTable, PersonTime, TwoByTwo

RECORD = Path(__file__).parent / "records" / "calibrate_nuts.csv"
FIELDS = ("model", "program", "replicate", "parameter", "rank", "of")
SETTINGS = Settings(draws=100, tune=600, thin=10, chains=2, target_accept=0.95)
# Priors under which simulated studies look like real ones.
PRIORS = {
    "mu": "normal(0, 1)",
    "tau": "half_normal(0.5)",
    "omega": "half_normal(0.3)",
    "intercept": "normal(0, 1)",
    "beta": "normal(0, 1)",
    "baseline": "normal(-1.5, 1)",
    "baseline_sd": "half_normal(1)",
    "rho": "beta(2, 8)",
}
# Risk differences are of another size, and lie between -1 and 1 with these priors as good as always.
OWN = {
    "bivariate": {"rho": "lkj(2)"},
    "diagnostic_accuracy": {"rho": "lkj(2)"},
    "binomial_normal_rd": {"mu": "normal(0, 0.15)", "tau": "half_normal(0.08)"},
}
K = 6


def design(model: Model):
    """Return studies whose outcomes are to be replaced by simulated ones."""
    rng = np.random.default_rng(20)
    return DESIGNS[model.data_type](model, rng)


def effect_design(model: Model, rng: np.random.Generator) -> EffectSizes:
    """Return effect sizes: with moderators, several rows a study, or two outcomes, as the model takes them."""
    if model.takes_dependent_rows and "rho" in model.priors:
        cluster, outcome = np.repeat(np.arange(K), 2).astype(str), np.tile(["x", "y"], K)
        sei = rng.uniform(0.1, 0.6, 2 * K)
        return EffectSizes(np.zeros(2 * K), sei, cluster=cluster, outcome=outcome, sampling_correlation=0.3)
    if model.takes_dependent_rows:
        cluster = np.repeat(np.arange(K), 3).astype(str)
        R = 0.6 ** np.abs(np.subtract.outer(np.arange(K), np.arange(K)))
        return EffectSizes(np.zeros(3 * K), rng.uniform(0.1, 0.6, 3 * K), cluster=cluster, R=R)
    X = np.column_stack([np.ones(K), rng.normal(size=K), np.arange(K) % 2])
    return EffectSizes(np.zeros(K), rng.uniform(0.1, 0.6, K), X=X, terms=("intercept", "year", "blinded"))


def dose_design(model: Model, rng: np.random.Generator) -> DoseResponse:
    """Return cases at three doses of each study."""
    study, dose = np.repeat(np.arange(K), 3).astype(str), np.tile([0.0, 1.0, 2.5], K)
    return DoseResponse(study, dose, rng.integers(20, 60, 3 * K), np.full(3 * K, 400), "ir")


def table_design(model: Model, rng: np.random.Generator) -> TwoByTwo:
    """Return 2x2 tables with events in every arm."""
    n = rng.integers(20, 120, (2, K))
    # The conditional model keeps each study's total number of events.
    return TwoByTwo(rng.integers(1, 9, K), n[0], rng.integers(1, 12, K), n[1])


def network_design(model: Model, rng: np.random.Generator) -> NetworkTable:
    """Return arms of three treatments: studies of two and of three arms, and two designs for every comparison."""
    arms = ["ABC", "AB", "BC", "AC", "CBA", "AB"]
    study = [str(i) for i, names in enumerate(arms) for _ in names]
    events, n = rng.integers(10, 30, len(study)), rng.integers(60, 120, len(study))
    return NetworkTable(study, list("".join(arms)), {"events": events, "n": n})


def network_ranks(model: Model, data: NetworkTable, priors, replicate: int, rng) -> dict[str, int]:
    """Return the ranks of a network's relative effects and tau, events drawn as the model says."""
    truth = draw_prior(model, data, priors, (1, 1), rng)
    effects = {name: float(value[0, 0]) for name, value in model.reported(data, truth).items()}
    tau, events = float(truth["tau"][0, 0]), np.empty(len(data.study))
    for number, rows in enumerate(data.rows().values()):
        d = np.array([effects.get(f"mu[{data.treatment[i]}]", 0.0) for i in rows])
        u = tau * np.linalg.cholesky(0.5 + 0.5 * np.eye(len(rows) - 1)) @ rng.standard_normal(len(rows) - 1)
        logit = truth["baseline"][0, 0, number] + d - d[0] + np.concatenate([[0.0], u])
        events[rows] = rng.binomial(data.columns["n"][rows].astype(int), 1.0 / (1.0 + np.exp(-logit)))
    replica = dataclasses.replace(data, columns={**data.columns, "events": events})
    settings = dataclasses.replace(SETTINGS, seed=replicate)
    scalars = derive(model, replica, priors, run(prepare(model, replica, priors), settings), replicate).scalars
    return {name: int(np.sum(scalars[name] < value)) for name, value in {**effects, "tau": tau}.items()}


DESIGNS = {
    NetworkTable: network_design,
    Contrasts: lambda model, rng: contrasts(network_design(model, rng), "OR"),
    EffectSizes: effect_design,
    DoseResponse: dose_design,
    TwoByTwo: table_design,
    DiagnosticTable: lambda model, rng: DiagnosticTable(*rng.integers(10, 60, (4, K))),
    PersonTime: lambda model, rng: PersonTime(
        np.full(K, 5), rng.uniform(20, 200, K), np.full(K, 5), rng.uniform(20, 200, K)
    ),
}


def ranks(model: Model, replicate: int) -> dict[str, int]:
    """Return the rank of each true value among its posterior draws."""
    data = design(model)
    priors = model.with_priors({name: PRIORS[name] for name in model.priors} | OWN.get(model.name, {}))
    rng = np.random.default_rng([7, replicate])
    if model.gaussian is not None and not (given := model.gaussian(data, priors)).independent:
        return structured_ranks(model, data, given, priors, replicate, rng)
    if isinstance(data, NetworkTable):
        return network_ranks(model, data, priors, replicate, rng)
    truth = draw_prior(model, data, priors, (1,), rng)
    theta = draw_theta(model, data, priors, truth, rng)
    drawn = truth if theta is None else {**truth, "theta": theta}
    assert model.simulate is not None
    simulated = {name: values[0] for name, values in model.simulate(data, drawn, rng).items()}
    replica = dataclasses.replace(data, **simulated)
    settings = dataclasses.replace(SETTINGS, seed=replicate)
    quantities = derive(model, replica, priors, run(prepare(model, replica, priors), settings), replicate)
    named = quantities.named(replica.study)
    values = {name: float(value[0]) for name, value in truth.items() if value.ndim == 1 and name in named}
    if theta is not None:
        values |= {f"theta[{label}]": float(theta[0, i]) for i, label in enumerate(replica.study[:2])}
    if "beta" in truth:
        values |= {"beta[intercept]": float(truth["intercept"][0]), "beta[year]": float(truth["beta"][0, 0])}
    return {name: int(np.sum(named[name] < value)) for name, value in values.items()}


def structured_ranks(model: Model, data, given: Gaussian, priors, replicate: int, rng) -> dict[str, int]:
    """Return the ranks of a normal model with dependent rows: its parameters and first true effect."""
    truth = hierarchical.prior_draws(given, (1,), rng)
    beta, psi = hierarchical.beta_of(given, truth), hierarchical.psi_of(given, truth)
    made = simulate(Covariance(given), psi, rng)
    y = (beta @ given.X.T + made.rows)[0]

    def stated(*arguments) -> Gaussian:
        return dataclasses.replace(statement(*arguments), y=y)

    statement = model.gaussian
    model = dataclasses.replace(model, gaussian=stated, build=lambda *arguments: build(stated(*arguments)))
    settings = dataclasses.replace(SETTINGS, seed=replicate)
    quantities = derive(model, data, priors, run(prepare(model, data, priors), settings), replicate)
    label, effect = next(iter(given.reported.items()))
    levels = {c.name: u for c, u in zip(given.components, made.levels, strict=True)}
    first = float(beta[0] @ effect.x)
    for name, level in effect.parts.items():
        first += float(levels[name][0, given.component(name).level_names(given.n).index(level)])
    named = quantities.named(tuple(given.reported))
    values = {name: float(value[0]) for name, value in truth.items() if name in named} | {f"theta[{label}]": first}
    values |= {name: float(beta[0] @ x) for name, x in (given.means or {}).items()}
    return {name: int(np.sum(named[name] < value)) for name, value in values.items()}


def calibrate(name: str, replicates: int) -> list[dict[str, object]]:
    """Return the record's rows for one model."""
    model = load_model(name)
    of = SETTINGS.draws * SETTINGS.chains
    start, rows = time.perf_counter(), []
    for replicate in range(replicates):
        for parameter, rank in ranks(model, replicate).items():
            rows.append(dict(zip(FIELDS, (name, fingerprint(name), replicate, parameter, rank, of), strict=True)))
    print(f"{name}: {replicates} replicates in {time.perf_counter() - start:.0f} s", flush=True)
    return rows


def main() -> None:
    """Calibrate the models named and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=250)
    parser.add_argument("--models", nargs="*", default=list_models())
    chosen = parser.parse_args()
    for name in chosen.models:
        fresh = calibrate(name, chosen.replicates)
        kept = []
        if RECORD.is_file():
            with RECORD.open(newline="") as file:
                kept = [row for row in csv.DictReader(file) if row["model"] != name]
        RECORD.parent.mkdir(exist_ok=True)
        with RECORD.open("w", newline="") as file:
            writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
            writer.writeheader()
            writer.writerows([*kept, *fresh])


if __name__ == "__main__":
    sys.exit(main())
