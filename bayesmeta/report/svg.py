"""Figures as inline SVG that follows the page: its text is text, its colours are the page's variables."""

import io
import re
import warnings
from typing import Any

from markupsafe import Markup, escape

from bayesmeta.plots._style import COLOURS, PUBLISHED
from bayesmeta.report.values import Figure

SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "text.parse_math": False,
}


def inline_svg(figure: Figure) -> Markup:
    """Return a figure as one ``<svg>`` element; its name is the prefix of the ids inside."""
    metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
    svg = saved(figure, "svg", settings={"svg.hashsalt": figure.name}, metadata=metadata).decode()
    return Markup(_inlined(svg, figure.name, figure.label))


def saved(figure: Figure, file_format: str, *, settings: dict[str, Any] | None = None, **options: Any) -> bytes:
    """Return a figure as a file of a format that matplotlib writes; `options` are those of its ``savefig``."""
    import matplotlib as mpl
    from matplotlib.figure import Figure as Canvas

    chosen: Any = {**SETTINGS, **(settings or {})}
    out = io.BytesIO()
    with mpl.rc_context(chosen), warnings.catch_warnings():
        # The reader's browser draws the text, with its own fonts: ours only measures it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        canvas = Canvas(figsize=(figure.width, figure.height))
        canvas.patch.set_alpha(0.0)
        figure.draw(canvas.add_axes(figure.position))
        canvas.savefig(out, format=file_format, **options)
    return out.getvalue()


def _inlined(svg: str, name: str, label: str) -> str:
    """Strip what belongs to a file of its own, and tie ids and colours to the page."""
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid=")', rf"\g<1>{name}-", svg)
    svg = re.sub(r'((?:xlink:)?href="#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    for variable, colour in {**COLOURS, "published": PUBLISHED}.items():
        svg = svg.replace(colour, f"var(--{variable})")
    head, rest = svg.split(">", 1)
    return f'{head} role="img" aria-label="{escape(label)}">{rest}'
