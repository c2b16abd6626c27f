"""Figures as inline SVG that follows the page: its text is text, its colours are the page's variables."""

import io
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from bayesmeta.plots import forest, funnel, prior_posterior, prior_sets, ranks
from bayesmeta.plots._style import COLOURS, PUBLISHED
from bayesmeta.plots.forest import forest_data, forest_room

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bayesmeta.analysis import OutcomeResult
    from bayesmeta.posterior import Posterior

SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "text.parse_math": False,
}


def inline_svg(
    draw: "Callable[[Axes], Any]",
    *,
    width: float,
    height: float,
    label: str,
    name: str,
    position: tuple[float, float, float, float] = (0.04, 0.2, 0.92, 0.74),
) -> Markup:
    """Return a drawing as one ``<svg>`` element.

    Parameters
    ----------
    draw
        Draws on the axes it is given.
    width, height
        Inches.
    label
        What the figure shows, for readers who cannot see it.
    name
        Prefix of the ids inside, so that figures of one page do not share any.
    position
        Of the axes, in fractions of the figure.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    settings: Any = {**SETTINGS, "svg.hashsalt": name}
    with mpl.rc_context(settings), warnings.catch_warnings():
        # The reader's browser draws the text, with its own fonts: ours only measures it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        figure = Figure(figsize=(width, height))
        figure.patch.set_alpha(0.0)
        axes = figure.add_axes(position)
        draw(axes)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return Markup(_inlined(out.getvalue(), name, label))


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


def forest_figure(result: "OutcomeResult", name: str) -> Markup:
    """Return the forest plot of an outcome."""
    height, position = forest_room(forest_data(result.comparison))
    return inline_svg(
        lambda ax: forest(result.comparison, ax=ax),
        width=11.0,
        height=height,
        position=position,
        label=f"Forest plot: {result.label}",
        name=name,
    )


def density_figure(posterior: "Posterior", quantity: Any, measure: str, level: float, name: str) -> Markup:
    """Return prior and posterior of mu or tau."""
    return inline_svg(
        lambda ax: prior_posterior(posterior, quantity, measure=measure, level=level, ax=ax),
        width=5.3,
        height=2.7,
        label=f"Prior and posterior density of {quantity}",
        name=name,
    )


def prior_sets_figure(result: "OutcomeResult", measure: str, level: float, name: str) -> Markup:
    """Return the pooled effect under each set of priors."""
    posteriors = {s.label: s.posterior for s in result.prior_sets if s.posterior is not None}
    height = 0.75 + 0.3 * len(posteriors)
    return inline_svg(
        lambda ax: prior_sets(posteriors, measure=measure, level=level, ax=ax),
        width=8.0,
        height=height,
        position=(0.32, 0.52 / height, 0.64, 1 - 0.56 / height),
        label=f"Pooled effect under each set of priors: {result.label}",
        name=name,
    )


def funnel_figure(result: "OutcomeResult", level: float, name: str) -> Markup:
    """Return the funnel plot of an outcome."""
    return inline_svg(
        lambda ax: funnel(result.comparison.effects, level=level, ax=ax),
        width=5.3,
        height=3.3,
        position=(0.12, 0.17, 0.84, 0.78),
        label=f"Funnel plot: {result.label}",
        name=name,
    )


def ranks_figure(posterior: "Posterior", quantity: str, name: str) -> Markup:
    """Return the rank plot of a quantity's chains."""
    return inline_svg(
        lambda ax: ranks(posterior, quantity, ax=ax),
        width=5.3,
        height=2.2,
        position=(0.12, 0.24, 0.84, 0.7),
        label=f"Rank plot of {quantity}",
        name=name,
    )
