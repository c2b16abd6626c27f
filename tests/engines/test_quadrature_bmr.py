"""Meta-regression by quadrature against the function bmr of the R package bayesmeta."""

import json
from pathlib import Path

import numpy as np
import pytest

import bayesmeta as bm

GOLDEN = Path(__file__).parents[1] / "golden" / "bayesmeta_bmr.json"
ENTRIES = json.loads(GOLDEN.read_text(encoding="utf-8"))["entries"]
# The package's own accuracy at delta = 0.001, in posterior standard deviations. (Where it is furthest off, a true
# effect of "crins, half Cauchy", scipy.integrate.quad gives our mean to 1e-15.)
ACCURACY = 4e-3
P = (0.025, 0.5, 0.975)


@pytest.fixture(scope="module", params=ENTRIES, ids=[entry["name"] for entry in ENTRIES])
def pair(request):
    """Return an entry and our posterior of it."""
    entry = request.param
    data = bm.EffectSizes(entry["yi"], entry["sei"], X=np.array(entry["X"]), terms=tuple(entry["terms"]))
    priors = {"tau": entry["tau_prior"], "intercept": "flat()", "beta": "flat()"}
    if entry["beta_sd"]:
        first, *others = entry["beta_sd"]
        assert len(set(others)) == 1
        priors |= {"intercept": f"normal(0, {first!r})", "beta": f"normal(0, {others[0]!r})"}
    return entry, bm.fit(data, "meta_regression", priors=priors, engine="quadrature")


def test_coefficients_agree(pair):
    """Means, standard deviations and quantiles of every coefficient."""
    entry, post = pair
    for term, (mean, sd), quantiles in zip(entry["terms"], entry["beta_mean_sd"], entry["beta_q"], strict=True):
        ours = post[f"beta[{term}]"]
        assert ours.mean() == pytest.approx(mean, abs=ACCURACY * sd)
        assert ours.sd() == pytest.approx(sd, rel=ACCURACY)
        np.testing.assert_allclose(ours.ppf(P), quantiles, atol=ACCURACY * sd)


def test_heterogeneity_and_evidence_agree(pair):
    """Moments and quantiles of tau, and the marginal likelihood where the priors are proper."""
    entry, post = pair
    mean, sd = entry["tau"]
    assert post.tau.mean() == pytest.approx(mean, abs=1e-5 * sd)
    assert post.tau.sd() == pytest.approx(sd, rel=1e-5)
    np.testing.assert_allclose(post.tau.ppf(P), entry["tau_q"], atol=1e-5 * sd)
    if entry["log_marginal"] is not None:
        assert post.log_evidence == pytest.approx(entry["log_marginal"], abs=1e-5)


def test_fitted_values_and_predictions_agree(pair):
    """Quantiles of the mean effect, and of a new study's effect, at new moderators."""
    entry, post = pair
    for ours, quantiles in (
        (post.details.linear(entry["xnew"]), entry["fitted_q"]),
        (post.details.predicted(entry["xnew"]), entry["new_q"]),
    ):
        np.testing.assert_allclose(ours.ppf(P), quantiles, atol=ACCURACY * ours.sd())


def test_true_effects_agree(pair):
    """Means and standard deviations of the studies' true effects."""
    entry, post = pair
    for ours, (mean, sd) in zip(post.theta.values(), entry["theta"], strict=True):
        assert ours.mean() == pytest.approx(mean, abs=ACCURACY * sd)
        assert ours.sd() == pytest.approx(sd, rel=ACCURACY)
