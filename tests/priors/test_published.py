"""Published tables, default priors, what a prior implies, effective sample size and MAP priors."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import bayesmeta as bm
from bayesmeta.priors import (
    default_prior,
    default_priors,
    ess,
    fill_defaults,
    implied,
    log_or_to_smd,
    map_prior,
    parse_prior,
    published,
    rhodes2015,
    smd_to_log_or,
    turner2015,
    uisd,
)

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "bayesmeta_misc.json").read_text())["results"]
YI, SEI = [-1.295, -0.98, -0.52, -1.2], [0.235, 0.338, 0.29, 0.38]


@pytest.mark.parametrize("key", sorted(GOLDEN["Turner_presets"]))
def test_turner_presets(key):
    """Turner's priors for tau have the golden parameters and quantiles."""
    outcome, *arms = key.split(" | ")
    prior = turner2015() if outcome == "NA" else turner2015(outcome, " vs ".join(arms))
    golden = GOLDEN["Turner_presets"][key]
    assert (prior.mu, prior.sigma) == pytest.approx((golden["meanlog_tau"], golden["sdlog_tau"]), abs=1e-12)
    np.testing.assert_allclose(prior.ppf([0.025, 0.5, 0.975]), golden["q"], rtol=1e-12)


@pytest.mark.parametrize("key", sorted(GOLDEN["Rhodes_presets"]))
def test_rhodes_presets(key):
    """Rhodes' priors for tau have the golden parameters and quantiles."""
    outcome, *arms, area = key.split(" | ")
    prior = rhodes2015() if outcome == "NA" else rhodes2015(outcome, " vs ".join(arms), area)
    golden = GOLDEN["Rhodes_presets"][key]
    assert (prior.loc, prior.scale) == pytest.approx((golden["location_tau"], golden["scale_tau"]), abs=1e-12)
    np.testing.assert_allclose(prior.ppf([0.025, 0.5, 0.975]), golden["q"], rtol=1e-11)


@pytest.mark.parametrize(
    ("text", "prior"),
    [
        ("turner2015('all-cause mortality', 'pharmacological vs placebo/control')", "log_normal(-1.975, 0.67)"),
        ("turner2015('all-cause mortality', 'placebo/control vs. Pharmacological')", "log_normal(-1.975, 0.67)"),
        ("turner2012('subjective', 'non-pharmacological vs pharmacological')", "log_normal(-1.005, 0.82)"),
        ("rhodes2015()", "log_student_t(5, -1.72, 1.295)"),
        ("bartos2021('Heart')", "inverse_gamma(1.83, 0.47)"),
        ("bartos2023('Heart', 'RD')", "half_normal(0.07)"),
        ("bartos2023('Heart', 'OR', 'mu')", "student_t(2, 0, 0.2)"),
        ("weakly_informative('OR')", "half_normal(0.5)"),
        ("weakly_informative('OR', 'mu', 'normal(0, 4)')", "normal(0, 4)"),
        ("weakly_informative('SMD', 'mu')", "truncated(student_t(3, 0.35, 0.102), 0, inf)"),
    ],
)
def test_published_priors_read_from_text(text, prior):
    """A look-up is a text form; it gives the published prior with its numbers on tau or mu."""
    assert repr(parse_prior(text)) == prior


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("turner2015('pian', 'pharmacological vs pharmacological')", "Did you mean 'pain'.*adverse events"),
        ("turner2015('pain', 'drug vs placebo')", "Unknown comparison.*pharmacological vs placebo/control"),
        ("turner2015('pain')", "Unknown comparison"),
        ("turner2015('any', 'pharmacological vs placebo/control')", "give an outcome too"),
        ("turner2015('mortality', 'pharmacological vs placebo/control')", "Unknown outcome"),
        ("rhodes2015('mental health outcome', 'pharmacological vs pharmacological', 'heart')", "Known: cancer, other"),
        ("bartos2023('Hart')", "Did you mean 'Heart'"),
        ("bartos2023('Heart', 'SMD')", "Unknown measure"),
        ("bartos2021('Heart', 'sigma')", "Unknown parameter"),
        ("weakly_informative('MD')", "tabulated"),
        ("weakly_informative('OR', 'tau', 'half_normal(9)')", "Unknown weakly informative"),
    ],
)
def test_unknown_categories_are_named(text, message):
    """A category that is not in the table is refused with the nearest one or the list."""
    with pytest.raises(bm.ModelError, match=message):
        parse_prior(text)


