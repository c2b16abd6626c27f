"""Values that travel: pickled, copied, and sent to other processes."""

import copy
import dataclasses
import importlib
import inspect
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import cloudpickle
import numpy as np
import pandas as pd
import pytest
import scipy.stats
import xarray as xr

import bayesmeta as bm
from bayesmeta import decisions, frequentist, priors
from bayesmeta.effects import find_measure
from bayesmeta.errors import ModelError
from bayesmeta.marginals.draws import DrawsMarginal
from bayesmeta.model import load_model
from bayesmeta.posterior import Posterior
from bayesmeta.priors import PRIORS, parse_prior
from bayesmeta.resources import data_dir, models_dir
from bayesmeta.values import FrozenMap

# The function of that name hides the package.
sensitivity = importlib.import_module("bayesmeta.sensitivity")
TABLE = bm.read_studies(data_dir() / "rescue_stenting.csv", outcome="mortality")
COUNTS = TABLE.two_by_two()
EFFECTS = bm.effect_sizes(TABLE, measure="OR")
TIMES = bm.PersonTime([3, 0, 7], [100, 80, 210], [6, 2, 9], [95, 90, 200])
MODERATED = dataclasses.replace(EFFECTS, X=np.column_stack([np.ones(EFFECTS.k), np.arange(EFFECTS.k)]), terms=())
CLUSTERED = bm.EffectSizes(
    [0.1, 0.5, 0.2, 0.9], [0.2, 0.3, 0.2, 0.3], study=["a", "a", "b", "c"], sampling_correlation=0.5
)
NETWORK = bm.NetworkTable(
    ["a", "a", "b", "b", "b"], ["P", "X", "P", "X", "Y"], {"events": [9, 12, 20, 31, 28], "n": [50, 50, 90, 90, 90]}
)
CONTRASTS = bm.contrasts(NETWORK, "OR")
DIAGNOSTIC = bm.DiagnosticTable([30, 41, 25], [5, 9, 4], [4, 8, 7], [42, 58, 80])
DOSES = bm.DoseResponse(["a"] * 3 + ["b"] * 3, [0, 1, 2] * 2, [20, 14, 9] * 2, [200, 100, 50] * 2, "ir")
PROPER = {"mu": "normal(0, 2.82)", "tau": "half_normal(0.5)"}

POSTERIORS = {
    "normal": lambda: bm.fit(EFFECTS, priors=PROPER, seed=1),
    "known tau": lambda: bm.fit(EFFECTS, "common_effect"),
    "heavy": lambda: bm.fit(EFFECTS, priors={"mu": "student_t(4, 0, 1)", "tau": "half_cauchy(0.5)"}),
    "scipy": lambda: bm.fit(EFFECTS, priors={"mu": "flat()", "tau": scipy.stats.weibull_min(1.5, scale=0.5)}),
    "two dimensions": lambda: bm.fit(EFFECTS, priors={"mu": "logistic(0, 1)", "tau": "half_normal(0.5)"}),
    "ends": lambda: bm.fit(
        COUNTS, "binomial_normal_symmetric", priors={"mu": "uniform(-3, 3)", "tau": "half_normal(0.5)"}
    ),
    "regression": lambda: bm.fit(MODERATED, "meta_regression"),
    "student": lambda: bm.fit(EFFECTS, "robust_t"),
    "exact": lambda: bm.fit(COUNTS, "hypergeometric_normal"),
    "risks": lambda: bm.fit(COUNTS, "binomial_normal_rd"),
    "rates": lambda: bm.fit(TIMES, "poisson_normal"),
    "average": lambda: bm.model_average([bm.fit(EFFECTS, priors=PROPER), bm.fit(EFFECTS, "common_effect")]),
}


@pytest.fixture(scope="module", params=sorted(POSTERIORS))
def posterior(request) -> Posterior:
    """A posterior of each kind, every marginal of it made."""
    made = POSTERIORS[request.param]()
    made.summary()
    return made


def arrived(value):
    """Return a value after each way that it may take."""
    return pickle.loads(pickle.dumps(value)), copy.deepcopy(value), cloudpickle.loads(cloudpickle.dumps(value))


