"""Many meta-analyses at once: row by row what pool() gives."""

import numpy as np
import pytest

import bayesmeta as bm
from bayesmeta.errors import DataError, ModelError
from bayesmeta.frequentist import TAU2_ESTIMATORS, batch, pool, pool_many


def ragged(seed, m=60, k=9):
    rng = np.random.default_rng(seed)
    v = 10.0 ** rng.uniform(-rng.choice([0.5, 6.0], size=(m, 1)), 0, (m, k))
    y = rng.normal(size=(m, k)) * np.sqrt(v + 0.1 * rng.integers(0, 2, (m, 1)))
    y[np.arange(k) >= rng.integers(1, k + 1, m)[:, None]] = np.nan
    return y, v


@pytest.mark.parametrize("method", sorted(TAU2_ESTIMATORS))
@pytest.mark.parametrize("ci", ["wald", "hksj", "adhoc", "t"])
def test_rows_equal_single_fits(method, ci):
    """Every field of every row, ragged rows and one-study rows among them, equals the single fit."""
    y, v = ragged(1)
    batch = pool_many(y, v, method=method, ci=ci)
    for i in range(len(y)):
        on = ~np.isnan(y[i])
        rule = ci if on.sum() > 1 else "wald"
        fit = pool(bm.EffectSizes(yi=y[i][on], sei=np.sqrt(v[i][on])), method=method, ci=rule)
        got = {"mu": fit.mu, "tau2": fit.tau2, "Q": fit.Q, "Q_p": fit.Q_p, "I2": fit.I2, "H2": fit.H2, "k": fit.k}
        if rule == ci:
            got |= {"se": fit.se, "ci_low": fit.ci.low, "ci_high": fit.ci.high, "p_value": fit.p_value}
        else:
            assert np.isnan(batch.ci_low[i])
        for name, want in got.items():
            assert getattr(batch, name)[i] == pytest.approx(want, rel=1e-9, abs=1e-11), (i, name)


def test_groups_masks_and_matrices_agree():
    """A group index, a masked array and NaN padding are three spellings of the same rows."""
    y, v = ragged(2)
    on = ~np.isnan(y)
    by_nan = pool_many(y, v)
    by_mask = pool_many(np.ma.array(np.nan_to_num(y), mask=~on), v)
    shuffle = np.random.default_rng(0).permutation(on.sum())
    by_group = pool_many(y[on][shuffle], v[on][shuffle], group=np.nonzero(on)[0][shuffle])
    for other in (by_mask, by_group):
        assert other.mu == pytest.approx(by_nan.mu, rel=1e-12)
        assert (other.k == by_nan.k).all()
    assert len(by_nan.to_frame()) == len(y)


def test_the_higher_of_two_modes_is_found_in_every_row():
    """Rows whose restricted likelihood has two maxima get the same one as single fits."""
    rng = np.random.default_rng(5)
    y = np.concatenate([rng.normal(0, 0.02, (80, 2)), rng.normal(0, 2.0, (80, 2))], axis=1)
    v = np.tile([1e-4, 1e-4, 1.0, 1.0], (80, 1))
    batch = pool_many(y, v, method="REML")
    single = [pool(bm.EffectSizes(yi=row, sei=np.sqrt(v[0])), method="REML").tau2 for row in y]
    assert batch.tau2 == pytest.approx(np.array(single), rel=1e-9, abs=1e-14)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([[1.0, 2.0]], [[0.1, 0.0]]), {}, "Row 0, column 1"),
        (([[np.nan, np.nan]], [[0.1, 0.1]]), {}, "Row 0 has no studies"),
        (([[1.0]], [[0.1, 0.2]]), {}, "shape"),
        (([1.0], [0.1]), {}, "matrix"),
        (([1.0, 2.0], [0.1, 0.1]), {"group": [0.0, 1.0]}, "integer"),
    ],
)
def test_impossible_rows_are_named(arguments, options, message):
    """Row and column of an impossible variance, empty rows and wrong shapes are errors."""
    with pytest.raises(DataError, match=message):
        pool_many(*arguments, **options)


@pytest.mark.parametrize("options", [{"method": "REMLL"}, {"ci": "walt"}, {"level": 0}])
def test_unknown_options_are_refused(options):
    """Misspelt options are errors, as in pool()."""
    with pytest.raises(ModelError):
        pool_many([[1.0, 2.0]], [[0.1, 0.1]], **options)


@pytest.mark.parametrize("method", ["DL", "REML"])
def test_an_estimator_without_a_formula_for_all_rows_runs_row_by_row(method, monkeypatch):
    """A newly registered estimator gives in a batch what it gives alone."""
    y, v = ragged(3, m=20)
    together = pool_many(y, v, method=method)
    monkeypatch.setattr(batch, "_METHODS", {})
    assert pool_many(y, v, method=method).tau2 == pytest.approx(together.tau2, rel=1e-9, abs=1e-12)
