"""NUTS on every data set that ships, with every model that takes it, beside quadrature.

Question it answers: are there data sets where the sampler fails its own diagnostics (divergences,
R-hat, effective sample size), or where sampled and computed posteriors differ by more than four
Monte Carlo standard errors? ``beyond_limit`` counts the figures that do, ``beyond_again`` those
that still do in a second, longer run with another seed.

Run: ``python benchmarks/agreement_nuts.py [--models normal_normal ...] [--data NAME ...]``; analyses not
run keep their rows. ``tests/engines/test_nuts_agreement.py`` tests the record.
"""

import argparse
import csv
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import bayesmeta as bm
from bayesmeta.agreement import LIMIT, agreement
from bayesmeta.errors import BayesMetaError, DataError
from bayesmeta.model import code_hash, list_models, load_model
from bayesmeta.resources import data_dir
from bayesmeta.studies import EffectSizes, StudyTable, TwoByTwo

RECORD = Path(__file__).parent / "records" / "agreement_nuts.csv"
FIELDS = (
    "data", "outcome", "model", "code", "k", "priors", "ok", "divergences", "max_rhat", "min_ess_bulk",
    "min_ess_tail", "min_bfmi", "compared", "worst", "worst_z", "beyond_limit", "beyond_again", "remedies",
)  # fmt: skip
SEED = 1


def outcomes(name: str) -> list[str | None]:
    """Return the outcomes in a file; None where it has one."""
    frame = bm.load_dataset(name)
    return sorted(set(frame["outcome"].astype(str))) if "outcome" in frame else [None]


def tables() -> Iterator[tuple[str, str | None, str, StudyTable]]:
    """Yield name, outcome, measure and studies of every pairwise data set that can be read."""
    with (data_dir() / "INDEX.csv").open(newline="", encoding="utf-8") as file:
        index = [row for row in csv.DictReader(file) if "network" not in row["kind"]]
    for row in index:
        name = row["file"].removesuffix(".csv")
        measure = {"Peto OR/OR": "OR", "log OR": "OR", "mean": "GEN"}.get(row["measure"], row["measure"].split("/")[0])
        for outcome in outcomes(name):
            try:
                yield (
                    name,
                    outcome,
                    measure,
                    bm.read_studies(data_dir() / row["file"], outcome=outcome, duplicates="number"),
                )
            except DataError as error:
                print(f"{name} {outcome or ''}: {error}", flush=True)


def data_for(model: str, table: StudyTable, measure: str):
    """Return the value a model takes, or None where the table has no such data."""
    kind = load_model(model).data_type
    try:
        if kind is EffectSizes:
            return bm.effect_sizes(table, measure=measure)
        return table.two_by_two() if kind is TwoByTwo else table.person_time()
    except DataError:
        return None


def priors_for(model: str, data) -> dict[str, str]:
    """Return the priors to give: none, or ones on the data's own scale where the measure has no default."""
    if not isinstance(data, EffectSizes) or data.measure != "GEN":
        return {}
    spread = float(f"{max(np.std(data.yi), float(data.sei.mean())):.2g}")
    given = {"mu": f"normal({data.yi.mean():.2g}, {10 * spread:g})", "tau": f"half_normal({spread:g})"}
    return {name: given[name] for name in load_model(model).priors if name in given}


def analyse(name: str, outcome: str | None, model: str, data) -> dict[str, object]:
    """Return the record's row of one analysis."""
    priors = priors_for(model, data)
    nuts = bm.fit(data, model=model, engine="nuts", priors=priors, seed=SEED)
    figures = nuts.diagnostics.figures
    row: dict[str, object] = dict.fromkeys(FIELDS, "")
    row |= {"data": name, "outcome": outcome or "", "model": model, "code": code_hash(nuts.model), "k": data.k}
    row |= {"priors": "; ".join(f"{key} ~ {prior!r}" for key, prior in nuts.priors.items()), "ok": nuts.diagnostics.ok}
    row |= {key: f"{figures[key]:.5g}" for key in FIELDS if key in figures}
    row["remedies"] = "; ".join(nuts.diagnostics.remedies)
    if nuts.model.gaussian_marginal is not None or nuts.model.study_likelihoods is not None:
        rows = agreement(nuts, bm.fit(data, model=model, engine="quadrature", priors=priors))
        worst = max(rows, key=lambda r: abs(r.z))
        row |= {"compared": len(rows), "worst": f"{worst.quantity} {worst.figure}", "worst_z": f"{worst.z:.3f}"}
        beyond = {(r.quantity, r.figure) for r in rows if not r.agrees}
        row |= {"beyond_limit": len(beyond), "beyond_again": 0}
        if beyond:
            # Of thousands of figures some lie beyond by chance: those are sampled again, otherwise and for longer.
            again = bm.fit(data, model=model, engine="nuts", priors=priors, seed=SEED + 1, thin=32)
            rows = agreement(again, bm.fit(data, model=model, engine="quadrature", priors=priors))
            row["beyond_again"] = sum((r.quantity, r.figure) in beyond and not r.agrees for r in rows)
    return row


def write(rows: list[dict[str, object]]) -> None:
    """Put fresh rows in the place of those of the same analysis."""
    fresh = {(row["data"], row["outcome"], row["model"]) for row in rows}
    kept: list[dict[str, object]] = []
    if RECORD.is_file():
        with RECORD.open(newline="", encoding="utf-8") as file:
            kept = [row for row in csv.DictReader(file) if (row["data"], row["outcome"], row["model"]) not in fresh]
    RECORD.parent.mkdir(exist_ok=True)
    with RECORD.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted([*kept, *rows], key=lambda row: (row["model"], row["data"], row["outcome"])))


def main() -> None:
    """Run the analyses chosen and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="*", default=[name for name in list_models() if name != "meta_regression"])
    parser.add_argument("--data", nargs="*")
    chosen = parser.parse_args()
    studies = [entry for entry in tables() if not chosen.data or entry[0] in chosen.data]
    for model in chosen.models:
        for name, outcome, measure, table in studies:
            data = data_for(model, table, measure)
            if data is None:
                continue
            start = time.perf_counter()
            try:
                row = analyse(name, outcome, model, data)
            except BayesMetaError as error:
                print(f"{model} {name} {outcome or ''}: {error}", flush=True)
                continue
            write([row])
            beyond = f"beyond {LIMIT:g}: {row['beyond_limit']}, again {row['beyond_again']}"
            figures = f"ok {row['ok']}, worst {row['worst']} {row['worst_z']}, {beyond}"
            print(
                f"{model} {name} {outcome or ''} k={data.k}: {figures}, {time.perf_counter() - start:.1f} s", flush=True
            )


if __name__ == "__main__":
    sys.exit(main())