def test_published_tables_are_complete_and_sourced():
    """Every row of every table gives a proper prior with a source; the suspicious cells carry a note."""
    tables = {name: published(name) for name in ("turner2012", "turner2015", "rhodes2015", "bartos2021", "bartos2023")}
    assert {name: len(rows) for name, rows in tables.items()} == {
        "turner2012": 9,
        "turner2015": 81,
        "rhodes2015": 73,
        "bartos2021": 94,
        "bartos2023": 323,
    }
    assert all(row.prior.proper and row.source and row.doi for rows in tables.values() for row in rows)
    assert sum("misprint" in row.note or "+0.01" in row.note for row in tables["rhodes2015"]) == 2
    with pytest.raises(bm.ModelError, match="Did you mean 'turner2015'"):
        published("turner2016")


@pytest.mark.parametrize(
    ("measure", "mu", "tau"),
    [
        ("OR", "normal(0, 2.82)", "half_normal(0.5)"),
        ("HR", "normal(0, 2.82)", "half_normal(0.5)"),
        ("SMD", "normal(0, 1.41)", "half_normal(0.25)"),
        ("RD", "normal(0, 0.705)", "half_normal(0.125)"),
        ("ZCOR", "normal(0, 0.705)", "half_normal(0.125)"),
        ("PLO", "flat()", "half_normal(1)"),
        ("PFT", "flat()", "half_normal(0.25)"),
    ],
)
def test_default_priors_know_the_unit(measure, mu, tau):
    """Defaults of a measure with a known unit are on that unit, whatever the data, and bm.fit uses and shows them."""
    effects = bm.EffectSizes(yi=YI, sei=SEI, measure=measure)
    assert {k: repr(v) for k, v in default_priors(effects).items()} == {"mu": mu, "tau": tau}
    post = bm.fit(effects, engine="quadrature")
    assert (repr(post.priors["mu"]), repr(post.priors["tau"])) == (mu, tau)


@pytest.mark.parametrize(("measure", "centred"), [("MD", True), ("GEN", False)])
def test_defaults_follow_the_unit_information_sd(measure, centred):
    """Mean differences and generic effects take the log odds ratio's shares of their unit information SD."""
    ni = [40, 50, 60, 70]
    for unit in (1.0, 1e-3, 1e6):
        effects = bm.EffectSizes(yi=np.array(YI) * unit, sei=np.array(SEI) * unit, ni=ni, measure=measure)
        u = uisd(ni, effects.sei)
        assert default_prior(effects, "tau").scale == pytest.approx(u / 8, rel=5e-3)
        mu = default_prior(effects, "mu")
        assert mu.scale == pytest.approx(0.705 * u, rel=5e-3) if centred else repr(mu) == "flat()"


@pytest.mark.parametrize("measure", ["MD", "GEN", "IRD", "MN"])
def test_unknown_units_are_asked_for(measure):
    """Without sample sizes a measure of unknown unit has no default: the error proposes priors that can be fitted."""
    effects = bm.EffectSizes(yi=YI, sei=SEI, measure=measure)
    with pytest.raises(bm.ModelError, match=r"half_normal\(S\).*dumouchel\(0\.296\)"):
        bm.fit(effects)
    post = bm.fit(effects, priors={"mu": "flat()", "tau": "dumouchel(0.296)"}, engine="quadrature")
    assert math.isfinite(post.mu.median())


def test_priors_given_or_chosen_by_a_model_author_stay():
    """Only the log ratio's own numbers are replaced, and never what the user gave."""
    effects = bm.EffectSizes(yi=YI, sei=SEI, measure="SMD")
    own = {"mu": parse_prior("normal(0, 2.82)"), "tau": parse_prior("half_normal(10)")}
    assert {k: repr(v) for k, v in fill_defaults(effects, own, None).items()} == {"mu": "normal(0, 1.41)"}
    assert fill_defaults(effects, own, {"mu": "flat()"}) == {"mu": "flat()"}
    assert fill_defaults(object(), own, None) == {}


