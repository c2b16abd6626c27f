"""The three-level model: its density, what it takes, and a model file of one's own written from the contract alone."""

import math

import numpy as np
import pytest
from scipy import stats

import bayesmeta as bm
from bayesmeta.errors import DataError, ModelError
from bayesmeta.model import load_model

CLUSTER = ["a", "a", "b", "b", "b", "c"]
YI, SEI = np.array([0.1, 0.4, -0.2, 0.3, 0.2, 0.8]), np.array([0.2, 0.25, 0.15, 0.3, 0.2, 0.22])
DATA = bm.EffectSizes(YI, SEI, study=CLUSTER, measure="OR")

OWN = '''"""Effects within laboratories.

.. math:: y_{ij} = \\\\mu + u_i + w_{ij} + e_{ij}

Use it for several experiments of a laboratory. Not for one.
Source: made up for a test.
"""

import numpy as np

from bayesmeta.model import Component, Effect, Gaussian
from bayesmeta.priors import HalfNormal, Normal
from bayesmeta.studies import EffectSizes

DATA = EffectSizes
PRIORS = {"mu": Normal(0.0, 2.82), "tau": HalfNormal(0.5), "sigma": HalfNormal(0.5)}


def gaussian(data, priors):
    """Return rows and two levels of random effects."""
    return Gaussian(
        study=data.rows,
        y=data.yi,
        V=data.vi,
        X=np.ones((data.n, 1)),
        terms=("mu",),
        beta=(priors["mu"],),
        components=(Component("tau", priors["tau"], levels=data.cluster), Component("sigma", priors["sigma"])),
        effects={label: Effect(np.ones(1), {"tau": label}) for label in dict.fromkeys(data.cluster)},
        predictions={"theta_new": Effect(np.ones(1), {"tau": None})},
    )
'''


@pytest.fixture
def own(tmp_path):
    """Return the path of a three-level model file of fewer than 60 lines."""
    path = tmp_path / "laboratories.py"
    path.write_text(OWN)
    assert OWN.count("\n") < 60
    return path


def test_program_is_the_formula_in_scipy():
    """The compiled log density is that of normal rows around mu, cluster effects and row effects."""
    model = load_model("multilevel")
    logp = model.build(DATA, model.priors).compile_logp(mode="FAST_COMPILE", jacobian=False)
    rng = np.random.default_rng(2)
    for _ in range(3):
        mu, tau, omega, u, w = (
            rng.normal(),
            rng.uniform(0.1, 1),
            rng.uniform(0.1, 1),
            rng.normal(size=3),
            rng.normal(size=6),
        )
        cluster = np.array([0, 0, 1, 1, 1, 2])
        expected = stats.norm.logpdf(YI, mu + tau * u[cluster] + omega * w, SEI).sum()
        expected += stats.norm.logpdf(u).sum() + stats.norm.logpdf(w).sum() + stats.norm.logpdf(mu, 0, 2.82)
        expected += stats.halfnorm.logpdf(tau, scale=0.5) + stats.halfnorm.logpdf(omega, scale=0.5)
        point = {"mu": mu, "tau_log__": math.log(tau), "omega_log__": math.log(omega), "eta_tau": u, "eta_omega": w}
        assert float(logp(point)) == pytest.approx(expected, rel=1e-12)


def test_a_file_of_ones_own_gives_what_the_model_that_ships_gives(own):
    """A three-level file that states itself once is answered by quadrature, and as multilevel is."""
    mine, ships = bm.fit(DATA, own), bm.fit(DATA, "multilevel")
    assert mine.engine == ships.engine == "quadrature"
    assert mine.log_evidence == pytest.approx(ships.log_evidence, abs=1e-9)
    assert mine.mu.eti().low == pytest.approx(ships.mu.eti().low, abs=1e-9)
    assert mine["sigma"].median() == pytest.approx(ships["omega"].median(), abs=1e-9)
    assert mine.theta["b"].mean() == pytest.approx(ships.theta["b"].mean(), abs=1e-9)
    assert list(mine.heterogeneity) == ["tau", "sigma"]


@pytest.mark.nuts
def test_a_file_of_ones_own_runs_by_nuts(own):
    """The same file is sampled, and agrees with quadrature within Monte Carlo error."""
    from bayesmeta.evidence.agreement import agreement

    sampled, computed = bm.fit(DATA, own, engine="nuts", seed=3, draws=2000), bm.fit(DATA, own)
    rows = agreement(sampled, computed)
    assert len(rows) > 20
    assert max(abs(row.z) for row in rows) < 4.5
    tree = sampled.to_datatree()
    assert dict(tree["log_likelihood"].sizes)["block"] == 3


