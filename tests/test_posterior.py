"""The result shape: names, summaries, probabilities."""

from dataclasses import replace

import numpy as np
import pytest

import bayesmeta as bm
from bayesmeta.engines.lazy import Lazy
from bayesmeta.errors import UnknownNameError
from bayesmeta.marginals import convergence
from bayesmeta.marginals.draws import DrawsMarginal
from bayesmeta.posterior import Diagnostics
from bayesmeta.words import supported

EFFECTS = bm.EffectSizes(yi=[0.9, 0.2, 0.6, -0.1], sei=[0.3, 0.25, 0.4, 0.5], study=["a", "b", "c", "d"], measure="OR")
POST = bm.fit(EFFECTS, priors={"mu": "normal(0, 1)", "tau": "point(0)"}, engine="quadrature")


def test_summary_has_every_quantity():
    """The summary has a row for every marginal and study, with either interval."""
    post = bm.fit(EFFECTS, priors={"mu": "normal(0, 1)", "tau": "half_normal(0.5)"}, engine="quadrature")
    frame = post.summary()
    assert list(frame.index) == [*post.marginals, *(f"theta[{s}]" for s in EFFECTS.study)]
    assert frame.loc["mu", "median"] == post.mu.median()
    assert {"hdi_low", "hdi_high"} <= set(post.summary(level=0.8, interval="hdi").columns)
    with pytest.raises(bm.ModelError, match="eti"):
        post.summary(interval="quantile")


def test_unknown_names_are_named():
    """An unknown quantity or study names what there is."""
    with pytest.raises(bm.ModelError, match="theta_new"):
        POST["muu"]
    with pytest.raises(UnknownNameError, match=r"^Unknown study 'z'. Known"):
        POST.theta["z"]
    assert POST.theta.get("z") is None
    assert "z" not in POST.theta


def test_coefficients_by_term():
    """Without moderators beta is mu; a combination of one coefficient is its multiple."""
    assert list(POST.beta) == ["mu"]
    assert POST.linear([2.0]).mean() == pytest.approx(2.0 * POST.mu.mean(), rel=1e-12)
    assert POST.predicted([1.0]).ppf(0.3) == pytest.approx(POST.theta_new.ppf(0.3), rel=1e-12)
    with pytest.raises(bm.ModelError, match="1 finite value"):
        POST.linear([1.0, 2.0])


@pytest.mark.parametrize(("draws", "seed"), [(0, 1), (1.5, 1), (10, "x"), (10, -1)])
def test_draws_and_seed_are_whole_numbers(draws, seed):
    """Nothing is drawn from a seed or a number of draws that is no whole number."""
    with pytest.raises(bm.ModelError, match="must be a whole number"):
        POST.to_datatree(draws=draws, seed=seed)


def test_results_of_every_engine_name_what_is_missing():
    """Named marginals say what there is, and still work as a mapping."""
    named = Lazy({"Chang 2018": lambda: POST.mu})
    with pytest.raises(UnknownNameError, match="Did you mean 'Chang 2018'"):
        named["Chang"]
    assert named.get("Chang") is None


def test_printing_shows_no_digit_that_the_monte_carlo_error_does_not_support():
    """The last digit printed of a sampled figure is worth more than half its error; the verdict and remedies follow."""
    rng = np.random.default_rng(1)
    draws = DrawsMarginal(rng.normal(-12.3456789, 0.2, (4, 1000)))
    table = {"mu": convergence.summary(draws.draws, (0.025, 0.5, 0.975))}
    diagnostics = Diagnostics(ok=False, verdict="Do not rely.", table=table, remedies=("run 4 times longer",))
    sampled = replace(POST, marginals={"mu": draws}, engine="nuts", diagnostics=diagnostics)
    *_, row, tried, verdict = str(sampled).splitlines()
    figures = dict(zip(("mean", "sd", "50%", "2.5%", "97.5%"), row.split()[1:], strict=True))
    for figure, text in figures.items():
        unit = 10.0 ** -len(text.partition(".")[2])
        assert unit >= table["mu"][f"mcse_{figure}"] > unit / 10.0
    assert float(figures["mean"]) == pytest.approx(draws.mean(), abs=0.005)
    assert (tried, verdict) == ("Tried: run 4 times longer.", "Do not rely.")
    assert "NOT reliable" in repr(sampled)


def test_a_large_figure_is_rounded_to_tens_where_its_error_is_tens():
    """A mean of 1234 known to within 20 is printed as 1200."""
    assert supported(1234.0, 20.0, 4) == "1200"
    assert supported(0.123456, 0.0, 4) == supported(0.123456, None, 4) == "0.1235"


@pytest.mark.parametrize(("variant", "sampled"), [("default", {"mu", "tau"}), ("non_centred", {"mu", "tau", "eta"})])
def test_the_pymc_model_is_the_variant_that_was_sampled(variant, sampled):
    """And the default one where nothing was sampled."""
    post = bm.fit(bm.EffectSizes(yi=np.array([0.1, 0.4]), sei=np.array([0.2, 0.3]), measure="OR"))
    assert {v.name for v in replace(post, options={"variant": variant}).pymc_model().free_RVs} == sampled
    assert {v.name for v in post.pymc_model().free_RVs} == {"mu", "tau"}
