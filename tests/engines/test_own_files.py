"""A copied and edited model file answers for what it says, or is refused."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

import bayesmeta as bm
from bayesmeta.engines.own_files import functions
from bayesmeta.errors import ModelError
from bayesmeta.resources import data_dir, models_dir

DATA = bm.EffectSizes([0.3, -0.2, 0.9, 0.4], [0.2, 0.3, 0.4, 0.25], measure="OR")
NORMAL = 'pm.Normal("y", mu, pm.math.sqrt(d["sei"] ** 2 + tau**2), observed=d["yi"], dims="study")'
HEAVY = 'pm.StudentT("y", nu=3, mu=mu, sigma=pm.math.sqrt(d["sei"] ** 2 + tau**2), observed=d["yi"], dims="study")'


def copy(folder, name, *changes):
    """Return the path of an edited copy of a model that ships."""
    text = (models_dir() / f"{name}.py").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = folder / "edited.py"
    path.write_text(text)
    return path


@pytest.mark.parametrize("engine", ["auto", "quadrature", "nuts"])
def test_another_likelihood_in_build_alone_is_refused(tmp_path, engine):
    """The closed form, and the other programs, would answer for the model that was copied."""
    path = copy(tmp_path, "normal_normal", (NORMAL, HEAVY))
    with pytest.raises(ModelError, match=r"edited.py: gaussian and build state different models"):
        bm.fit(DATA, path, engine=engine)


def test_another_arm_in_an_exact_model_is_refused(tmp_path):
    """So it is where nuisance parameters are integrated out, and where a helper of build was edited."""
    table = bm.read_studies(data_dir() / "rescue_stenting.csv", outcome="mortality")
    path = copy(tmp_path, "binomial_normal", ("logit_p=alpha + theta,", "logit_p=alpha + 2 * theta,"))
    with pytest.raises(ModelError, match=r"study_likelihoods (is|are) still that of models/binomial_normal\.py"):
        bm.fit(table, path)


@pytest.mark.parametrize(
    "change",
    [
        ("HalfNormal(0.5)", "HalfNormal(0.2)"),
        (NORMAL, f'{NORMAL}\n        pm.Deterministic("OR", pm.math.exp(mu))'),
        (NORMAL, NORMAL.replace("sqrt(", "sqrt(1.0 * ")),
    ],
)
def test_edits_that_leave_the_density_alone_are_welcome(tmp_path, change):
    """Other defaults, a further figure, or another way to write the same: quadrature still answers."""
    path = copy(tmp_path, "normal_normal", change)
    ours = bm.fit(DATA, priors={"tau": "half_normal(0.2)"} if "Half" in change[0] else None)
    assert bm.fit(DATA, path).mu.mean() == ours.mu.mean()


@pytest.mark.nuts
def test_without_the_functions_that_restate_it_the_edited_build_is_sampled(tmp_path):
    """As the message says; the log likelihood is then that of the edited program."""
    text = copy(tmp_path, "normal_normal", (NORMAL, HEAVY)).read_text()
    start, end = text.index("VARIANTS = "), text.index("def _parameters")
    path = tmp_path / "heavy.py"
    path.write_text(text[:start] + text[end:])
    post = bm.fit(DATA, path, seed=1, draws=200, tune=300, chains=2)
    assert post.engine == "nuts"
    with pytest.warns(UserWarning, match="simulate of model 'heavy' asks for 'theta'"):
        tree = post.to_datatree()
    mu, tau = (np.asarray(tree["posterior"][name])[..., None] for name in ("mu", "tau"))
    exact = stats.t(3, mu, np.sqrt(DATA.sei**2 + tau**2)).logpdf(DATA.yi)
    np.testing.assert_allclose(np.asarray(tree["log_likelihood"]["y"]), exact, atol=1e-6)


def test_a_copy_with_other_defaults_needs_no_pymc(tmp_path):
    """Files are compared as text first, so that quadrature stays light."""
    path = copy(tmp_path, "normal_normal", ("HalfNormal(0.5)", "HalfNormal(0.2)"))
    code = (
        "import sys, bayesmeta as bm\n"
        f'bm.fit(bm.EffectSizes([0.3, 0.1], [0.2, 0.3], measure="OR"), {str(path)!r})\n'
        "assert 'pymc' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_functions_are_compared_without_docstrings_and_with_what_they_use(tmp_path):
    """A changed helper or constant changes the functions that use it, a comment or docstring none."""
    path = tmp_path / "a.py"
    path.write_text('"""A."""\nC = 1\n\ndef f():\n    """Old."""\n    return g()\n\ndef g():\n    return C\n')
    first = functions(path)
    path.write_text('"""B."""\nC = 1\n\ndef f():\n    """New."""\n    return g()  # why\n\ndef g():\n    return C\n')
    assert functions(path) == first
    path.write_text('"""B."""\nC = 2\n\ndef f():\n    return g()\n\ndef g():\n    return C\n')
    assert {name for name, text in functions(path).items() if text != first[name]} == {"f", "g"}


def test_statements_that_differ_are_refused_with_both_numbers(tmp_path):
    """A file that says one variance to quadrature and another to NUTS is refused, whichever engine is asked."""
    path = copy(tmp_path, "normal_normal", ("        v=data.vi,", "        v=data.vi * 4.0,"))
    with pytest.raises(ModelError, match=r"edited.py: gaussian and build state different models. At tau = .* by build"):
        bm.fit(DATA, path, engine="quadrature")


def test_a_program_with_true_effects_is_held_against_the_statement_too(tmp_path):
    """What a program samples beside the variance parameters is integrated out exactly before the two are compared."""
    centred = (
        'theta = pm.Normal("theta", mu, tau, dims="study")\n'
        '        pm.Normal("y", theta, d["sei"], observed=d["yi"], dims="study")'
    )
    path = copy(tmp_path, "normal_normal", (NORMAL, centred))
    assert bm.fit(DATA, path, engine="quadrature").mu.mean() == bm.fit(DATA, engine="quadrature").mu.mean()
    wrong = copy(tmp_path, "normal_normal", (NORMAL, centred.replace("mu, tau,", "mu, 2 * tau,")))
    with pytest.raises(ModelError, match=r"state different models|build was edited"):
        bm.fit(DATA, wrong, engine="quadrature")


def test_a_model_that_states_itself_once_needs_no_program(tmp_path):
    """Without build the program is made from the statement, and is the non-centred one that ships."""
    text = (models_dir() / "normal_normal.py").read_text()
    start, end = text.index("def inputs("), text.index("def gaussian(")
    path = tmp_path / "once.py"
    path.write_text(text[:start] + text[end : text.index("def _parameters(")])
    own, ships = bm.model.load_model(path), bm.model.load_model("normal_normal")
    derived, written = own.build(DATA, own.priors), ships.programs["non_centred"](DATA, ships.priors)
    one, other = (m.compile_logp(mode="FAST_COMPILE") for m in (derived, written))
    rng = np.random.default_rng(4)
    for _ in range(3):
        mu, tau, eta = rng.normal(), rng.normal(), rng.normal(size=4)
        expected = other({"mu": mu, "tau_log__": tau, "eta": eta})
        assert one({"mu": mu, "tau_log__": tau, "eta_tau": eta}) == pytest.approx(expected, rel=1e-12)
    assert bm.fit(DATA, path).mu.mean() == bm.fit(DATA).mu.mean()
