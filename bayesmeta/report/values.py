"""What a report holds, as values that any writer can turn into a page: sections of tables, figures and sentences."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bayesmeta.audit import Finding


@dataclass(frozen=True, slots=True)
class Words:
    """A piece of a text in a style of its own: ``"published"``, ``"classical"`` or ``"bayesian"`` for their colours."""

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A sentence or some; `style` is ``""``, ``"note"``, or ``"answer"`` for the answer itself."""

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Items:
    """A list; `style` is ``""`` or ``"caveats"``."""

    texts: tuple[str, ...]
    style: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Figure:
    """A figure, drawn when a writer asks for it.

    Parameters
    ----------
    draw
        Draws on the axes it is given.
    width, height
        Inches.
    label
        What it shows, for readers who cannot see it.
    name
        Unique in the report.
    position
        Of the axes, in fractions of the figure.
    caption
        Below it.
    wide
        Whether it takes the width of the page.
    """

    draw: "Callable[[Axes], Any]"
    width: float
    height: float
    label: str
    name: str
    position: tuple[float, float, float, float] = (0.04, 0.2, 0.92, 0.74)
    caption: tuple[Words, ...] = ()
    wide: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Figures:
    """Figures side by side, where there is room."""

    figures: tuple[Figure, ...]


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
    """What is said of one outcome."""

    anchor: str
    title: str
    headline: tuple[str, ...]
    comparison: Table
    caveats: tuple[str, ...]
    forest: Figure
    published: Table | None
    published_verdict: str
    why_q: str
    densities: tuple[Figure, ...]
    summary: Table
    implied: tuple[str, ...]
    sensitivity: Table
    sensitivity_words: str
    sensitivity_figure: Figure | None
    thresholds: Table | None
    diagnostics: tuple[Fact, ...]
    diagnostics_table: Table | None
    diagnostics_figures: tuple[Figure, ...]
    agreement: Table | None
    agreement_words: str
    agreement_figure: Figure | None
    predicted: Table | None
    predicted_words: str
    funnel: Figure | None
    data: Table
    provenance: tuple[str, ...]
    decisions: tuple[Table, ...] = ()
    tipping: tuple[str, ...] = ()
    scaling: tuple[str, ...] = ()
    findings: "tuple[Finding, ...]" = ()
    further: "tuple[Section, ...]" = ()


@dataclass(frozen=True, slots=True)
class ReportView:
    """What is said in a report."""

    title: str
    question: tuple[Fact, ...]
    overview: Table
    outcomes: tuple[OutcomeView, ...]
    priors: Table
    methods: tuple[str, ...]
    checklist: Table
    reproducibility: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and what they are, as a list of definitions."""

    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """A heading with what stands under it; sections inside it are one level down."""

    title: str
    blocks: "tuple[Block, ...]"
    anchor: str = ""
    style: str = ""


type Block = Paragraph | Items | Table | Facts | Figure | Figures | Section


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """A report: its title, the facts below it, and its sections in the order they are read."""

    title: str
    kind: str
    head: tuple[Block, ...]
    sections: tuple[Section, ...]
