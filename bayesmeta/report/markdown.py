"""A report as Markdown, tables and all; figures are named, since text cannot hold them."""

from bayesmeta.report.values import Block, Document, Facts, Figure, Figures, Items, Paragraph, Section, Table


def markdown(document: Document) -> str:
    """Return the report as Markdown (CommonMark with tables)."""
    parts = [f"# {document.title}", document.kind, *_blocks(document.head, 2)]
    for section in document.sections:
        parts += _blocks((section,), 2)
    return "\n\n".join(parts) + "\n"


def _blocks(blocks: tuple[Block, ...], level: int) -> list[str]:
    return [text for block in blocks for text in _block(block, level)]


def _block(block: Block, level: int) -> list[str]:
    found: list[str]
    match block:
        case Section():
            found = [f"{'#' * level} {block.title}", *_blocks(block.blocks, min(level + 1, 6))]
        case Paragraph():
            found = [block.text]
        case Items():
            found = ["\n".join(f"- {text}" for text in block.texts)] if block.texts else []
        case Facts():
            found = ["\n".join(f"- {fact.name}: {fact.value}" for fact in block.facts)]
        case Table():
            found = _table(block)
        case Figure():
            found = [_figure(block)]
        case Figures():
            found = [_figure(figure) for figure in block.figures]
    return found


def _figure(figure: Figure) -> str:
    caption = "".join(words.text for words in figure.caption)
    return f"*Figure: {figure.label}.{f' {caption}' if caption else ''}*"


def _table(table: Table) -> list[str]:
    width = len(table.heads)
    rows = [_row(table.heads, width), "|" + "|".join([" --- "] * width) + "|"]
    rows += [_row(line.cells, width) for line in table.lines]
    return [*([table.caption] if table.caption else []), "\n".join(rows), *table.notes]


def _row(cells: tuple[str, ...], width: int) -> str:
    texts = [cell.replace("|", "\\|").replace("\n", " ") for cell in cells]
    return "| " + " | ".join([*texts, *[""] * (width - len(texts))]) + " |"