def test_conversion_between_log_odds_ratios_and_mean_differences():
    """A prior moves between the two scales by pi / sqrt(3), and back."""
    prior = parse_prior("half_normal(0.5)")
    assert log_or_to_smd(prior).scale == pytest.approx(0.5 * math.sqrt(3) / math.pi)
    assert smd_to_log_or(log_or_to_smd(prior)).scale == pytest.approx(0.5)


def test_what_a_prior_implies():
    """Half-normal(0.5): median 0.337, limit 0.98, a factor of 3.75 between extreme odds ratios; I2 from the errors."""
    summary = implied("half_normal(0.5)", measure="OR", sei=[0.3, 0.3, 0.3])
    normal = stats.halfnorm(scale=0.5)
    for q in (0.5, 0.95, 0.975):
        tau = normal.ppf(q)
        assert summary.tau[q] == pytest.approx(tau)
        assert summary.ratio[q] == pytest.approx(math.exp(2 * stats.norm.ppf(0.975) * tau))
        assert summary.I2[q] == pytest.approx(tau**2 / (tau**2 + 0.09))
    assert "within a factor of 3.75" in summary.text
    assert implied("half_normal(5)", measure="MD").ratio is None
    assert implied("half_normal(5)", measure="MD").I2 is None
    assert implied("log_student_t(1, 0, 100)").ratio[0.975] == math.inf
    for text in ("uniform()", "normal(0, 1)"):
        with pytest.raises(bm.ModelError):
            implied(text)


@pytest.mark.parametrize("name", ["ess_baeten", "uisd_crins"])
def test_unit_information_sd(name):
    """The unit information SD, pooled and study by study, is the golden one."""
    golden = GOLDEN[name]
    sei = np.sqrt(golden["vi"])
    assert uisd(golden["n"], sei) == pytest.approx(golden["uisd"], rel=1e-12)
    own = golden.get("uisd_individual", golden.get("individual"))
    np.testing.assert_allclose(uisd(golden["n"], sei, individual=True), own, rtol=1e-12)
    with pytest.raises(bm.DataError):
        uisd(golden["n"], sei[:-1])
    with pytest.raises(bm.DataError):
        uisd([-1.0], [1.0])


@pytest.mark.parametrize("method", ["elir", "vr", "pr", "mtm.pt"])
def test_effective_sample_size_of_closed_forms(method):
    """A normal prior is worth (uisd / sd)^2 patients by every method; Student's t by the formulas of its moments."""
    assert ess(parse_prior("normal(-1, 0.4)"), 2.0, method=method) == pytest.approx(25, rel=1e-7)
    nu, s = 5.0, 0.3
    information = {"elir": (nu + 1) / (nu + 3) / s**2, "mtm.pt": (nu + 1) / nu / s**2}
    expected = 4 * information.get(method, (nu - 2) / nu / s**2)
    assert ess(parse_prior(f"student_t({nu}, 1, {s})"), 2.0, method=method) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("method", ["elir", "vr", "pr", "mtm.pt"])
@pytest.mark.parametrize("unit", ["fixed_2.35", "cosh"])
def test_effective_sample_size_of_a_map_prior(method, unit):
    """The package's figures for a predictive prior, within the 0.5% its grid of predictive densities costs it."""
    golden = GOLDEN["ess_baeten"]
    effects = bm.EffectSizes(yi=golden["yi"], sei=np.sqrt(golden["vi"]), measure="OR")
    post = bm.fit(effects, priors={"mu": "normal(0, 4)", "tau": "half_normal(0.5)"}, engine="quadrature")
    sd = golden["uisd"] if unit == "fixed_2.35" else (lambda x: 2 * np.cosh(x / 2))
    expected = golden["ess"]["N0sd4_HN0.5"][method][unit]
    assert ess(post.theta_new, sd, method=method) == pytest.approx(expected, rel=5e-3)


