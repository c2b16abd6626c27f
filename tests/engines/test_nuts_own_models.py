"""Model files of a user's own under NUTS."""

from unittest.mock import Mock

import numpy as np
import pytest
from made_up import effects

import bayesmeta as bm
from bayesmeta.engines.sampling.compiled import program_cache
from bayesmeta.engines.sampling.compiled.program import bind
from bayesmeta.errors import ModelError
from bayesmeta.evidence.agreement import agreement
from bayesmeta.model import load_model
from bayesmeta.resources import models_dir

pytestmark = pytest.mark.nuts


UNNAMED = '''"""My model: a vector whose dimension has no name."""

from bayesmeta.priors import HalfNormal, Normal
from bayesmeta.studies import EffectSizes

DATA = EffectSizes
PRIORS = {"mu": Normal(0, 1), "tau": HalfNormal(0.5)}


def build(data, priors):
    import pymc as pm

    with pm.Model(coords={"study": data.study}) as model:
        mu, tau = priors["mu"].rv("mu"), priors["tau"].rv("tau")
        eta = pm.Normal("eta", 0, 1, shape=data.k)
        theta = pm.Deterministic("theta", mu + tau * eta, dims="study")
        pm.Normal("y", theta, data.sei, observed=data.yi, dims="study")
    return model
'''


MATRIX = '''"""My model: two effects a study, in a matrix."""

from bayesmeta.priors import HalfNormal, Normal
from bayesmeta.studies import EffectSizes

DATA = EffectSizes
PRIORS = {"mu": Normal(0, 1), "tau": HalfNormal(0.5)}


def build(data, priors):
    import pymc as pm

    with pm.Model(coords={"study": data.study, "arm": ["a", "b"]}) as model:
        sei, yi = pm.Data("sei", data.sei, dims="study"), pm.Data("yi", data.yi, dims="study")
        mu, tau = priors["mu"].rv("mu"), priors["tau"].rv("tau")
        eta = pm.Normal("eta", 0, 1, dims=("arm", "study"))
        theta = pm.Deterministic("theta", mu + tau * eta.sum(axis=0) / 2**0.5, dims="study")
        pm.Normal("y", theta, sei, observed=yi, dims="study")
    return model
'''


def test_a_users_program_with_slots_and_named_dimensions_serves_other_data(tmp_path, monkeypatch):
    """A matrix of arms and studies is compiled once, and has the right posterior for either number of studies."""
    path = tmp_path / "matrix.py"
    path.write_text(MATRIX)
    for k in (3, 5):
        own = bm.fit(effects(k), model=path, engine="nuts", seed=1)
        exact = bm.fit(effects(k), engine="quadrature", priors={"mu": "normal(0, 1)"})
        assert abs(own.mu.mean() - exact.mu.mean()) < 5 * own.mu.mcse()
        assert abs(own.tau.mean() - exact.tau.mean()) < 5 * own.tau.mcse()
        monkeypatch.setattr(program_cache, "compile_program", Mock(side_effect=AssertionError("compiled again")))


def test_a_vector_whose_dimension_has_no_name_can_be_sampled(tmp_path):
    """Such a program is compiled for its lengths alone, and has the posterior of the shipped model."""
    path = tmp_path / "unnamed.py"
    path.write_text(UNNAMED)
    for k in (3, 4):
        own = bm.fit(effects(k), model=path, engine="nuts", seed=1)
        exact = bm.fit(effects(k), engine="quadrature", priors={"mu": "normal(0, 1)"})
        assert abs(own.mu.mean() - exact.mu.mean()) < 5 * own.mu.mcse()
        assert abs(own.tau.mean() - exact.tau.mean()) < 5 * own.tau.mcse()


def test_missing_and_misshapen_slots_are_refused():
    """A program cannot be run on incomplete data."""
    model, data = load_model("normal_normal"), effects(4)
    bound = program_cache.prepare(model, data, model.priors)
    values = program_cache.slot_values(model, data, model.priors)
    with pytest.raises(ModelError, match="sei"):
        bind(bound.program, {name: value for name, value in values.items() if name != "sei"})
    with pytest.raises(ModelError, match="dimensions"):
        bind(bound.program, {**values, "sei": np.ones((4, 4))})


def test_a_copied_and_edited_file_is_a_model(tmp_path):
    """A user's copy with other defaults gives the posterior of the original with these priors, and its own name."""
    path = tmp_path / "my_model.py"
    path.write_text((models_dir() / "normal_normal.py").read_text().replace("HalfNormal(0.5)", "HalfNormal(0.1)"))
    data = effects(4)
    mine = bm.fit(data, model=path, engine="nuts", seed=1)
    ours = bm.fit(data, engine="nuts", seed=1, priors={"tau": "half_normal(0.1)"})
    assert mine.model.name == "my_model"
    np.testing.assert_array_equal(mine.tau.draws, ours.tau.draws)
    assert [row for row in agreement(mine, bm.fit(data, model=path, engine="quadrature")) if not row.agrees] == []


OWN = '''"""My model: a plain pm.Model, with the data written into it."""

from bayesmeta.priors import HalfNormal, Normal
from bayesmeta.studies import EffectSizes

DATA = EffectSizes
PRIORS = {"mu": Normal(0, 1), "tau": HalfNormal(0.5)}


def build(data, priors):
    import pymc as pm

    with pm.Model(coords={"study": data.study}) as model:
        mu, tau = pm.Normal("mu", 0, 1), pm.HalfNormal("tau", 0.5)
        theta = pm.Normal("theta", mu, tau, dims="study")
        pm.Normal("y", theta, data.sei, observed=data.yi, dims="study")
    return model
'''


def test_a_users_program_with_constants_is_never_given_other_data(tmp_path):
    """Numbers written into a user's program are part of it: other data are not run on a stale program."""
    path = tmp_path / "own.py"
    path.write_text(OWN)
    for seed in (1, 2):
        data = effects(3, seed=seed)
        own = bm.fit(data, model=path, engine="nuts", seed=1, target_accept=0.99, remedies=False)
        exact = bm.fit(data, engine="quadrature", priors={"mu": "normal(0, 1)", "tau": "half_normal(0.5)"})
        assert set(own.marginals) == {"mu", "tau", "tau2"}
        assert abs(own.mu.mean() - exact.mu.mean()) < 5 * own.mu.mcse()
        assert list(own.theta) == list(data.study)
