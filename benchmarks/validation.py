"""What the numbers of bayesmeta were compared with: docs/validation.md, and the record behind it.

Questions it answers: against which independent reference was each quantity checked, in how many cases, and what is the
worst difference? Each figure is computed here from a golden file or a record, never typed.

    python benchmarks/validation.py          # writes benchmarks/records/validation.csv and docs/validation.md
"""

import csv
import hashlib
import importlib.util
import json
import math
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import bayesmeta as bm
from bayesmeta.effects import MEASURES, compute_effects
from bayesmeta.frequentist import pool

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden"
RECORD = ROOT / "benchmarks" / "records" / "validation.csv"
PAGE = ROOT / "docs" / "validation.md"
COMMAND = "python benchmarks/validation.py"
RULES = {"z": "wald", "knha": "hksj", "adhoc": "adhoc", "t": "t"}
DATASETS = ("crins_ar6", "rubin8", "stenting3")


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison.

    Parameters
    ----------
    section
        ``"ours"`` or ``"peers"``: whose difference it is.
    quantity, reference
        What was compared, with what.
    cases
        How many numbers.
    worst, unit
        Largest difference, and in what it is counted.
    source
        Golden files or record, relative to the repository.
    digest
        12 hexadecimal digits of the source's SHA-256.
    code
        Files of ours that the figure depends on.
    code_hash
        12 hexadecimal digits of their SHA-256, when the figure was computed.
    command
        What computes it again.
    """

    section: str
    quantity: str
    reference: str
    cases: int
    worst: str
    unit: str
    source: str
    digest: str
    code: str
    code_hash: str
    command: str


def digest(patterns: str) -> str:
    """Return 12 hexadecimal digits for the contents of the files that space-separated patterns name."""
    files = sorted({path for pattern in patterns.split() for path in ROOT.glob(pattern) if path.is_file()})
    assert files, patterns
    total = hashlib.sha256()
    for path in files:
        total.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:12]


def golden(name: str) -> Any:
    """Return a golden file."""
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


def tested(name: str) -> ModuleType:
    """Return a test module, which knows how to read its golden file."""
    spec = importlib.util.spec_from_file_location(f"validation_{Path(name).stem}", ROOT / "tests" / name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def relative(ours: float, theirs: float) -> float:
    """Return the relative difference, absolute below 1."""
    return abs(ours - theirs) / max(1.0, abs(theirs))


def effect_measures() -> tuple[int, float]:
    """Return how many effects and variances were compared with escalc, and the worst relative difference."""
    tests, count, worst = tested("test_effects_golden.py"), 0, 0.0
    for case in tests.CASES:
        name, data, expected = case.values
        if "error" in expected:
            continue
        measure, *parts = name.split("|")
        raw = compute_effects(measure, tests._columns(data, MEASURES[measure].family), **tests._options(parts))
        for ours, given in ((raw.yi, expected["yi"]), (raw.vi, expected["vi"])):
            theirs = np.array([np.nan if v is None else v for v in given], dtype=float)
            there = ~np.isnan(theirs)
            count += int(there.sum())
            gaps = [relative(a, b) for a, b in zip(ours[there], theirs[there], strict=True)]
            worst = max([worst, *gaps])
    return count, worst


def pooled(iterative: bool) -> tuple[int, float]:
    """Return how many estimates, SEs, limits and tau2 were compared with rma, and the worst relative difference."""
    from bayesmeta.frequentist.tau2 import TAU2_ESTIMATORS

    count, worst = 0, 0.0
    for data in golden("metafor_rma")["datasets"].values():
        rows = [(y, v) for y, v in zip(data["yi"], data["vi"], strict=True) if y is not None]
        effects = bm.EffectSizes(yi=[y for y, _ in rows], sei=[v**0.5 for _, v in rows])
        for key, want in data["fits"].items():
            method, rule = key.split("|")
            if TAU2_ESTIMATORS[method].iterative != iterative:
                continue
            fit = pool(effects, method=method, ci=RULES[rule])
            pairs = [(fit.mu, want["b"]["intrcpt"]), (fit.se, want["se"]), (fit.ci.low, want["ci.lb"])]
            pairs += [(fit.ci.high, want["ci.ub"]), (fit.tau2, want["tau2"]), (fit.Q, want["QE"])]
            count += len(pairs)
            worst = max([worst, *(relative(a, b) for a, b in pairs)])
    return count, worst


def _posteriors() -> Iterable[tuple[dict[str, Any], Any]]:
    tests = tested("engines/test_quadrature_golden.py")
    for dataset, key in tests.cases():
        data = tests.load(dataset)
        yield data["fits"][key], tests.fitted(data, data["fits"][key])


def quadrature() -> dict[str, tuple[int, float]]:
    """Return, for several kinds of numbers, how many were compared with exact quadrature and the worst difference."""
    found: dict[str, list[float]] = {"moments": [], "limits": [], "evidence": [], "peer_tau": [], "peer_mu": []}
    found |= {"peer_new": [], "peer_mode": []}
    for entry, post in _posteriors():
        exact, peer = entry["exact"], entry["bayesmeta"]
        found["evidence"].append(abs(post.details.log_normaliser - exact["log_marginal"]))
        for name, theirs in (("tau", "tau"), ("mu", "mu"), ("theta_new", "theta")):
            marginal, given = post[name], exact[name]
            limits = marginal.eti()
            sd = marginal.sd() if math.isfinite(marginal.sd()) else limits.high - limits.low
            pairs = [(getattr(marginal, word)(), given["stats"][word]) for word in ("mean", "sd", "median")]
            found["moments"] += [abs(a - float(b)) / sd for a, b in pairs if math.isfinite(float(b))]
            found["limits"] += [abs(a - b) / sd for a, b in zip(limits, given["central95"], strict=True)]
            where = {"tau": "peer_tau", "mu": "peer_mu", "theta_new": "peer_new"}[name]
            if "central95" not in peer:
                # The R package declines a flat prior of tau with three studies.
                continue
            found[where] += [
                abs(a - b) / sd for a, b in zip(peer["central95"][theirs], given["central95"], strict=True)
            ]
            found["peer_mode"].append(abs(peer["summary_shortest"]["mode"][theirs] - given["stats"]["mode"]) / sd)
    return {name: (len(gaps), max(gaps)) for name, gaps in found.items()}


def record(name: str) -> list[dict[str, str]]:
    """Return the rows of a record."""
    with (ROOT / "benchmarks" / "records" / f"{name}.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def calibration() -> tuple[int, float]:
    """Return how many quantities of simulated data were ranked, and how far coverage was from 95% at worst."""
    rows = record("calibrate_quadrature")
    return len(rows), max(abs(float(row["coverage95"]) - 0.95) for row in rows)


def sampled() -> tuple[int, float]:
    """Return how many numbers of NUTS were compared with quadrature, and the worst in Monte Carlo standard errors."""
    rows = [row for row in record("agreement_nuts") if row["worst_z"]]
    return sum(int(row["compared"]) for row in rows), max(float(row["worst_z"]) for row in rows)


ENGINE = "bayesmeta/engines/gaussian/**/*.py bayesmeta/marginals/*.py"
POOLING = "bayesmeta/frequentist/pool.py bayesmeta/frequentist/tau2.py bayesmeta/frequentist/reml.py"
EXACT = "double-exponential quadrature of 900 nodes, written apart from bayesmeta"
NNHM = "tests/golden/bayesmeta_nnhm_*.json"


def r_version() -> str:
    """Return which R package the golden files are of, and how it was set."""
    files = [golden(f"bayesmeta_nnhm_{name}") for name in DATASETS]
    (version,) = {data["package_version"] for data in files}
    peers = [entry["bayesmeta"] for data in files for entry in data["fits"].values()]
    ((delta, epsilon),) = {(peer["delta"], peer["epsilon"]) for peer in peers if "delta" in peer}
    return f"R bayesmeta {version}, delta = {delta:g}, epsilon = {epsilon:g}"


def rows() -> list[Row]:
    """Return every comparison, computed now."""
    q, r_package = quadrature(), r_version()
    (simulated,) = {int(row["n"]) for row in record("calibrate_quadrature")}
    commits = " ".join(sorted({row["git"] for row in record("calibrate_quadrature")}))
    programs = " ".join(sorted({row["program"] for row in record("agreement_nuts")}))
    ours: list[tuple[str, str, Callable[[], tuple[int, float]], str, str, str]] = [
        ("effects and sampling variances", "metafor 5.0, escalc", effect_measures, "relative",
         "tests/golden/metafor_escalc_*_mf5.json", "bayesmeta/effects/*.py"),
        ("pooled effect, SE, limits, tau2, Q: closed forms", "metafor 3.8, rma", lambda: pooled(False), "relative",
         "tests/golden/metafor_rma.json", POOLING),
        ("the same: iterative estimators of tau2", "metafor 3.8, rma", lambda: pooled(True), "relative",
         "tests/golden/metafor_rma.json", POOLING),
        ("mean, SD and median of mu, tau, theta_new", EXACT, lambda: q["moments"], "posterior SDs", NNHM, ENGINE),
        ("95% equal-tailed limits of mu, tau, theta_new", EXACT, lambda: q["limits"], "posterior SDs", NNHM, ENGINE),
        ("log evidence", EXACT, lambda: q["evidence"], "absolute", NNHM, ENGINE),
        (f"coverage of 95% intervals, {simulated} simulated analyses a quantity", "the prior the data were drawn from",
         calibration, "absolute", "benchmarks/records/calibrate_quadrature.csv", f"commit {commits}"),
        ("NUTS: means, SDs and quantiles", "our quadrature", sampled, "Monte Carlo standard errors",
         "benchmarks/records/agreement_nuts.csv", f"programs {programs}"),
    ]  # fmt: skip
    peers: list[tuple[str, str, Callable[[], tuple[int, float]], str, str, str]] = [
        (f"{r_package}: limits of tau", EXACT, lambda: q["peer_tau"], "posterior SDs", NNHM, ENGINE),
        (f"{r_package}: limits of mu", EXACT, lambda: q["peer_mu"], "posterior SDs", NNHM, ENGINE),
        (f"{r_package}: limits of a new study's effect", EXACT, lambda: q["peer_new"], "posterior SDs", NNHM, ENGINE),
        (f"{r_package}: modes", EXACT, lambda: q["peer_mode"], "posterior SDs", NNHM, ENGINE),
    ]
    made = []
    for section, several in (("ours", ours), ("peers", peers)):
        for quantity, reference, compute, unit, source, code in several:
            cases, worst = compute()
            kind, _, of = code.partition(" ")
            if kind == "programs":
                # A fingerprint of each program that was sampled, see fingerprints.py.
                hashed = "programs sampled", hashlib.sha256(of.encode()).hexdigest()[:12]
            elif kind == "commit":
                hashed = "commits of the record", of
            else:
                hashed = code, digest(code)
            script = Path(source).stem if source.startswith("benchmarks/records/") else "validation"
            command = f"python benchmarks/{script}.py"
            made.append(
                Row(section, quantity, reference, cases, f"{worst:.2g}", unit, source, digest(source), *hashed, command)
            )
    return made


def written(made: Iterable[Row | dict[str, str]]) -> str:
    """Return the page."""
    rows = [asdict(row) if isinstance(row, Row) else row for row in made]
    lines = [
        "# Validation",
        "",
        f"Made by `{COMMAND}` from golden files and records. A test computes every comparison with a golden file",
        "again, and refuses a page that the code of today does not give; records say themselves what code they are of.",
        "Papers reproduced to printed precision are in `tests/papers`.",
    ]
    heads = {"ours": "## bayesmeta against independent references", "peers": "## What was found in other packages"}
    notes = {
        "ours": "",
        "peers": "These are accuracies of numerical methods at the settings named, and enough for the digits that "
        "papers print. Other differences, and why, are at the end of [the classical page](classical.md).",
    }
    for section, head in heads.items():
        lines += ["", head, ""]
        lines += [notes[section], ""] if notes[section] else []
        lines += ["| Quantity | Reference | Numbers | Worst difference | Source (digest) | Code (hash) | Command |"]
        lines += ["|---|---|---:|---|---|---|---|"]
        for row in rows:
            if row["section"] == section:
                source = f"`{row['source']}` ({row['digest']})"
                code = f"`{row['code']}` ({row['code_hash']})"
                worst = f"{row['worst']} {row['unit']}"
                cells = (row["quantity"], row["reference"], row["cases"], worst, source, code, f"`{row['command']}`")
                lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Write the record and the page."""
    made = rows()
    with RECORD.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(asdict(made[0])), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in made)
    PAGE.write_text(written(made), encoding="utf-8")
    print(written(made))


if __name__ == "__main__":
    main()
