"""Several outcomes: against metafor, mixmeta, and the univariate model where they do not touch."""

import json
from pathlib import Path

import numpy as np
import pytest

import bayesmeta as bm
from bayesmeta.errors import DataError, ModelError

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "metafor_components.json").read_text())


def neuroblastoma():
    """Return disease-free and overall survival of 81 studies, some with both."""
    columns = GOLDEN["riley2003"]["data"]
    study = [str(label) for label in columns["study"]]
    return bm.EffectSizes(columns["yi"], vi=columns["vi"], study=study, outcome=columns["outcome"])


def periodontal():
    """Return probing depth and attachment level of five trials with their sampling covariances."""
    frame = bm.load_dataset("periodontal_berkey1998")
    V = list(frame[["v1i", "v2i"]].to_numpy().reshape(-1, 2, 2))
    return bm.EffectSizes(
        frame["yi"], V=V, study=frame["cluster"], outcome=frame["outcome"], ni=frame["n"], measure="MD"
    )


@pytest.mark.parametrize("name", ["UN REML", "UN ML", "HCS ML"])
def test_unstructured_fits_are_those_of_metafor(name):
    """With the correlation at its edge the likelihood is metafor's or higher, and estimates agree to 1e-5."""
    expected = GOLDEN["riley2003"][name]
    found = bm.frequentist.components(neuroblastoma(), model="bivariate", method=expected["method"])
    assert -1e-9 <= found.loglik - expected["logLik"] < 1e-6
    assert found.rho == 1.0
    np.testing.assert_allclose(list(found.tau2.values()), expected["tau2"], rtol=2e-5)
    np.testing.assert_allclose(found.beta, expected["beta"], rtol=1e-5)
    np.testing.assert_allclose(found.se, expected["se"], rtol=1e-5)


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_known_sampling_correlations_are_those_of_mixmeta(method):
    """Blood pressures with known within-study correlations: our likelihood is mixmeta's or higher, estimates agree.

    mixmeta stops where the slope is still 2e-4; so far its estimates are from the maximum.
    """
    data, expected = GOLDEN["hyp_riley2015"]["data"], GOLDEN["hyp_riley2015"][f"mixmeta {method.lower()}"]
    k = len(data["study"])
    y = np.column_stack([data["sbp"], data["dbp"]]).ravel()
    se = np.column_stack([data["sbp_se"], data["dbp_se"]])
    blocks = [np.outer(s, s) * [[1.0, r], [r, 1.0]] for s, r in zip(se, data["rho"], strict=True)]
    study = np.repeat([str(s) for s in data["study"]], 2)
    effects = bm.EffectSizes(y, V=blocks, study=study, outcome=["sbp", "dbp"] * k, measure="MD")
    found = bm.frequentist.components(effects, model="bivariate", method=method)
    first, second = (found.psi[f"tau[{name}]"] for name in ("sbp", "dbp"))
    assert 0.0 < found.loglik - expected["logLik"] < 1e-6
    np.testing.assert_allclose(found.beta, expected["coef"], rtol=1e-5)
    np.testing.assert_allclose(found.vcov, expected["vcov"], rtol=2e-4)
    cross = found.rho * first * second
    np.testing.assert_allclose([[first**2, cross], [cross, second**2]], expected["Psi"], rtol=3e-4)


def test_outcomes_that_do_not_touch_are_pooled_alone():
    """With independent errors and rho fixed at 0 each outcome has the posterior of the univariate model."""
    effects = neuroblastoma()
    priors = {"mu": "normal(0, 2)", "tau": "half_normal(0.7)"}
    both = bm.fit(effects, "bivariate", priors={**priors, "rho": "point(0)"})
    for outcome in ("DFS", "OS"):
        rows = np.array(effects.outcome) == outcome
        alone = bm.fit(bm.EffectSizes(effects.yi[rows], effects.sei[rows]), priors=priors)
        np.testing.assert_allclose(
            both.effects[outcome].ppf([0.025, 0.5, 0.975]), alone.mu.ppf([0.025, 0.5, 0.975]), atol=1e-7
        )
        assert both[f"tau[{outcome}]"].mean() == pytest.approx(alone.tau.mean(), abs=1e-7)


