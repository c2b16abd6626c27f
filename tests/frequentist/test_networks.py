"""Classical network meta-analysis against netmeta, and identities."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import bayesmeta as bm
from bayesmeta import frequentist as fq
from bayesmeta.errors import ModelError

GOLDEN = Path(__file__).parents[1] / "golden" / "netmeta.json"
NETWORKS = json.loads(GOLDEN.read_text(encoding="utf-8"))["networks"]
# netmeta's REML of tau ends 4e-7 from the maximum.
CLOSE = {"smokingcessation_REML": 1e-6, "smokingcessation_ML": 1e-8}


@cache
def contrasts_of(name):
    data = NETWORKS[name]["data"]
    studies = [str(label) for label in data["studlab"]]
    net = bm.NetworkTable(studies, (), {"yi": data["TE"], "sei": data["seTE"]}, data["treat1"], data["treat2"])
    return bm.contrasts(net, NETWORKS[name]["sm"])


@cache
def fitted(name, method=None):
    return fq.network(contrasts_of(name), method=method or name.partition("_")[2])


def matrices(fit):
    """Return estimates and standard errors, row against column."""
    frame = fit.relatives()
    size = len(fit.treatments)
    te, se = np.zeros((size, size)), np.zeros((size, size))
    for row in frame.itertuples():
        at = fit.treatments.index(row.treatment), fit.treatments.index(row.reference)
        te[at], se[at] = row.estimate, row.se
    return te, se


@pytest.mark.parametrize("name", NETWORKS)
def test_estimates_are_netmetas(name):
    """Effects, standard errors, tau, Q and I2 of every pair, random and common effects."""
    golden, fit, tol = NETWORKS[name], fitted(name), CLOSE.get(name, 1e-10)
    assert fit.treatments == tuple(golden["trts"])
    assert fit.tau == pytest.approx(golden["tau"], rel=tol, abs=1e-9)
    te, se = matrices(fit)
    assert te == pytest.approx(np.array(golden["TE.random"]), rel=tol, abs=tol)
    assert se == pytest.approx(np.array(golden["seTE.random"]), rel=tol, abs=1e-12)
    assert pytest.approx(golden["Q"], rel=1e-10) == fit.Q
    assert fit.Q_df == golden["df.Q"]
    assert fit.Q_p == pytest.approx(golden["pval.Q"], rel=1e-8)
    assert pytest.approx(golden["I2"], abs=1e-10) == fit.I2 / 100.0
    if "TE.common" in golden:
        te, se = matrices(fitted(name, "common"))
        assert te == pytest.approx(np.array(golden["TE.common"]), rel=1e-10, abs=1e-10)
        assert se == pytest.approx(np.array(golden["seTE.common"]), rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_p_scores_are_netmetas(name):
    """P-scores with small and with large effects desirable."""
    golden, fit, tol = NETWORKS[name], fitted(name), max(CLOSE.get(name, 0.0), 1e-9)
    assert dict(fit.p_scores) == pytest.approx(golden["pscore_small_desirable"]["random"], abs=tol)
    assert dict(fit.p_scores("higher")) == pytest.approx(golden["pscore_small_undesirable"]["random"], abs=tol)
    assert dict(fitted(name, "common").p_scores) == pytest.approx(golden["pscore_small_desirable"]["common"], abs=1e-9)


@pytest.mark.parametrize("name", [n for n in NETWORKS if "lower.predict" in NETWORKS[n]])
def test_prediction_intervals_are_netmetas(name):
    """t with the degrees of freedom of Q."""
    golden, fit, tol = NETWORKS[name], fitted(name), max(CLOSE.get(name, 0.0), 1e-8)
    for i, b in enumerate(fit.treatments):
        for j, a in enumerate(fit.treatments):
            if i != j:
                limits = golden["lower.predict"][i][j], golden["upper.predict"][i][j]
                assert tuple(fit.relative(b, a).prediction) == pytest.approx(limits, rel=tol, abs=tol)


def same_designs(label):
    return frozenset(label.split(":"))


@pytest.mark.parametrize("name", NETWORKS)
def test_q_is_split_as_netmeta_splits_it(name):
    """Within and between designs, by design, each design detached, and with random effects."""
    golden, frame = NETWORKS[name], fitted(name).q_decomposition().set_index("source")
    parts = {same_designs(s.removeprefix("within ")): s for s in frame.index if s.startswith("within ")}
    apart = {same_designs(s.removeprefix("detached ")): s for s in frame.index if s.startswith("detached ")}
    assert frame.loc["within designs", "Q"] == pytest.approx(golden["Q.heterogeneity"], rel=1e-9, abs=1e-9)
    assert frame.loc["within designs", "df"] == golden["df.Q.heterogeneity"]
    assert frame.loc["between designs", "Q"] == pytest.approx(golden["Q.inconsistency"], rel=1e-9, abs=1e-9)
    assert frame.loc["between designs", "df"] == golden["df.Q.inconsistency"]
    checked = 0
    for row in golden["decomp"].get("Q.het.design", []):
        if row["df"]:
            assert frame.loc[parts[same_designs(row["design"])], "Q"] == pytest.approx(row["Q"], rel=1e-8, abs=1e-9)
            checked += 1
    for row in golden["decomp"].get("Q.inc.detach", []):
        found = frame.loc[apart[same_designs(row["design"])]]
        assert (found["Q"], found["df"]) == pytest.approx((row["Q"], row["df"]), rel=1e-8, abs=1e-9)
        checked += 1
    assert checked
    random = golden["decomp"]["Q.inc.random"][0]
    found = frame.loc["between designs, random effects"]
    assert found["Q"] == pytest.approx(random["Q"], rel=1e-7)
    assert found["tau_within"] == pytest.approx(random["tau.within"], abs=1e-9)


@pytest.mark.parametrize("name", NETWORKS)
def test_direct_and_indirect_evidence_are_netmetas(name):
    """Estimates, shares of direct evidence, and the test of their difference."""
    split, frame, tol = NETWORKS[name]["netsplit"], fitted(name).node_split(), max(CLOSE.get(name, 0.0), 1e-8)
    checked = 0
    for i, label in enumerate(split["comparison"]):
        b, a = label.split(":")
        row = frame[(frame["treatment"] == b) & (frame["reference"] == a)]
        sign = 1.0
        if row.empty:
            row, sign = frame[(frame["treatment"] == a) & (frame["reference"] == b)], -1.0
        if not split["k"][i]:
            assert row.empty
            continue
        found = row.iloc[0]
        assert found["k"] == split["k"][i]
        assert found["proportion"] == pytest.approx(split["prop.random"][i], rel=tol)
        assert sign * found["direct"] == pytest.approx(split["direct.random"][i]["TE"], rel=tol, abs=tol)
        assert found["direct_se"] == pytest.approx(split["direct.random"][i]["seTE"], rel=tol)
        if split["indirect.random"][i].get("TE") is not None and found["proportion"] < 1.0 - 1e-6:
            assert sign * found["indirect"] == pytest.approx(split["indirect.random"][i]["TE"], rel=1e-5, abs=1e-6)
            assert found["p_value"] == pytest.approx(split["compare.random"][i]["p"], rel=1e-5)
        checked += 1
    assert checked


@pytest.mark.parametrize("name", [n for n in NETWORKS if "hatmatrix_random" in NETWORKS[n]])
def test_hat_matrix_and_contributions_are_netmetas(name):
    """The hat matrix of the reduced network, and contributions by shortest paths."""
    golden, fit, tol = NETWORKS[name], fitted(name), max(CLOSE.get(name, 0.0), 1e-10)
    assert fit.hat.to_numpy() == pytest.approx(np.array(golden["hatmatrix_random"]), abs=tol)
    shares = golden["netcontrib"]["random"]
    found = fit.contributions.loc[shares["rows"], shares["cols"]].to_numpy()
    assert found == pytest.approx(np.array(shares["x"]), abs=tol)
    assert found.sum(axis=1) == pytest.approx(np.ones(len(found)), abs=1e-12)


def test_where_netmetas_reml_is_not_the_maximum_the_likelihood_is_followed():
    """Senn's diabetes network: 0.316097 maximises the restricted likelihood of the contrasts; netmeta says 0.317884."""
    net = bm.read_network(bm.load_dataset("diabetes_network_senn2013"))
    fit = fq.network(bm.contrasts(net, "MD"), method="REML")

    def restricted(tau):
        c = fit.contrasts
        Sigma = c.V + tau**2 * c.relation
        X, W = c.design[:, 1:], np.linalg.inv(Sigma)
        A = X.T @ W @ X
        d = np.linalg.solve(A, X.T @ W @ c.yi)
        r = c.yi - X @ d
        return -0.5 * (np.linalg.slogdet(Sigma)[1] + np.linalg.slogdet(A)[1] + r @ W @ r)

    grid = np.linspace(0.2, 0.5, 3001)
    best = grid[np.argmax([restricted(t) for t in grid])]
    assert fit.tau == pytest.approx(best, abs=1.1e-4)
    assert restricted(fit.tau) >= restricted(0.317884)


