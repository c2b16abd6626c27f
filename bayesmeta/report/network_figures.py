"""The figures of a network's report: what is drawn, how large, and what is said below."""

from bayesmeta.compare.network_comparison import NetworkComparison
from bayesmeta.plots import league_heat, network_forest, network_funnel, network_graph, node_splits, rankogram
from bayesmeta.report.values import Figure, Words

LEAGUE_UP_TO = 12
"""More treatments cannot be read in a figure of the page's width."""


def graph_figure(c: NetworkComparison) -> Figure:
    """Return the graph of the network."""
    return Figure(
        draw=lambda ax: network_graph(c.contrasts, ax=ax),
        width=6.4,
        height=5.2,
        position=(0.02, 0.02, 0.96, 0.96),
        label="Graph of the network",
        name="network-graph",
        caption=(Words("Circles by patients, lines by the number of studies that stands on them."),),
    )


def forest_figure(c: NetworkComparison) -> Figure:
    """Return every treatment against the reference."""
    height = 1.1 + 0.55 * (len(c.order) - 1)
    return Figure(
        draw=lambda ax: network_forest(c, ax=ax),
        width=7.6,
        height=height,
        position=(0.26, 0.62 / height, 0.7, 1.0 - 0.95 / height),
        label=f"Forest plot against {c.reference}",
        name="network-forest",
        caption=(
            Words("Classical", "classical"),
            Words(" and "),
            Words("Bayesian", "bayesian"),
            Words("; thick: mean effect, thin: prediction interval of a new study."),
        ),
        wide=True,
    )


def league_figure(c: NetworkComparison) -> Figure:
    """Return the league table as a heat map."""
    n = len(c.order)
    return Figure(
        draw=lambda ax: league_heat(c, ax=ax),
        width=1.2 + 1.15 * n,
        height=0.8 + 0.62 * n,
        position=(0.01, 0.1, 0.98, 0.88),
        label="League table as a heat map",
        name="network-league",
        caption=(Words("The deeper a cell, the larger the benefit; bold: the interval excludes no effect."),),
        wide=True,
    )


def rank_figure(c: NetworkComparison) -> Figure:
    """Return the rankogram."""
    height = 0.9 + 0.5 * len(c.order)
    return Figure(
        draw=lambda ax: rankogram(c.posterior, c.benefit, ax=ax),
        width=6.4,
        height=height,
        position=(0.26, 0.5 / height, 0.56, 1.0 - 0.75 / height),
        label="Rankogram",
        name="network-ranks",
    )


def split_figure(c: NetworkComparison) -> Figure:
    """Return direct against indirect evidence; only where some comparison has both."""
    height = 1.1 + 0.6 * int(c.node_splits["difference"].notna().sum())
    return Figure(
        draw=lambda ax: node_splits(c, ax=ax),
        width=8.6,
        height=height,
        position=(0.3, 0.62 / height, 0.44, 1.0 - 1.0 / height),
        label="Direct against indirect evidence",
        name="network-splits",
        wide=True,
    )


def funnel_figure(c: NetworkComparison) -> Figure:
    """Return the comparison-adjusted funnel plot, from the worst to the best ranked treatment."""
    return Figure(
        draw=lambda ax: network_funnel(c.contrasts, c.order[::-1], ax=ax),
        width=8.4,
        height=4.4,
        position=(0.09, 0.13, 0.6, 0.84),
        label="Comparison-adjusted funnel plot",
        name="network-funnel",
        wide=True,
    )
