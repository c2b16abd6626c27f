"""Every model file keeps the contract, and its parts agree with each other."""

import dataclasses
import re

import numpy as np
import pytest
from scipy import integrate, stats

from bayesmeta.engines import own_files
from bayesmeta.engines.sampling.compiled import program_cache
from bayesmeta.engines.sampling.results.predictive import draw_prior, draw_theta
from bayesmeta.errors import ModelError
from bayesmeta.model import list_models, load_model
from bayesmeta.studies import EffectSizes, NetworkTable, TwoByTwo

# Models whose file writes its own program; those of the others are made from what they state.
WRITTEN = [name for name in list_models() if hasattr(load_model(name).module, "build")]
PROGRAMS = [(name, variant) for name in WRITTEN for variant in ("default", *load_model(name).variants)]


@pytest.mark.parametrize("name", list_models())
def test_docstring_states_maths_use_and_source(name):
    """A model says what it is, when to use it, when not, and where it comes from."""
    text = load_model(name).docstring
    for part in (r"\.\. math::", r"\bUse it\s", r"\bNot\s", "Source:"):
        assert re.search(part, text)


@pytest.mark.parametrize(("name", "variant"), PROGRAMS)
def test_inputs_are_what_the_program_declares(name, variant, make):
    """The values put into a compiled program are those of its own pm.Data, for any data."""
    model = load_model(name)
    for seed, k in ((1, 5), (2, 3)):
        data = make(model.data_type, seed=seed, k=k)
        values = program_cache.slot_values(model, data, model.priors)
        built = model.programs[variant](data, model.priors)
        for slot, actual in program_cache.graph_values(built).items():
            if slot in values or slot not in ("term", "moderator", "table", "trial", "other"):
                np.testing.assert_array_equal(values[slot], actual, err_msg=slot)


def _changed(data):
    """Return other data of the same shape: every number differs, and the possible tables are as many."""
    if isinstance(data, EffectSizes):
        return dataclasses.replace(data, yi=data.yi + 1.0, sei=2.0 * data.sei)
    if isinstance(data, TwoByTwo):
        treatment, control = data.n_treatment - data.events_treatment, data.n_control - data.events_control
        return dataclasses.replace(data, events_treatment=treatment, events_control=control)
    if isinstance(data, NetworkTable):
        return dataclasses.replace(data, columns={name: values + 1.0 for name, values in data.columns.items()})
    events = {name: getattr(data, name) + 1.0 for name in ("events_treatment", "events_control")}
    times = {name: 2.0 * getattr(data, name) for name in ("time_treatment", "time_control")}
    return dataclasses.replace(data, **events, **times)


@pytest.mark.parametrize(("name", "variant"), PROGRAMS)
def test_program_depends_on_data_through_its_slots_only(name, variant, make):
    """Other data of the same shape and other prior parameters give the same graph, so one program serves them."""
    model = load_model(name)
    build = model.programs[variant]
    one = make(model.data_type, seed=1)
    other = _changed(one)
    # Relative effects of a network have a prior that is centred at 0.
    shift = 0.0 if model.data_type is NetworkTable else 0.1
    priors = {
        n: p.with_parameters({k: v * 1.5 + shift for k, v in p.parameters().items()}) for n, p in model.priors.items()
    }
    graphs = [program_cache._graph(build(*arguments)) for arguments in ((one, model.priors), (other, priors))]
    assert program_cache._same(*graphs)


@pytest.mark.parametrize("name", [n for n in WRITTEN if load_model(n).gaussian])
def test_gaussian_is_the_program(name, make):
    """The normal form offered to quadrature has the log density of the PyMC program, up to the parametrisation."""
    model = load_model(name)
    data = make(EffectSizes)
    gaussian = model.gaussian(data, model.priors)
    logp = model.build(data, model.priors).compile_logp(mode="FAST_COMPILE", jacobian=False)
    rng = np.random.default_rng(3)
    for _ in range(3):
        beta, tau = rng.normal(size=len(gaussian.terms)), rng.uniform(0.1, 1.0)
        sd = np.sqrt(gaussian.v + (0.0 if gaussian.tau is None else tau**2))
        expected = stats.norm.logpdf(gaussian.y, gaussian.X @ beta, sd).sum()
        expected += sum(float(p.logpdf(b)) for p, b in zip(gaussian.beta, beta, strict=True))
        point = {}
        if gaussian.tau is not None:
            expected += float(gaussian.tau.logpdf(tau))
            point["tau_log__"] = np.log(tau)
        if gaussian.terms == ("mu",):
            point["mu"] = beta[0]
        else:
            point |= {"intercept": beta[gaussian.terms.index("intercept")], "beta": np.delete(beta, 1)}
        assert float(logp(point)) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("name", [n for n in list_models() if load_model(n).gaussian])
def test_program_and_statement_have_one_likelihood(name, make):
    """All but the variance parameters integrated out, the program has the likelihood that the file states."""
    model = load_model(name)
    own_files.check_statement(model, make(model), model.priors)


@pytest.mark.parametrize("name", ["binomial_normal", "poisson_normal"])
def test_study_likelihoods_are_the_program_with_baselines_integrated_out(name, make):
    """Integrating one study's baseline out of the PyMC density gives what is offered to quadrature."""
    model = load_model(name)
    data = make(model.data_type, k=3).drop(["Study 1", "Study 2"])
    offered = model.study_likelihoods(data, model.priors)
    logp = model.programs["centred"](data, model.priors).compile_logp(mode="FAST_COMPILE", jacobian=False)
    mu, tau, theta = 0.3, 0.5, np.array([0.8])

    def joint(baseline):
        return np.exp(logp({"mu": mu, "tau_log__": np.log(tau), "theta": theta, "baseline": np.array([baseline])}))

    mass, _ = integrate.quad(joint, -15, 5, points=[-3, -2, -1, 0], epsabs=0, epsrel=1e-10)
    priors = sum(float(model.priors[n].logpdf(v)) for n, v in (("mu", mu), ("tau", tau)))
    expected = float(offered.loglik(theta[:, None])[0, 0]) + stats.norm.logpdf(0.8, mu, tau) + priors
    assert np.log(mass) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("name", [n for n in list_models() if load_model(n).simulate])
def test_simulated_data_are_data(name, make):
    """What a model simulates from its priors are values of its own data type with the same design."""
    model = load_model(name)
    data = make(model.data_type)
    rng = np.random.default_rng(4)
    draws = draw_prior(model, data, model.priors, (20,), rng)
    theta = draw_theta(model, data, model.priors, draws, rng)
    replicates = model.simulate(data, draws if theta is None else {**draws, "theta": theta}, rng)
    for i in range(20):
        replica = dataclasses.replace(data, **{field: values[i] for field, values in replicates.items()})
        assert replica.study == data.study


def test_a_file_without_a_contract_is_refused(tmp_path):
    """A model file that lacks DATA, PRIORS or build is an error that lists what is missing."""
    path = tmp_path / "mine.py"
    path.write_text('"""Mine."""\nPRIORS = {}\n')
    with pytest.raises(ModelError, match="DATA, build"):
        load_model(path)


def test_a_file_with_a_syntax_error_is_refused_with_its_line(tmp_path):
    """A model file that is not Python is an error that names file and line."""
    path = tmp_path / "mine.py"
    path.write_text('"""Mine."""\n\nDATA = (\n')
    with pytest.raises(ModelError, match=r"mine\.py, line 3"):
        load_model(path)