def same(a, b) -> bool:
    """Whether two values are equal, field by field; functions count as equal, and are compared by what they answer."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray | float):
        return bool(np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind == "f"))
    if isinstance(a, pd.DataFrame | xr.Dataset | xr.DataTree):
        return bool(a.equals(b))
    if isinstance(a, Posterior):
        return same(a.summary(), b.summary()) and str(a) == str(b)
    if dataclasses.is_dataclass(a):
        a, b = ([getattr(x, f.name) for f in dataclasses.fields(x)] for x in (a, b))
    if isinstance(a, FrozenMap | dict):
        a, b = ([*x, *x.values()] for x in (a, b))
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b if isinstance(a, str | int) else True


def reached(value, found: set[type]) -> set[type]:
    """Return the kinds of values that a value is made of."""
    if isinstance(value, FrozenMap | dict):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        for part in value:
            reached(part, found)
    elif dataclasses.is_dataclass(value):
        found.add(type(value))
        for field in dataclasses.fields(value):
            reached(getattr(value, field.name), found)
    return found


def test_a_posterior_arrives_as_it_left(posterior):
    """Every figure, and the density, of a posterior that was pickled or copied is what it was, to the last digit."""
    for other in arrived(posterior):
        assert same(posterior, other)
        assert other.marginals["mu" if "mu" in other.marginals else "beta[intercept]"].pdf(0.1) == posterior.marginals[
            "mu" if "mu" in posterior.marginals else "beta[intercept]"
        ].pdf(0.1)


def test_a_posterior_that_nobody_asked_yet_answers_on_arrival():
    """A marginal that is first asked for after the journey is the same, the likelihood of its model file included."""
    left, stayed = bm.fit(COUNTS, "hypergeometric_normal"), bm.fit(COUNTS, "hypergeometric_normal")
    other = pickle.loads(pickle.dumps(left))
    study = COUNTS.study[0]
    assert other.theta[study].eti() == stayed.theta[study].eti()
    theta = np.tile(np.linspace(-1.0, 1.0, 5), (COUNTS.k, 1))
    assert np.array_equal(other.details.given.loglik(theta), stayed.details.given.loglik(theta))


def test_draws_of_a_posterior_are_the_same_on_arrival(posterior):
    """The same seed gives the same tree of draws before and after."""
    here, there = (p.to_datatree(draws=40, seed=3)["posterior"] for p in (posterior, arrived(posterior)[0]))
    assert here.identical(there)


def test_a_sampled_posterior_arrives():
    """Marginals made of draws travel with their draws."""
    draws = DrawsMarginal(np.random.default_rng(1).normal(size=(2, 50)))
    for other in arrived(draws):
        assert np.array_equal(other.draws, draws.draws)
        assert other.hdi() == draws.hdi()


def public_values() -> dict[str, object]:
    """Return what every public function returns, by its name."""
    normal = bm.fit(EFFECTS, priors=PROPER, seed=1)
    fitted = frequentist.regress(EFFECTS, {"x": np.arange(EFFECTS.k)})
    asked = {"benefit": "lower", "thresholds": [1.0, 0.8], "baselines": [0.3]}
    later = bm.TwoByTwo([3], [50], [9], [50], study=["Later 2026"])
    return {
        "compare": bm.compare(TABLE, measure="OR", benefit="lower"),
        "single_studies": bm.single_studies(EFFECTS, benefit="lower"),
        "subgroups": bm.subgroups(TABLE, by=["a", "a", "b", "b"], measure="OR", benefit="lower"),
        "effect_sizes": EFFECTS,
        "find_measure": find_measure("SMD"),
        "read_studies": TABLE,
        "read_network": NETWORK,
        "contrasts": CONTRASTS,
        "network": frequentist.network(CONTRASTS),
        "relative": frequentist.network(CONTRASTS).relative("X", "P"),
        "p_scores": frequentist.network(CONTRASTS).p_scores,
        "compare_network": bm.compare_network(CONTRASTS, reference="P", benefit="higher"),
        "node_split": bm.network.node_split(CONTRASTS),
        "with_moderator": CONTRASTS.with_moderator("year", {"a": 1.0, "b": 3.0}),
        "fit_network": bm.fit(CONTRASTS, "network_consistency"),
        "two_by_two": COUNTS,
        "person_time": TIMES,
        "absolute_effect": bm.absolute_effect(normal, 0.3, benefit="lower"),
        "absolute_table": bm.absolute_table(normal, [0.1, 0.3], benefit="lower"),
        "baseline_risk": bm.baseline_risk(0.3),
        "decide": bm.decide(normal, **asked),
        "number_needed": bm.absolute_effect(normal, 0.3, benefit="lower").number_needed(),
        "pooled_baseline": bm.pooled_baseline(COUNTS),
        "multiverse": bm.multiverse(TABLE, benefit="lower", measures=["OR"]),
        "predictive_p": bm.predictive_p(normal, draws=50, seed=1),
        "rope": bm.rope(normal, 0.9, 1.1),
        "sequential": bm.sequential(EFFECTS, benefit="lower"),
        "update": bm.update(bm.fit(COUNTS, "hypergeometric_normal"), later, benefit="lower"),
        "kinds_of_evidence": bm.kinds_of_evidence(EFFECTS, main="a", design=["a", "a", "b", "b"], benefit="lower"),
        "next_study": bm.next_study(normal, n=[50, 200], control_risk=0.4, benefit="lower"),
        "tipping_point": bm.tipping_point(EFFECTS, benefit="lower"),
        "critical_prior": sensitivity.critical_prior(0.1, 0.9),
        "power_scaling": sensitivity.power_scaling(normal),
        "prior_data_conflict": sensitivity.prior_data_conflict(EFFECTS),
        "sensitivity": bm.sensitivity(EFFECTS, mu=["normal(0, 2)"], tau=["half_normal(0.5)"]),
        "fit_many": bm.fit_many([EFFECTS, EFFECTS]),
        "baujat": frequentist.baujat(EFFECTS),
        "begg": frequentist.begg(EFFECTS),
        "cumulative": frequentist.cumulative(EFFECTS),
        "leave_one_out": frequentist.leave_one_out(EFFECTS),
        "information_size": frequentist.information_size(EFFECTS, effect=0.6, control_risk=0.4),
        "influence": frequentist.influence(EFFECTS),
        "egger": frequentist.egger(EFFECTS),
        "deeks": frequentist.deeks(COUNTS),
        "peters": frequentist.peters(COUNTS),
        "harbord": frequentist.harbord(COUNTS),
        "excess_significance": frequentist.excess_significance(EFFECTS),
        "fail_safe_n": frequentist.fail_safe_n(EFFECTS),
        "funnel": frequentist.funnel(EFFECTS),
        "heterogeneity_intervals": frequentist.heterogeneity_intervals(EFFECTS),
        "mantel_haenszel": frequentist.mantel_haenszel(COUNTS, measure="OR"),
        "peto": frequentist.peto(COUNTS),
        "pool": frequentist.pool(EFFECTS),
        "reporting_bias": bm.reporting_bias(EFFECTS, direction="less", ensemble=None),
        "bias_average": bm.bias_average(EFFECTS, ensemble="pp", direction="less"),
        "publication_ratio": frequentist.publication_ratio(EFFECTS, direction="less"),
        "copas": frequentist.copas(EFFECTS, direction="less"),
        "copas_estimate": frequentist.copas(EFFECTS, direction="less").at(1.0, 0.0),
        "p_uniform_star": frequentist.p_uniform_star(bm.EffectSizes([0.5, 0.7, 0.6, 0.1], [0.2] * 4), side="greater"),
        "limit_meta": frequentist.limit_meta(EFFECTS),
        "selection": frequentist.selection(EFFECTS, side="less", weight="negexp"),
        "pool_many": frequentist.pool_many(EFFECTS.yi[None], EFFECTS.vi[None]),
        "regress": fitted,
        "test": fitted.test(["x"]),
        "predict": fitted.predict([[1.0]]),
        "permutation_test": frequentist.permutation_test(fitted, permutations=20),
        "pet_peese": frequentist.pet_peese(EFFECTS),
        "trim_and_fill": frequentist.trim_and_fill(EFFECTS),
        "components": frequentist.components(CLUSTERED, robust="CR2"),
        "diagnostic": frequentist.diagnostic(DIAGNOSTIC),
        "diagnostic_table": DIAGNOSTIC,
        "dose_response": DOSES,
        "glmm": frequentist.glmm(COUNTS),
        "implied": priors.implied("half_normal(0.5)"),
        "map_prior": priors.map_prior(normal.theta_new),
        "turner": priors.turner2015("all-cause mortality", "pharmacological vs placebo/control"),
    }


@pytest.fixture(scope="module")
def values(tmp_path_factory) -> dict[str, object]:
    """What every public function returns."""
    corpus = pd.DataFrame({"meta": [1, 1], "study": ["a", "b"], "yi": [0.1, 0.4], "sei": [0.2, 0.3]})
    folder = tmp_path_factory.mktemp("corpus")
    return {**public_values(), "run_many": bm.run_many(corpus, by="meta", measure="GEN", model=None, out=folder)}


def test_every_public_value_arrives_as_it_left(values):
    """What any public function returns can be pickled and copied, prints the same, and holds the same figures."""
    lost = []
    for name, value in values.items():
        for way, other in zip(("pickle", "deepcopy", "cloudpickle"), arrived(value), strict=True):
            if not same(value, other) or str(other) != str(value):
                lost.append(f"{name} by {way}")
    assert not lost


def test_the_values_above_are_all_that_public_functions_return(values):
    """No kind of value that a public function says it returns is missing among those that are sent."""
    known = reached(tuple(values.values()), {Posterior})
    announced = set()
    for package in (bm, frequentist, decisions, sensitivity):
        for name in dir(package):
            function = getattr(package, name)
            if inspect.isfunction(function):
                returned = inspect.get_annotations(function, eval_str=False)["return"]
                if inspect.isclass(returned) and dataclasses.is_dataclass(returned):
                    announced.add(returned)
    assert len(announced) > 25
    assert announced <= known


@pytest.mark.parametrize("name", sorted(PRIORS))
def test_every_prior_arrives(name):
    """A prior of every family has the same text form and density on arrival."""
    texts = {
        "point": "point(0.2)",
        "uniform": "uniform(0, 4)",
    }
    signature = inspect.signature(PRIORS[name])
    needed = [p for p in signature.parameters.values() if p.default is p.empty]
    text = texts.get(name, f"{name}({', '.join(str(0.5 + 0.25 * i) for i in range(len(needed)))})")
    prior = parse_prior(text)
    for other in arrived(prior):
        assert repr(other) == repr(prior)
        assert same(prior, other)


def test_arrays_are_read_only_on_arrival():
    """Effects, counts and tables can be written to no more after a journey than before."""
    for value in (EFFECTS, COUNTS, TABLE, frequentist.pool(EFFECTS)):
        for other in arrived(value):
            arrays = [getattr(other, f.name) for f in dataclasses.fields(other)]
            arrays += [a for m in arrays if isinstance(m, FrozenMap) for a in m.values()]
            arrays = [a for a in arrays if isinstance(a, np.ndarray)]
            assert arrays
            assert not any(a.flags.writeable for a in arrays)


@pytest.mark.parametrize("package", ["bayesmeta", "bayesmeta.frequentist"])
def test_packages_travel_by_name(package):
    """A package is pickled as a reference to itself."""
    module = importlib.import_module(package)
    assert pickle.loads(pickle.dumps(module)) is module
    assert cloudpickle.loads(cloudpickle.dumps(module)) is module


def test_a_function_that_uses_the_package_travels():
    """A lambda that fits, as dask and ray send it, does on arrival what it did before."""
    send = cloudpickle.loads(cloudpickle.dumps(lambda data: bm.fit(data, priors=PROPER).mu.mean()))
    assert send(EFFECTS) == bm.fit(EFFECTS, priors=PROPER).mu.mean()


def test_a_model_travels_by_name_or_path(tmp_path):
    """A model is loaded again on arrival; a file of one's own that was changed since is refused."""
    model = load_model("normal_normal")
    assert all(other is model for other in arrived(model))
    path = tmp_path / "mine.py"
    path.write_bytes((models_dir() / "normal_normal.py").read_bytes())
    mine = bm.fit(EFFECTS, path, priors=PROPER)
    sent = pickle.dumps(mine)
    assert pickle.loads(sent).mu.mean() == mine.mu.mean()
    path.write_text(path.read_text() + "\n# changed\n")
    with pytest.raises(ModelError, match=r"mine\.py.*was changed since"):
        pickle.loads(sent)
    path.unlink()
    with pytest.raises(ModelError, match="does not exist"):
        pickle.loads(sent)


def test_posteriors_come_back_from_a_process_pool():
    """Posteriors fitted in other processes, started afresh, are those fitted here."""
    sets = [EFFECTS.drop([label]) for label in EFFECTS.study[:3]]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        found = list(pool.map(importlib.import_module("bayesmeta.fit").fit, sets))
    assert [post.mu.eti() for post in found] == [bm.fit(effects).mu.eti() for effects in sets]


def test_posteriors_come_back_from_a_dask_cluster():
    """A dask cluster takes lambdas and data, and gives posteriors back."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        found = client.submit(lambda data: bm.fit(data, priors=PROPER), EFFECTS).result(timeout=60)
    assert found.mu.eti() == bm.fit(EFFECTS, priors=PROPER).mu.eti()
