"""Generalised linear mixed models of counts: metafor's estimates, the likelihood by plain integration, refusals."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, special, stats

import bayesmeta as bm
from bayesmeta.errors import ConvergenceError, DataError, ModelError
from bayesmeta.frequentist import glmm

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "glmm_metafor.json").read_text())["fits"]
ROWS = [
    (data, name)
    for data, fits in GOLDEN.items()
    for name, row in fits.items()
    if name != "data" and "b" in row and not name.startswith("RD") and ("nAGQ" not in name or data == "damico2009")
]
# Where metafor's optimiser stopped before the maximum: the log likelihood here is higher, by plain comparison of
# logLik, or (the log link) it says itself that its Hessian is not positive definite. Standard errors of UM.RS are
# from second differences of a likelihood that lme4 computes to 1e-7. Tolerances of b, se and tau2.
SHORT_OF_THE_MAXIMUM = {
    ("hahn2001", "OR|CM.EL|ML"): (3e-4, np.inf, 3e-4),
    ("hahn2001", "OR|UM.RS|ML"): (1e-4, 1e-3, 1e-4),
    ("hine1989", "OR|CM.EL|ML"): (1e-4, 1e-4, 1e-4),
    ("damico2009", "OR|UM.RS|ML"): (3e-4, 1e-3, 3e-4),
    ("damico2009", "OR|UM.FS|ML|nAGQ 1"): (1e-4, 1e-4, 2e-4),
    ("damico2009", "RR|UM.FS|ML"): (1e-2, 1e-2, 1e-3),
    ("nielweise2008", "IRR|UM.RS|ML"): (3e-4, 4e-3, 3e-4),
}


def fitted(data, name):
    """Return our fit of a row of the golden file."""
    counts, parts = GOLDEN[data]["data"], name.split("|")
    if parts[0] in ("PLO", "IRLN"):
        seen = {"events": counts["xi"], **({"n": counts["ni"]} if parts[0] == "PLO" else {"time": counts["ti"]})}
        k = len(counts["xi"])
        return glmm(bm.EffectSizes(np.zeros(k), np.ones(k), measure=parts[0], observed=seen), method=parts[1])
    kind, names = bm.TwoByTwo, ("ai", "n1i", "ci", "n2i")
    if parts[0] == "IRR":
        kind, names = bm.PersonTime, ("x1i", "t1i", "x2i", "t2i")
    points = int(parts[3].split()[1]) if len(parts) > 3 else None
    data = kind(*(counts[n] for n in names))
    return glmm(data, model=parts[1], measure=parts[0], method=parts[2], points=points)


@pytest.mark.parametrize(("data", "name"), ROWS)
def test_metafor_gives_the_same(data, name):
    """Estimate, standard error, tau2 and I2 are metafor's, and the log likelihood is not below it."""
    row, fit = GOLDEN[data][name], fitted(data, name)
    b, se, tau2 = SHORT_OF_THE_MAXIMUM.get((data, name), (1e-4, 1e-4, 1e-4))
    assert fit.mu == pytest.approx(row["b"], abs=b)
    assert fit.se == pytest.approx(row["se"], abs=se)
    assert fit.tau2 == pytest.approx(row["tau2"], abs=tau2)
    assert (fit.k - 1, fit.Q_df) == (row["QE.df"], row["QE.df"])
    assert pytest.approx(row["I2"], abs=0.1) == fit.I2
    if row.get("sigma2"):
        assert fit.sigma2 == pytest.approx(row["sigma2"], abs=3e-4)
    # With more than one point lme4's log likelihood has no constants, and metafor's is made of its deviance given the
    # modes of the random effects; they are no marginal log likelihoods.
    model, method = name.split("|")[1:3] if name.count("|") > 1 else ("", name.split("|")[1])
    if method == "EE" and model != "UM.RS":
        assert fit.loglik == pytest.approx(row["logLik"], abs=1e-6)
    elif model == "UM.RS" and method == "ML":
        assert row["logLik"] - 1e-6 < fit.loglik < row["logLik"] + 1e-3
    elif name.startswith("OR|CM.EL"):
        assert row["logLik"] - 1e-6 < fit.loglik < row["logLik"] + 3e-3
    if model != "UM.RS":
        assert pytest.approx(row["QE.LRT"], abs=1e-6) == fit.Q


def test_there_are_rows_of_every_model():
    """The golden file has each model, both methods, and both measures of one arm."""
    assert len(ROWS) == 43
    assert {name.split("|")[1] for _, name in ROWS} >= {"UM.FS", "UM.RS", "CM.EL", "CM.AL", "ML", "EE"}