def test_two_treatments_are_a_pairwise_analysis():
    """A network of two treatments gives the pooled estimate, its SE and tau2, whatever the method."""
    effects = bm.effect_sizes(bm.read_studies(bm.load_dataset("bcg_vaccine")), "RR")
    net = bm.NetworkTable(
        effects.study, (), {"yi": effects.yi, "sei": effects.sei}, ["vaccine"] * effects.k, ["none"] * effects.k
    )
    for method in ("DL", "REML", "ML"):
        pooled, fit = fq.pool(effects, method=method), fq.network(bm.contrasts(net, "RR"), method=method)
        found = fit.relative("vaccine", "none")
        assert (found.estimate, found.se, fit.tau2) == pytest.approx((pooled.mu, pooled.se, pooled.tau2), abs=1e-9)


def test_wrong_requests_are_refused_in_words():
    """Unknown treatments and methods, a treatment against itself, tables in place of contrasts."""
    fit = fitted("woods2010_DL")
    with pytest.raises(ModelError, match="Unknown treatment"):
        fit.relative("Placbo", "SFC")
    with pytest.raises(ModelError, match="against itself"):
        fit.relative("SFC", "SFC")
    with pytest.raises(ModelError, match="Did you mean"):
        fq.network(fit.contrasts, method="RELM")
    with pytest.raises(ModelError, match=r"bm\.contrasts"):
        fq.network(bm.EffectSizes([0.1], [0.2]))
    with pytest.raises(ModelError, match="benefit"):
        fit.p_scores("small")


@pytest.mark.parametrize("name", NETWORKS)
def test_net_heat_takes_away_what_netmeta_finds(name):
    """On the diagonal a design's own part of Q between designs; columns add up to the fall of the whole."""
    golden, heat = NETWORKS[name], fitted(name).net_heat()
    parts = {}
    for label, value in golden["decomp"].get("Q.inc.design", {}).items():
        design = same_designs(label.rstrip("0123456789").removesuffix("."))
        parts[design] = parts.get(design, 0.0) + value
    for row in golden["decomp"].get("Q.inc.detach", []):
        column = next(c for c in heat.columns if same_designs(c) == same_designs(row["design"]))
        assert heat[column].sum() == pytest.approx(golden["Q.inconsistency"] - row["Q"], abs=1e-9)
        assert heat.loc[column, column] == pytest.approx(parts[same_designs(column)], abs=1e-9)
    assert heat.shape[1]
