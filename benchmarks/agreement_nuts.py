"""NUTS on every data set that ships, with every model that takes it, beside quadrature.

Question it answers: are there data sets where the sampler fails its own diagnostics (divergences,
R-hat, effective sample size), or where sampled and computed posteriors differ by more than four
Monte Carlo standard errors? ``beyond_limit`` counts the figures that do, ``beyond_again`` those
that still do in a second, longer run with another seed. An analysis that ends with an error has a row
that says so. The seed was used nowhere while the sampler's defaults were chosen.

Run: ``python benchmarks/agreement_nuts.py [--models normal_normal ...] [--data NAME ...] [--missing]``;
analyses not run keep their rows, and ``--missing`` runs those that have none of the present programs and seed.
``tests/engines/test_nuts_agreement.py`` tests the record.
"""

import argparse
import csv
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from fingerprints import fingerprint

import bayesmeta as bm
from bayesmeta.errors import BayesMetaError, DataError
from bayesmeta.evidence.agreement import LIMIT, agreement
from bayesmeta.model import Model, list_models, load_model
from bayesmeta.resources import data_dir
from bayesmeta.studies import (
    Contrasts,
    DiagnosticTable,
    DoseResponse,
    EffectSizes,
    NetworkTable,
    PersonTime,
    StudyTable,
    TwoByTwo,
)

type Job = tuple[str, str | None, str, object]
RECORD = Path(__file__).parent / "records" / "agreement_nuts.csv"
FIELDS = (
    "data", "outcome", "model", "program", "k", "moderators", "priors", "seed", "ok", "divergences", "max_rhat",
    "min_ess_bulk", "min_ess_tail", "min_bfmi", "compared", "worst", "worst_z", "beyond_limit", "beyond_again",
    "remedies", "error",
)  # fmt: skip
SEED = 20261125
# Columns that are complete and vary, chosen by reading the files; a column of numbers is centred.
MODERATORS = {
    "aspirin_mi_peto1980": ("mean_age",),
    "bcg_vaccine": ("abs_latitude", "allocation"),
    "betablockers_yusuf1985": ("table",),
    "catheter_infection_nielweise2007": ("year",),
    "covid_hcq_axfors2021": ("drug", "setting"),
    "crins2014_pediatric_transplant": ("il2ra",),
    "diuretics_preeclampsia_collins1985b": ("oedema_inclusion",),
    "goralczyk2011_adult_transplant": ("il2ra", "cni"),
    "h2antagonist_bleeding_collins1985a": ("drug", "control"),
    "hernia_sidikjonkman2007": ("year",),
    "karner2014_tiotropium_copd": ("duration", "inhaler"),
    "magnesium_mi_egger2001": ("year",),
    "magnesium_mi_li2007": ("year",),
    "nrt_smoking_hartmannboyce2018": ("product",),
    "passive_smoking_hackshaw1998": ("design", "year"),
    "rti_antibiotics_damico2009": ("allocation_concealed", "blind"),
    "sat_coaching_kalaian1996": ("ets",),
    "streptokinase_lau1992": ("year",),
    "teacher_expectancy_raudenbush1985": ("weeks", "tester"),
    "writing_to_learn_bangertdrowns2004": ("grade", "imag"),
}
# Kind of the data sets with several rows a study, and which of them each model takes.
SEVERAL, DIAGNOSTIC, DOSES = "several effects a study", "diagnostic 2x2", "dose response"
CLUSTERED = {
    "multilevel": ("school_calendar_konstantopoulos2011", "recidivism_assink2016"),
    "bivariate": ("periodontal_berkey1998",),
    # No data set that ships has a known correlation of clusters.
    "phylogenetic": (),
    "dose_response": ("alcohol_cvd_dose_response",),
    "diagnostic_accuracy": ("alcohol_screening_kriston2008",),
}
# What takes longest comes last: quadrature of exact likelihoods with many studies, and long sums over tables.
MANY, LONG = 60, 5000


def outcomes(name: str) -> list[str | None]:
    """Return the outcomes in a file; None where it has one."""
    frame = bm.load_dataset(name)
    return sorted(set(frame["outcome"].astype(str))) if "outcome" in frame else [None]


