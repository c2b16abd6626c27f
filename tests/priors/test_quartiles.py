"""Middle and width of a prior from its quartiles, and the parts of a mixture."""

import pytest
from scipy import stats

from bayesmeta.priors import parse_prior
from bayesmeta.priors.mixtures import parts_of
from bayesmeta.priors.quartiles import middle_and_width


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("normal(-0.4, 1.3)", stats.norm(-0.4, 1.3)),
        ("cauchy(2, 0.7)", stats.cauchy(2, 0.7)),
        ("half_normal(0.5)", stats.halfnorm(scale=0.5)),
    ],
)
def test_a_normal_prior_of_that_middle_and_width_has_the_same_median_and_interquartile_range(text, known):
    """The width is the SD of the normal distribution with the prior's interquartile range, to its four digits."""
    middle, width = middle_and_width(parse_prior(text))
    assert middle == pytest.approx(known.median())
    same = stats.norm(middle, width)
    assert same.ppf(0.75) - same.ppf(0.25) == pytest.approx(known.ppf(0.75) - known.ppf(0.25), rel=1e-4)


def test_a_mixture_consists_of_itself_and_its_components():
    """A mixture counts beside its parts, a plain prior is its only part, and an improper one has none."""
    mixture = parse_prior("0.5*normal(0, 0.1) + 0.5*cauchy(0, 1)")
    assert parts_of(mixture) == [mixture, parse_prior("normal(0, 0.1)"), parse_prior("cauchy(0, 1)")]
    assert parts_of(parse_prior("normal(0, 1)")) == [parse_prior("normal(0, 1)")]
    assert parts_of(parse_prior("flat()")) == []
