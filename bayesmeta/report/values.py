"""What a report page shows: tables, figures and sentences, ready to be placed by a template."""

from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True, slots=True)
class Line:
    """One table line; `style` is ``""``, ``"group"`` (a heading across), ``"published"``, ``"classical"``, ..."""

    cells: tuple[str, ...]
    style: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of texts. `left` is how many leading columns are left-aligned."""

    heads: tuple[str, ...]
    lines: tuple[Line, ...]
    caption: str = ""
    left: int = 1
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fact:
    """A name and what it is."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class OutcomeView:
    """One outcome's part of the page."""

    anchor: str
    title: str
    headline: tuple[str, ...]
    comparison: Table
    caveats: tuple[str, ...]
    forest: Markup
    published: Table | None
    published_verdict: str
    why_q: str
    densities: tuple[Markup, ...]
    summary: Table
    implied: tuple[str, ...]
    sensitivity: Table
    sensitivity_words: str
    sensitivity_figure: Markup | None
    thresholds: Table | None
    diagnostics: tuple[Fact, ...]
    diagnostics_table: Table | None
    diagnostics_figures: tuple[Markup, ...]
    agreement: Table | None
    agreement_words: str
    agreement_figure: Markup | None
    predicted: Table | None
    predicted_words: str
    funnel: Markup | None
    data: Table
    provenance: tuple[str, ...]
    decisions: tuple[Table, ...] = ()
    tipping: tuple[str, ...] = ()
    scaling: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReportView:
    """The whole page."""

    title: str
    question: tuple[Fact, ...]
    overview: Table
    outcomes: tuple[OutcomeView, ...]
    priors: Table
    methods: tuple[str, ...]
    checklist: Table
    reproducibility: tuple[Fact, ...]