def _pairwise(kind: str) -> bool:
    """Return whether a kind of data set is one of a comparison with one row a study, not pooled yet."""
    return "network" not in kind and "pooled" not in kind and not {SEVERAL, DIAGNOSTIC, DOSES} & set(kind.split(", "))


def tables() -> Iterator[tuple[str, str | None, str, StudyTable]]:
    """Yield name, outcome, measure and studies of every pairwise data set that can be read."""
    with (data_dir() / "INDEX.csv").open(newline="", encoding="utf-8") as file:
        index = [row for row in csv.DictReader(file) if _pairwise(row["kind"])]
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


def data_for(model: str, name: str, table: StudyTable, measure: str):
    """Return the value a model takes, or None where the table has no such data."""
    loaded = load_model(model)
    # Networks, models of reporting and designs with means of their own are compared in their own tests.
    if loaded.data_type in (Contrasts, NetworkTable) or loaded.selection is not None or model == "design_groups":
        return None
    if model in CLUSTERED:
        return None
    try:
        if loaded.data_type is TwoByTwo:
            return table.two_by_two()
        if loaded.data_type is PersonTime:
            return table.person_time()
        return regression(name, table, measure) if "beta" in loaded.priors else bm.effect_sizes(table, measure=measure)
    except DataError:
        return None


def regression(name: str, table: StudyTable, measure: str) -> EffectSizes | None:
    """Return effect sizes with moderators; None where there are none, or hardly more studies than terms."""
    if name not in MODERATORS:
        return None
    effects = bm.effect_sizes(table, measure=measure, moderators=MODERATORS[name])
    if effects.k < len(effects.terms) + 2:
        return None
    # The intercept's prior is meant for an effect among the data, not for the year 0.
    numbers = [len(set(column)) > 2 for column in effects.X.T]
    return replace(effects, X=effects.X - np.where(numbers, effects.X.mean(axis=0).round(), 0.0))


def clustered(name: str) -> EffectSizes | DiagnosticTable | DoseResponse:
    """Return the rows of a data set with several of a study."""
    frame = bm.load_dataset(name)
    measure = str(frame.attrs["measure"])
    if "dose" in frame:
        named = {name: frame[name] for name in ("study", "dose", "cases", "n", "type", "yi", "sei")}
        return DoseResponse(**named, unit=10.0)
    if "tp" in frame:
        return DiagnosticTable(*(frame[name] for name in ("tp", "fp", "fn", "tn")), study=frame["study"])
    if "outcome" not in frame:
        return EffectSizes(frame["yi"], vi=frame["vi"], study=frame["study"], cluster=frame["cluster"], measure=measure)
    # Two rows a study, each with its row of the sampling covariance matrix.
    blocks = frame[["v1i", "v2i"]].to_numpy().reshape(-1, 2, 2)
    return EffectSizes(
        frame["yi"], V=list(blocks), study=frame["cluster"], outcome=frame["outcome"], ni=frame["n"], measure=measure
    )


def priors_for(model: str, data) -> dict[str, str]:
    """Return the priors to give: none, or ones on the data's own scale where the measure has no default."""
    if not isinstance(data, EffectSizes) or data.measure != "GEN":
        return {}
    spread = float(f"{max(np.std(data.yi), float(data.sei.mean())):.2g}")
    given = {"mu": f"normal({data.yi.mean():.2g}, {10 * spread:g})", "tau": f"half_normal({spread:g})"}
    return {name: given[name] for name in load_model(model).priors if name in given}


def analyse(name: str, outcome: str | None, model: str, data) -> dict[str, object]:
    """Return the record's row of one analysis."""
    loaded = load_model(model)
    row: dict[str, object] = dict.fromkeys(FIELDS, "")
    row |= {"data": name, "outcome": outcome or "", "model": model, "program": fingerprint(model), "k": data.k}
    row |= {"seed": SEED, "ok": False}
    if getattr(data, "X", None) is not None:
        row["moderators"] = "; ".join(term for term in data.terms if term != "intercept")
    try:
        return row | figures(loaded, data, priors_for(model, data))
    except BayesMetaError as error:
        return row | {"error": f"{type(error).__name__}: {error}"}


