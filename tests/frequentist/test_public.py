"""The public face of the classical analysis."""

import inspect
import subprocess
import sys

import pytest

from bayesmeta import frequentist
from bayesmeta.frequentist import TAU2_ESTIMATORS


@pytest.mark.parametrize("name", frequentist.__all__)
def test_every_public_name_loads(name):
    """Each name in the table is defined where the table says."""
    assert getattr(frequentist, name) is not None


def test_pool_stays_a_function_after_its_module_was_imported():
    """The module pool.py does not shadow the function pool."""
    code = "import bayesmeta.frequentist.pool, bayesmeta; assert callable(bayesmeta.frequentist.pool)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_pooling_loads_nothing_heavy():
    """One pooled fit imports neither pandas nor matplotlib, pymc, scipy.stats or arviz."""
    code = (
        "import sys, bayesmeta as bm; bm.frequentist.pool(bm.EffectSizes(yi=[1, 2], sei=[1, 1]), method='REML');"
        "heavy = {'pandas', 'matplotlib', 'pymc', 'arviz', 'scipy.stats'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_names_are_attribute_errors():
    """A misspelt name fails as an attribute."""
    with pytest.raises(AttributeError, match="pol"):
        _ = frequentist.pol


@pytest.mark.parametrize("name", sorted(TAU2_ESTIMATORS))
def test_estimators_are_callable_and_cite_their_paper(name):
    """A registered estimator maps effects and variances to tau2 and names its source with a year."""
    estimator = TAU2_ESTIMATORS[name]
    assert estimator([0.1, 0.9, 0.3], [0.01, 0.02, 0.03]) >= 0.0
    assert any(part.strip("(),.").isdigit() for part in estimator.reference.split())


def test_one_estimator_where_none_is_named():
    """Classical functions that take an estimator of tau2 take the same one where none is named."""
    # Mixed models are fitted by maximum likelihood, and by nothing else.
    functions = [getattr(frequentist, name) for name in frequentist.__all__ if name != "glmm"]
    signatures = [inspect.signature(f).parameters for f in functions if inspect.isfunction(f)]
    defaults = [p["method"].default for p in signatures if "method" in p]
    estimators = [d for d in defaults if d in TAU2_ESTIMATORS]
    assert len(estimators) >= 10
    assert set(estimators) == {"REML"}