def test_every_quantity_has_its_name():
    """Means, scales, correlation, contrast and a new study's effects are found under the outcomes' names."""
    priors = {"mu": "normal(0, 1)", "tau": "half_normal(0.3)", "rho": "lkj(2)"}
    post = bm.fit(periodontal(), "bivariate", priors=priors)
    assert list(post.effects) == ["PD", "AL"]
    assert list(post.heterogeneity) == ["tau[PD]", "tau[AL]", "rho"]
    difference = post.contrast({"PD": 1, "AL": -1})
    assert difference.mean() == pytest.approx(post.effects["PD"].mean() - post.effects["AL"].mean(), abs=1e-10)
    # Correlated estimates make a difference more certain than independent ones would.
    assert difference.sd() < np.hypot(post.effects["PD"].sd(), post.effects["AL"].sd())
    assert post["theta_new[PD]"].sd() > post.effects["PD"].sd()
    assert "mu[PD]" in str(post)
    assert post.theta["Pihlstrom et al., PD"].sd() < 0.09
    narrow = bm.fit(
        periodontal(), "bivariate", priors={"mu": "normal(0, 1)", "tau": "half_normal(0.3)", "tau[PD]": "point(0)"}
    )
    assert narrow["tau[PD]"].mean() == 0.0
    assert narrow["tau[AL]"].mean() > 0.05


def test_a_new_study_is_predicted_one_outcome_at_a_time():
    """The design row of one outcome predicts that outcome of a new study, and a prior of each needs none for all."""
    data = periodontal()
    unscaled = bm.EffectSizes(data.yi, V=data.V, study=data.cluster, outcome=data.outcome, measure="MD")
    each = {f"{name}[{o}]": p for o in ("PD", "AL") for name, p in (("mu", "normal(0, 1)"), ("tau", "half_normal(1)"))}
    post = bm.fit(unscaled, "bivariate", priors=each, tolerance=1e-5)
    levels = [0.025, 0.5, 0.975]
    np.testing.assert_allclose(post.predicted([0, 1]).ppf(levels), post["theta_new[AL]"].ppf(levels), rtol=1e-10)
    with pytest.raises(ModelError, match="No default prior"):
        bm.fit(unscaled, "bivariate", priors={name: p for name, p in each.items() if name != "tau[PD]"})


def test_bad_outcomes_are_named():
    """No outcome, one outcome, an outcome twice in a study, an outcome of one study, a prior of none: errors."""
    yi, sei, study = [0.1, 0.2, 0.3, 0.4], [0.1] * 4, ["a", "a", "b", "b"]
    with pytest.raises(DataError, match="no outcome"):
        bm.fit(bm.EffectSizes(yi, sei, study=study, measure="OR"), "bivariate")
    with pytest.raises(DataError, match="outcome 'x'"):
        bm.fit(bm.EffectSizes(yi, sei, study=study, outcome=["x"] * 4, measure="OR"), "bivariate")
    with pytest.raises(DataError, match="'a' has 2 rows of the outcome 'x'"):
        bm.fit(bm.EffectSizes(yi, sei, study=study, outcome=["x", "x", "x", "y"], measure="OR"), "bivariate")
    with pytest.raises(DataError, match="'z' has one study"):
        bm.fit(bm.EffectSizes(yi, sei, study=study, outcome=["x", "z", "x", "y"], measure="OR"), "bivariate")
    good = bm.EffectSizes(yi, sei, study=study, outcome=["x", "y", "x", "y"], measure="OR")
    with pytest.raises(ModelError, match=r"tau\[z\]"):
        bm.fit(good, "bivariate", priors={"tau[z]": "half_normal(1)"})