def figures(model: Model, data, priors: dict[str, str]) -> dict[str, object]:
    """Return diagnostics of the sampled posterior, and how it compares with the computed one."""
    nuts = bm.fit(data, model=model, engine="nuts", priors=priors, seed=SEED)
    found = nuts.diagnostics.figures
    row: dict[str, object] = {key: f"{found[key]:.5g}" for key in FIELDS if key in found}
    row["priors"] = "; ".join(f"{key} ~ {prior!r}" for key, prior in nuts.priors.items())
    row |= {"ok": nuts.diagnostics.ok, "remedies": "; ".join(nuts.diagnostics.remedies)}
    if not model.abilities.deterministic:
        return row
    computed = bm.fit(data, model=model, engine="quadrature", priors=priors)
    rows = agreement(nuts, computed)
    worst = max(rows, key=lambda r: abs(r.z))
    row |= {"compared": len(rows), "worst": f"{worst.quantity} {worst.figure}", "worst_z": f"{worst.z:.3f}"}
    beyond = {(r.quantity, r.figure) for r in rows if not r.agrees}
    row |= {"beyond_limit": len(beyond), "beyond_again": 0}
    if beyond:
        # Of thousands of figures some lie beyond by chance: those are sampled again, otherwise and for longer.
        again = bm.fit(data, model=model, engine="nuts", priors=priors, seed=SEED + 1, thin=32)
        row["beyond_again"] = sum((r.quantity, r.figure) in beyond and not r.agrees for r in agreement(again, computed))
    return row


def slow(model: str, data) -> int:
    """Return 0 for an analysis that takes seconds, else how many numbers its program goes through."""
    loaded = load_model(model)
    size = 0 if loaded.inputs is None else sum(np.size(value) for value in loaded.inputs(data).values())
    return size if (data.k > MANY and loaded.gaussian is None) or size > LONG else 0


def rows_kept() -> list[dict[str, str]]:
    """Return the rows of the record."""
    if not RECORD.is_file():
        return []
    with RECORD.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(rows: list[dict[str, object]]) -> None:
    """Put fresh rows in the place of those of the same analysis."""
    fresh = {(row["data"], row["outcome"], row["model"]) for row in rows}
    kept = [row for row in rows_kept() if (row["data"], row["outcome"], row["model"]) not in fresh]
    RECORD.parent.mkdir(exist_ok=True)
    with RECORD.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted([*kept, *rows], key=lambda row: (row["model"], row["data"], row["outcome"])))


def analyses(models: list[str], names: list[str] | None = None) -> list[Job]:
    """Return data set, outcome, model and data of everything that fits, what takes minutes last."""
    studies = [entry for entry in tables() if not names or entry[0] in names]
    jobs = [
        (name, outcome, model, data)
        for model in models
        for name, outcome, measure, table in studies
        if (data := data_for(model, name, table, measure)) is not None
    ]
    jobs += [
        (name, None, model, clustered(name))
        for model in models
        for name in CLUSTERED.get(model, ())
        if not names or name in names
    ]
    return sorted(jobs, key=lambda job: slow(job[2], job[3]))


def missing(jobs: list[Job]) -> list[Job]:
    """Return the analyses that have no row of the present programs and seed."""
    known = {(row["data"], row["outcome"], row["model"], row["program"], row["seed"]) for row in rows_kept()}
    return [job for job in jobs if (job[0], job[1] or "", job[2], fingerprint(job[2]), str(SEED)) not in known]


def main() -> None:
    """Run the analyses chosen and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="*", default=list_models())
    parser.add_argument("--data", nargs="*")
    parser.add_argument("--missing", action="store_true", help="only analyses without a row of the present code")
    chosen = parser.parse_args()
    jobs = analyses(chosen.models, chosen.data)
    for name, outcome, model, data in missing(jobs) if chosen.missing else jobs:
        start = time.perf_counter()
        row = analyse(name, outcome, model, data)
        write([row])
        told = f"ok {row['ok']}, worst {row['worst']} {row['worst_z']}"
        told += f", beyond {LIMIT:g}: {row['beyond_limit']}, again {row['beyond_again']} {row['error']}"
        print(f"{model} {name} {outcome or ''} k={data.k}: {told}, {time.perf_counter() - start:.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
