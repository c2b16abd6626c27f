"""Reports of models that say less than those that ship by default: no new study, no quadrature, a file of one's own."""

import pytest

import bayesmeta as bm
from bayesmeta.analysis import analyse
from bayesmeta.protocol import read_protocol
from bayesmeta.report.html import render
from bayesmeta.report.page import page
from bayesmeta.resources import data_dir

pytestmark = pytest.mark.nuts

SAMPLING = {"draws": 300, "chains": 2, "tune": 300, "remedies": False}
PLAN = """title = "Own"
data = "DATA"
measure = "OR"
models = ["MODEL"]

[outcomes.mortality]
label = "Death"
benefit = "lower"
thresholds = [0.8]
"""
OWN = '''"""My model: effects with a known correlation of treatment and baseline."""

from bayesmeta.priors import HalfNormal, Normal
from bayesmeta.studies import EffectSizes

DATA = EffectSizes
PRIORS = {"mu": Normal(0, 1), "tau": HalfNormal(0.5)}


def build(data, priors):
    import pymc as pm

    with pm.Model(coords={"study": data.study}) as model:
        mu, tau = priors["mu"].rv("mu"), priors["tau"].rv("tau")
        theta = pm.Normal("theta", mu, tau, dims="study")
        pm.Normal("y", theta, data.sei, observed=data.yi, dims="study")
    return model
'''


def plan(folder, model):
    path = folder / "plan.toml"
    path.write_text(PLAN.replace("DATA", str(data_dir() / "rescue_stenting.csv")).replace("MODEL", model))
    return read_protocol(path)


@pytest.mark.parametrize("model", ["beta_binomial", "my_model.py"])
def test_a_model_without_a_new_study_has_a_report(tmp_path, model):
    """The file is found beside the plan; the mean effect is reported, and dashes stand for a new study."""
    (tmp_path / "my_model.py").write_text(OWN)
    found = analyse(plan(tmp_path, model), engine="nuts", sampling=SAMPLING)
    (result,) = found.outcomes
    row = next(r for r in result.comparison.rows if r.source is result.posterior)
    assert row.prediction is None
    assert row.p_benefit_new is None
    assert row.k == 4
    text = render(page(found))
    assert "for the true effect of a new study" not in text
    assert "OR &lt; 0.8" in text


def test_a_run_that_is_not_reliable_is_called_so_first(tmp_path):
    """In the table's notes, in the first sentence of the answer, and before what a decision needs."""
    found = analyse(
        plan(tmp_path, "normal_normal"), engine="nuts", sampling={"draws": 20, "chains": 2, "remedies": False}
    )
    (result,) = found.outcomes
    verdict = result.posterior.diagnostics.verdict
    assert verdict.startswith("Do not rely on these numbers")
    assert f"Bayesian NUTS: {verdict}" in str(result.comparison)
    view = page(found)
    assert view.outcomes[0].headline[0] == verdict
    said = " ".join(str(bm.decide(result.posterior, benefit="lower", thresholds=[0.8])).split())
    assert said.startswith(" ".join(verdict.split()))
    path = bm.sequential(result.posterior.data, start=4, engine="nuts", seed=1, draws=20, chains=2, remedies=False)
    assert "Do not rely on these numbers" in path.notes()[0]


def test_a_report_by_nuts_says_what_quadrature_did(tmp_path):
    """Other sets of priors are integrated where they can be."""
    found = analyse(
        read_protocol(data_dir() / "rescue_stenting.toml"), outcomes=("mortality",), engine="nuts", sampling=SAMPLING
    )
    view = page(found)
    assert any("integrated by quadrature" in paragraph for paragraph in view.methods)
    engines = next(fact.value for fact in view.reproducibility if fact.name == "Engines")
    assert engines.startswith("NUTS; other sets of priors")
