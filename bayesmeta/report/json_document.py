"""A report as JSON: its sections, tables and sentences, and every number with its name, unit and scale."""

import json
from typing import Any

from bayesmeta.analysis import Analysis, OutcomeResult
from bayesmeta.effects import MEASURES
from bayesmeta.report.page import findings
from bayesmeta.report.values import Block, Document, Facts, Figure, Figures, Items, Paragraph, Section, Table

SCHEMA = "bayesmeta.report/1"
"""Name and version of the format; the version changes when a key changes its name or meaning."""


def as_json(analysis: Analysis, document: Document) -> str:
    """Return the report as a JSON text, numbers with every digit."""
    scale = MEASURES[analysis.outcomes[0].comparison.measure]
    content = {
        "schema": SCHEMA,
        "measure": scale.name,
        "scale": scale.analysis_label,
        "natural_scale": scale.label,
        "findings": [str(finding) for result in analysis.outcomes for finding in findings(result)],
        "result": {
            "title": document.title,
            "seed": analysis.seed,
            "level": analysis.protocol.level,
            "data_sha256": analysis.data_sha256,
            "versions": dict(analysis.versions),
            "outcomes": [_outcome(result) for result in analysis.outcomes],
            "sections": [_block(section) for section in document.sections],
        },
    }
    return json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _outcome(result: OutcomeResult) -> dict[str, Any]:
    comparison = result.comparison
    scale = MEASURES[comparison.measure]
    return {
        "name": result.name,
        "label": result.label,
        "measure": comparison.measure,
        "scale": scale.analysis_label,
        "natural_scale": scale.label,
        "benefit": comparison.benefit,
        "rows": [_row(row) for row in comparison.rows],
    }


def _row(row: Any) -> dict[str, Any]:
    """Return one method's figures; effects and tau are on the analysis scale."""
    figures = {
        "mu": row.mu,
        "interval": _interval(row.interval),
        "tau": row.tau,
        "tau_interval": _interval(row.tau_interval),
        "I2_percent": row.I2,
        "prediction": _interval(row.prediction),
        "p_value": row.p_value,
        "p_benefit_mean": row.p_benefit_mean,
        "p_benefit_new": row.p_benefit_new,
    }
    about = {"method": row.method, "kind": row.kind, "k": row.k, "without": list(row.without)}
    return about | {name: _finite(value) for name, value in figures.items()}


def _interval(interval: Any) -> dict[str, Any] | None:
    if interval is None:
        return None
    limits = {"low": _finite(interval.low), "high": _finite(interval.high)}
    return limits | {"level": interval.level, "kind": interval.kind, "rule": interval.rule}


def _finite(value: Any) -> Any:
    """Return a number as JSON can hold it: infinite ones, which it has no word for, as text."""
    if isinstance(value, dict) or value is None:
        return value
    return float(value) if abs(float(value)) < float("inf") else str(float(value))


def _block(block: Block) -> dict[str, Any]:
    found: dict[str, Any]
    match block:
        case Section():
            found = {"section": block.title, "blocks": [_block(inner) for inner in block.blocks]}
        case Paragraph():
            found = {"paragraph": block.text}
        case Items():
            found = {"items": list(block.texts)}
        case Facts():
            found = {"facts": {fact.name: fact.value for fact in block.facts}}
        case Table():
            rows = [list(line.cells) for line in block.lines]
            found = {
                "table": {"heads": list(block.heads), "rows": rows, "caption": block.caption, "notes": block.notes}
            }
        case Figure():
            found = {"figure": block.label}
        case Figures():
            found = {"figures": [figure.label for figure in block.figures]}
    return found
