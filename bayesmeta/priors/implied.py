"""What a prior for tau implies, in numbers and in words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.effects import is_ratio
from bayesmeta.errors import ModelError
from bayesmeta.priors.base import number
from bayesmeta.priors.scaled import typical_scale
from bayesmeta.priors.text import parse_prior

# Of a normal distribution, 95% lies within 1.96 SD of the centre: limits 3.92 SD apart.
SPAN_95 = 2 * 1.959963984540054


@dataclass(frozen=True, slots=True)
class ImpliedHeterogeneity:
    """What a prior for tau says about how much studies differ.

    Parameters
    ----------
    prior
        Text form.
    tau
        Quantiles of tau by probability, on the analysis scale.
    span
        Distance between the limits that hold 95% of studies' true effects, ``3.92 tau``, by probability.
    ratio
        For ratio measures ``exp(3.92 tau)``: how many times larger the upper of these limits is than
        the lower, by probability; None otherwise.
    I2
        Share of I2 by probability, given the studies' typical sampling variance; None without it.
    text
        The median case in a sentence.
    """

    prior: str
    tau: dict[float, float]
    span: dict[float, float]
    ratio: dict[float, float] | None
    I2: dict[float, float] | None
    text: str


def implied(
    prior: Any,
    *,
    measure: str = "OR",
    sei: ArrayLike | None = None,
    probabilities: tuple[float, ...] = (0.025, 0.5, 0.95, 0.975),
) -> ImpliedHeterogeneity:
    """Return what a proper prior for tau implies.

    Parameters
    ----------
    prior
        Prior of tau, value or text form; data-dependent ones need `sei`.
    measure
        Effect measure; ratio measures also get the ratio of limits.
    sei
        ``(k,)`` standard errors: with at least two of them the implied I2 at their typical variance
        (Higgins & Thompson 2002, Stat Med 21:1539-1558) is added.
    probabilities
        Of the quantiles; 0.5 is always included.

    Raises
    ------
    ModelError
        If the prior is improper or allows negative values.

    References
    ----------
    Spiegelhalter, Abrams & Myles 2004, Bayesian Approaches to Clinical Trials and Health-Care Evaluation,
    section 5.7: 95% of studies' odds ratios lie within a factor exp(3.92 tau).

    Examples
    --------
    >>> print(implied("half_normal(0.5)").text)
    half_normal(0.5): an even chance that tau is below 0.337, where 95% of true ORs lie within a factor of 3.75.
    """
    value = parse_prior(prior)
    if sei is not None:
        value = value.resolve(sei)
    if not value.proper:
        raise ModelError(f"{value!r} is improper: it implies no median or limit. Use a proper prior for this summary.")
    if value.support[0] < 0:
        raise ModelError(f"{value!r} allows negative values, so it is no prior for tau.")
    levels = sorted({*probabilities, 0.5})
    tau = {q: float(value.ppf(q)) for q in levels}
    span = {q: SPAN_95 * t for q, t in tau.items()}
    ratio = {q: _exp(s) for q, s in span.items()} if is_ratio(measure) else None
    return ImpliedHeterogeneity(
        prior=repr(value),
        tau=tau,
        span=span,
        ratio=ratio,
        I2=None if sei is None or np.size(sei) < 2 else {q: _share(t, typical_scale(sei)) for q, t in tau.items()},
        text=_sentence(repr(value), measure, tau[0.5]),
    )


def _exp(x: float) -> float:
    return math.exp(x) if x < 709 else math.inf


def _share(tau: float, scale: float) -> float:
    ratio = tau / scale
    return 1.0 if math.isinf(ratio * ratio) else ratio * ratio / (1 + ratio * ratio)


def _sentence(prior: str, measure: str, median: float) -> str:
    start = f"{prior}: an even chance that tau is below {median:.3g}, where 95% of true "
    if is_ratio(measure):
        return f"{start}{measure}s lie within a factor of {number(float(f'{_exp(SPAN_95 * median):.3g}'))}."
    return f"{start}effects ({measure}) lie within a range {number(float(f'{SPAN_95 * median:.3g}'))} wide."