def plain(counts, mu, tau, alphas):
    """Return the log likelihood of fixed intercepts by scipy's adaptive integration."""
    total = 0.0
    for a, n1, c, n2, alpha in zip(
        counts.events_treatment, counts.n_treatment, counts.events_control, counts.n_control, alphas, strict=True
    ):

        def density(theta, a=a, n1=n1, c=c, n2=n2, alpha=alpha):
            risks = special.expit(alpha + 0.5 * theta), special.expit(alpha - 0.5 * theta)
            both = stats.binom.pmf(a, n1, risks[0]) * stats.binom.pmf(c, n2, risks[1])
            return both * stats.norm.pdf(theta, mu, tau)

        total += np.log(integrate.quad(density, mu - 8 * tau, mu + 8 * tau, epsabs=1e-13)[0])
    return total


def test_the_log_likelihood_is_that_of_the_counts():
    """The maximum over intercepts of scipy's own integrals is the log likelihood reported, and falls to either side."""
    counts = bm.TwoByTwo([4, 10, 3], [40, 80, 30], [9, 12, 11], [38, 83, 31])
    fit = glmm(counts, model="UM.FS", points=25)
    assert fit.tau2 > 0.0
    crude = special.logit((counts.events_treatment + counts.events_control) / (counts.n_treatment + counts.n_control))

    def profile(mu, tau):
        alphas = crude.copy()
        for _ in range(3):
            for i in range(3):
                one = counts.drop([s for j, s in enumerate(counts.study) if j != i])
                h = 1e-3
                f = [plain(one, mu, tau, [alphas[i] + s * h]) for s in (-1, 0, 1)]
                alphas[i] -= h * (f[2] - f[0]) / (2 * (f[2] - 2 * f[1] + f[0]))
        return plain(counts, mu, tau, alphas)

    top = profile(fit.mu, fit.tau)
    assert top == pytest.approx(fit.loglik, abs=1e-7)
    for mu, tau in ((0.03, 0.0), (-0.03, 0.0), (0.0, 0.03), (0.0, -0.03)):
        assert profile(fit.mu + mu, fit.tau + tau) < top - 1e-5


@pytest.mark.parametrize("model", ["UM.FS", "UM.RS", "CM.EL", "CM.AL"])
def test_exchanging_the_arms_changes_the_sign(model):
    """Every model puts the effect half on either arm, or conditions on the total."""
    a, n1, c, n2 = [4, 10, 3, 0], [40, 80, 30, 20], [9, 12, 11, 0], [38, 83, 31, 25]
    one, other = glmm(bm.TwoByTwo(a, n1, c, n2), model=model), glmm(bm.TwoByTwo(c, n2, a, n1), model=model)
    # The binomial approximation takes events for rare in both arms alike.
    assert other.mu == pytest.approx(-one.mu, abs=2e-6)
    assert other.tau2 == pytest.approx(one.tau2, abs=2e-6)
    assert [x.study for x in one.excluded] == ["Study 4"]


def test_what_cannot_be_fitted_is_refused_in_words():
    """Arms without events, wrong measures and models, and estimates without counts are errors that say what to do."""
    none = bm.TwoByTwo([0, 0, 0], [20, 30, 9], [7, 8, 1], [21, 33, 9])
    with pytest.raises(DataError, match=r"treatment arm has an event in any study.*bm\.fit\(counts\)"):
        glmm(none)
    with pytest.raises(DataError, match="No study has both"):
        glmm(bm.TwoByTwo([0, 0], [20, 30], [0, 0], [20, 30]))
    counts = bm.TwoByTwo([4, 10, 3], [40, 80, 30], [9, 12, 11], [38, 83, 31])
    with pytest.raises(ModelError, match=r"'CM\.EL' is not for RR: models for it are UM\.FS, UM\.RS"):
        glmm(counts, model="CM.EL", measure="RR")
    with pytest.raises(ModelError, match=r"Did you mean 'UM\.FS'"):
        glmm(counts, model="UMFS")
    with pytest.raises(ModelError, match="whole number from 1"):
        glmm(counts, points=0)
    with pytest.raises(DataError, match="ready estimates"):
        glmm(bm.EffectSizes([0.1, 0.2], [0.1, 0.2], measure="OR"))
    with pytest.raises((DataError, ConvergenceError), match=r"infinite|infinity"):
        glmm(bm.TwoByTwo([40, 80], [40, 80], [9, 12], [38, 83]))


def test_a_table_and_its_counts_give_one_answer():
    """A study table is turned into counts; the printed block and the frame hold the same figures."""
    table = bm.read_studies("data/rosiglitazone_nissen2007.csv", outcome="myocardial infarction")
    fit = glmm(table, model="CM.EL")
    again = glmm(table.two_by_two(), model="CM.EL")
    assert (fit.mu, fit.se, fit.tau2) == (again.mu, again.se, again.tau2)
    row = fit.to_frame().iloc[0]
    assert row["mu"] == fit.mu
    assert f"mu = {fit.mu:.4f}" in str(fit)
    assert f"{len(fit.excluded)} studies left out: no events" in str(fit)
