"""Which model of the counts themselves a user is sent to, for each effect measure.

One fact for advice in errors, caveats and reports, and for the default of `fit` on counts. The models named lean on
neither arm: exchanging the arms changes the sign of the effect and nothing else. Those of odds ratios and of rate
ratios condition on each study's total of events, so that a study without events says nothing.
"""

NEUTRAL = {
    "OR": "hypergeometric_normal",
    "PETO": "hypergeometric_normal",
    "RR": "binomial_normal_rr",
    "RD": "binomial_normal_rd",
    "IRR": "poisson_normal_conditional",
}


def exact_model(measure: str) -> str:
    """Return the name of the model of counts for a measure; that of odds ratios where a measure has none of its own."""
    return NEUTRAL.get(measure, NEUTRAL["OR"])


def fit_the_counts(measure: str) -> str:
    """Return the advice to fit the counts, to stand inside a sentence.

    >>> fit_the_counts("OR")
    "fit the 'hypergeometric_normal' model on the counts"
    """
    return f"fit the {exact_model(measure)!r} model on the counts"