def test_moderators_and_correlated_estimates():
    """With moderators coefficients go by name; a common sampling correlation changes the answer, zero does not."""
    X = np.column_stack([np.ones(6), [0, 1, 0, 1, 2, 1]])
    data = bm.EffectSizes(YI, SEI, study=CLUSTER, X=X, terms=("intercept", "dose"), measure="OR")
    post = bm.fit(data, "multilevel")
    assert list(post.beta) == ["intercept", "dose"]
    assert post.linear([1.0, 2.0]).mean() == pytest.approx(
        post.beta["intercept"].mean() + 2 * post.beta["dose"].mean(), abs=1e-10
    )
    plain = bm.fit(DATA, "multilevel")
    none = bm.fit(bm.EffectSizes(YI, SEI, study=CLUSTER, measure="OR", sampling_correlation=0.0), "multilevel")
    some = bm.fit(bm.EffectSizes(YI, SEI, study=CLUSTER, measure="OR", sampling_correlation=0.7), "multilevel")
    assert none.mu.mean() == plain.mu.mean()
    assert abs(some.mu.sd() - plain.mu.sd()) > 1e-3


def test_what_cannot_be_told_apart_is_refused():
    """Clusters of one row, and one cluster alone, are errors that name the model to use."""
    with pytest.raises(DataError, match=r"one row, so tau and omega cannot be told apart.*normal_normal"):
        bm.fit(bm.EffectSizes(YI, SEI, measure="OR"), "multilevel")
    with pytest.raises(DataError, match="one cluster, 'x'"):
        bm.fit(bm.EffectSizes(YI, SEI, study=["x"] * 6, measure="OR"), "multilevel")


def test_models_of_one_row_a_study_refuse_several(own):
    """A model that does not know of clusters is not given dependent rows."""
    with pytest.raises(DataError, match=r"6 rows of 3 studies.*multilevel"):
        bm.fit(DATA, "normal_normal")
    with pytest.raises(DataError, match="6 rows of 3 studies"):
        bm.frequentist.pool(DATA)
    with pytest.raises(DataError, match="6 rows of 3 studies"):
        bm.compare(DATA)
    with pytest.raises(ModelError, match="omega"):
        bm.fit(DATA, own, priors={"omega": "half_normal(1)"})


def test_a_prior_that_is_not_read_is_refused():
    """A prior of one of several parameters where the model has one is an error, of counts and many fits too."""
    for model, data in (("multilevel", DATA), ("normal_normal", bm.EffectSizes(YI, SEI, measure="OR"))):
        with pytest.raises(ModelError, match=r"'tau\[a\]', but model .* one prior of tau here"):
            bm.fit(data, model, priors={"tau[a]": "half_normal(1)"})
    table = bm.TwoByTwo([1, 2, 3], [20, 30, 40], [4, 5, 6], [20, 30, 40])
    for model in ("hypergeometric_normal", "beta_binomial"):
        with pytest.raises(ModelError, match=r"'tau\[a\]'|'mu\[a\]'"):
            bm.fit(table, model, priors={"mu[a]": "normal(0, 1)"})
    with pytest.raises(ModelError, match=r"'mu\[a\]'"):
        bm.fit_many([bm.EffectSizes(YI, SEI, measure="OR")], priors={"mu[a]": "normal(0, 1)"})


def test_a_contrast_of_coefficients():
    """A named contrast is the linear combination of the terms."""
    X = np.column_stack([np.ones(6), [0, 1, 0, 1, 2, 1]])
    data = bm.EffectSizes(YI, SEI, study=CLUSTER, X=X, terms=("intercept", "dose"), measure="OR")
    post = bm.fit(data, "multilevel")
    assert post.contrast({"dose": -2.0}).mean() == pytest.approx(-2.0 * post.beta["dose"].mean(), abs=1e-12)
    with pytest.raises(ModelError, match="Did you mean 'dose'"):
        post.contrast({"doze": 1.0})


def test_rows_side_by_side_respect_the_clusters():
    """Beside the posterior stands REML with cluster-robust errors, and nothing that takes rows for studies."""
    comparison = bm.compare(DATA, model="multilevel", benefit="higher")
    assert [row.kind for row in comparison.rows] == ["classical", "bayesian"]
    classical, bayesian = comparison.rows
    robust = bm.frequentist.components(DATA, robust="CR2")
    assert (classical.mu, classical.tau, classical.k) == (robust.mu, robust.psi["tau"], 3)
    assert tuple(classical.interval) == tuple(robust.ci[0])
    assert bayesian.mu == pytest.approx(bm.fit(DATA, "multilevel").mu.median())
    assert "6 rows; omega" in classical.note
    assert "REML, cluster-robust (CR2)" in str(comparison)
    with pytest.raises(DataError, match="6 rows of 3 studies"):
        bm.compare(DATA, model=("multilevel", "normal_normal"))
