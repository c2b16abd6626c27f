"""A report as a Word document: real tables with repeated headers, numbered captions, figures with a text for those
who cannot see them."""

import io
from typing import Any

from bayesmeta.report.svg import saved
from bayesmeta.report.values import Block, Document, Facts, Figure, Figures, Items, Paragraph, Section, Table

WIDTH = 6.7
"""Inches between the margins of an upright page; a table of more columns than `WIDE` has a page on its side."""
WIDE = 8
LYING = 9.6
DPI = 300
_NOTE = 8


def docx(document: Document) -> bytes:
    """Return the report as the bytes of a ``.docx`` file."""
    import docx as word
    from docx.shared import Inches, Pt

    out = word.Document()
    section = out.sections[0]
    for side in ("left_margin", "right_margin", "top_margin", "bottom_margin"):
        setattr(section, side, Inches(0.8))
    out.styles["Normal"].font.size = Pt(10)
    out.core_properties.title = document.title
    out.add_heading(document.title, 0)
    out.add_paragraph(document.kind)
    writer = _Writer(out)
    writer.write(document.head, 1)
    writer.write(document.sections, 1)
    file = io.BytesIO()
    out.save(file)
    return file.getvalue()


class _Writer:
    """Adds blocks to a document of python-docx and numbers what it captions."""

    def __init__(self, out: Any) -> None:
        self.out = out
        self.lying = False

    def write(self, blocks: tuple[Block, ...], level: int) -> None:
        """Add blocks, sections one heading level down."""
        for block in blocks:
            match block:
                case Section():
                    self._turn(lying=False)
                    self.out.add_heading(block.title, min(level, 9))
                    self.write(block.blocks, level + 1)
                case Paragraph():
                    self.out.add_paragraph(block.text, style="Intense Quote" if block.style == "answer" else None)
                case Items():
                    for text in block.texts:
                        self.out.add_paragraph(text, style="List Bullet")
                case Facts():
                    for fact in block.facts:
                        line = self.out.add_paragraph()
                        line.add_run(f"{fact.name}: ").bold = True
                        line.add_run(fact.value)
                case Table():
                    self._table(block)
                case Figure():
                    self._figure(block)
                case Figures():
                    for figure in block.figures:
                        self._figure(figure)
        self._turn(lying=False)

    def _turn(self, *, lying: bool) -> None:
        """Begin a page in the other direction where the present one will not do."""
        from docx.enum.section import WD_ORIENT, WD_SECTION

        if lying == self.lying:
            return
        page = self.out.add_section(WD_SECTION.NEW_PAGE)
        page.orientation = WD_ORIENT.LANDSCAPE if lying else WD_ORIENT.PORTRAIT
        page.page_width, page.page_height = page.page_height, page.page_width
        self.lying = lying

    def _table(self, table: Table) -> None:
        from docx.shared import Inches, Pt

        columns = len(table.heads)
        self._turn(lying=columns > WIDE)
        if table.caption:
            self._caption("Table", table.caption)
        grid = self.out.add_table(rows=1, cols=columns, style="Light Grid Accent 1")
        grid.autofit = False
        widths = _widths(table, LYING if columns > WIDE else WIDTH)
        _fill(grid.rows[0], table.heads)
        _repeat(grid.rows[0])
        for line in table.lines:
            row = grid.add_row()
            _fill(row, line.cells)
            if len(line.cells) < columns:
                last = max(len(line.cells) - 1, 0)
                row.cells[last].merge(row.cells[columns - 1])
            _keep_whole(row)
        for row in grid.rows:
            for cell, width in zip(row.cells, widths, strict=True):
                cell.width = Inches(width)
                for paragraph in cell.paragraphs:
                    paragraph.paragraph_format.space_after = Pt(0)
                    for run in paragraph.runs:
                        run.font.size = Pt(_NOTE)
        for note in table.notes:
            self.out.add_paragraph().add_run(note).font.size = Pt(_NOTE)

    def _figure(self, figure: Figure) -> None:
        from docx.shared import Inches

        image = io.BytesIO(saved(figure, "png", dpi=DPI))
        shape = self.out.add_picture(image, width=Inches(min(figure.width, WIDTH)))
        shape._inline.docPr.set("descr", figure.label)
        self._caption(
            "Figure", figure.label + (f". {''.join(w.text for w in figure.caption)}" if figure.caption else "")
        )

    def _caption(self, kind: str, text: str) -> None:
        """Add a caption whose number Word counts itself (a SEQ field)."""
        line = self.out.add_paragraph(style="Caption")
        line.add_run(f"{kind} ")
        _field(line, f"SEQ {kind} \\* ARABIC")
        line.add_run(f". {text}")


def _widths(table: Table, room: float) -> list[float]:
    """Return widths in inches that follow the longest words and texts of the columns."""
    longest = [max(map(len, head.split("\n"))) for head in table.heads]
    for line in table.lines:
        if len(line.cells) == len(table.heads):
            longest = [max(a, min(len(cell), 40)) for a, cell in zip(longest, line.cells, strict=True)]
    return [room * (n + 2) / sum(m + 2 for m in longest) for n in longest]


def _fill(row: Any, cells: tuple[str, ...]) -> None:
    for cell, text in zip(row.cells, cells, strict=False):
        cell.text = text.replace("\n", " ")


def _element(name: str, **attributes: str) -> Any:
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn

    element = OxmlElement(name)
    for key, value in attributes.items():
        element.set(qn(key.replace("_", ":")), value)
    return element


def _repeat(row: Any) -> None:
    """Let a table's header stand on each of its pages."""
    row._tr.get_or_add_trPr().append(_element("w:tblHeader", w_val="true"))


def _keep_whole(row: Any) -> None:
    """Let no row be divided between pages."""
    row._tr.get_or_add_trPr().append(_element("w:cantSplit", w_val="true"))


def _field(line: Any, instruction: str) -> None:
    run = line.add_run()
    run._r.append(_element("w:fldChar", w_fldCharType="begin"))
    text = _element("w:instrText")
    text.text = instruction
    run._r.append(text)
    run._r.append(_element("w:fldChar", w_fldCharType="end"))