@pytest.mark.parametrize(
    ("text", "information"),
    [
        ("truncated(normal(0, 1), 0, inf)", 1.0),
        ("truncated(normal(0, 1), -inf, 0)", 1.0),
        ("truncated(normal(2, 0.5), 2.5, 4)", 4.0),
        ("truncated(student_t(3, 0, 1), 0, 2)", 4 / 3),
        ("half_cauchy(0.5)", 8.0),
        ("exponential(2)", 0.0),
        ("gamma(3, 2)", 2.0),
        ("0.5*uniform(0, 0.2) + 0.5*half_normal(1)", None),
    ],
)
def test_information_at_a_mode_on_the_edge_is_that_of_the_formula(text, information):
    """Where the density ends or jumps at its mode, the curvature is that of the side the mode is on."""
    if information is None:
        # p = 0.5 / 0.2 + h with h half of the half-normal density: log p has curvature h'' / p at 0.
        h = float(np.exp(-0.0) / np.sqrt(2 * np.pi))
        information = h / (2.5 + h)
    assert ess(parse_prior(text), 4.0, method="mtm.pt") == pytest.approx(16 * information, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("text", ["gamma(0.5, 1)", "lomax(2, 1)"])
def test_no_information_at_a_mode_that_is_no_peak(text):
    """Where a density rises without bound, or its log is convex at the mode, that method says nothing."""
    with pytest.raises(bm.ModelError, match="not a smooth peak"):
        ess(parse_prior(text), 4.0, method="mtm.pt")


def test_expected_information_of_a_truncated_normal():
    """Inside its limits a truncated normal has the information of the normal."""
    assert ess(parse_prior("truncated(normal(0, 1), 0, inf)"), 4.0) == pytest.approx(16, rel=1e-7)


def test_effective_sample_size_that_does_not_exist():
    """The variance ratio of a Cauchy prior does not exist, and is not reported as a number."""
    with pytest.raises(bm.ConvergenceError, match="too heavy"):
        ess(parse_prior("cauchy(0, 1)"), 2.0, method="vr")
    with pytest.raises(bm.ConvergenceError, match="Use a distribution with lighter tails, or a constant uisd"):
        ess(parse_prior("cauchy(0, 1)"), lambda x: 1 + x**4, method="elir")
    with pytest.raises(bm.ModelError, match="Unknown method"):
        ess(parse_prior("normal(0, 1)"), 2.0, method="morita")
    with pytest.raises(bm.ModelError, match="uisd"):
        ess(parse_prior("normal(0, 1)"), -2.0)


def test_map_prior_recovers_a_mixture():
    """A mixture of two separate normals is found again, with no divergence."""
    fitted = map_prior(parse_prior("0.3*normal(-3, 0.3) + 0.7*normal(3, 0.5)"), components=2)
    assert fitted.divergence == pytest.approx(0, abs=1e-9)
    assert fitted.prior.weights == pytest.approx((0.7, 0.3), abs=1e-6)
    assert [c.scale for c in fitted.prior.components] == pytest.approx([0.5, 0.3], abs=1e-6)


def test_map_prior_of_a_predictive_distribution():
    """Mean and SD of the predictive distribution are kept, more components fit closer, and the result is a prior."""
    post = bm.fit(bm.EffectSizes(yi=YI, sei=SEI, measure="OR"), engine="quadrature")
    fits = [map_prior(post.theta_new, components=n) for n in (1, 2, 3)]
    assert fits[0].divergence > fits[1].divergence > fits[2].divergence > 0
    assert fits[2].divergence < 1e-3
    for fitted in fits:
        assert fitted.prior.mean() == pytest.approx(post.theta_new.mean(), abs=1e-6)
        assert fitted.prior.sd() == pytest.approx(post.theta_new.sd(), rel=1e-5)
        assert parse_prior(repr(fitted.prior)) == fitted.prior
    robust = bm.priors.robust(fits[2].prior, 0.2, "normal(0, 2.82)")
    assert robust.weights[-1] == 0.2
    assert math.fsum(robust.weights) == pytest.approx(1)
    with pytest.raises(bm.ModelError, match="at least 1"):
        map_prior(post.theta_new, components=0)
