"""What NUTS does when its draws are not good enough."""

import numpy as np
import pytest
from made_up import effects

import bayesmeta as bm
from bayesmeta.engines import nuts
from bayesmeta.engines.sampling.chains import Run, run
from bayesmeta.engines.sampling.results.diagnostics import diagnose, judge

pytestmark = pytest.mark.nuts


FINE = {
    "divergences": 0.0,
    "chains": 4.0,
    "draws": 1000.0,
    "max_rhat": 1.001,
    "min_ess_bulk": 2000.0,
    "min_ess_tail": 2000.0,
    "min_bfmi": 0.9,
}


TABLE = {"mu": {"rhat": 1.0, "ess_bulk": 2000.0, "ess_tail": 2000.0}}


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"divergences": 3.0}, "3 of 4000 draws diverged"),
        ({"max_rhat": 1.02}, "R-hat of mu is 1.020"),
        ({"max_rhat": float("nan")}, "R-hat of mu is nan"),
        ({"min_ess_bulk": 300.0}, "bulk effective sample size of mu is 300"),
        ({"min_ess_tail": 300.0}, "tail effective sample size of mu is 300"),
        ({"min_bfmi": 0.1}, "E-BFMI is 0.10"),
    ],
)
def test_verdict_names_the_fault(fault, words):
    """Each bad figure makes the run unreliable, and the verdict names it."""
    assert judge(FINE, TABLE)[0]
    ok, verdict = judge({**FINE, **fault}, TABLE)
    assert not ok
    assert words in verdict


def test_divergences_of_draws_not_kept_count():
    """Thinning does not hide divergences."""
    diverging = np.zeros((2, 40), dtype=bool)
    diverging[0, 1] = True
    rng = np.random.default_rng(1)
    draws = rng.normal(size=(2, 10))
    assert diagnose({"mu": draws}, diverging, rng.normal(size=(2, 40))).figures["divergences"] == 1


def _bad_first(monkeypatch, faults):
    """Make the first runs look as if they had diverged or not mixed."""
    calls = []

    def fake(bound, settings, *, progress=False):
        result = run(bound, settings)
        calls.append((settings, len(bound.program.layout.variables)))
        diverging = result.diverging.copy()
        diverging[0, : faults[len(calls) - 1] if len(calls) <= len(faults) else 0] = True
        return Run(result.draws, result.derived, result.stats, diverging, result.energy)

    monkeypatch.setattr(nuts, "run", fake)
    return calls


def test_remedies_are_tried_in_order_and_recorded(monkeypatch):
    """After many divergences: smaller steps, then another parametrisation with longer chains; the result says so."""
    calls = _bad_first(monkeypatch, [50, 30])
    post = bm.fit(effects(4), engine="nuts", seed=1, draws=500)
    assert post.diagnostics.ok
    assert len(post.diagnostics.remedies) == 2
    assert "target_accept raised from 0.98 to 0.99, after 50 divergences" in post.diagnostics.remedies[0]
    assert "'non_centred' in place of 'default', after 30 divergences" in post.diagnostics.remedies[1]
    assert post.options["variant"] == "non_centred"
    assert calls[1][0].target_accept == 0.99
    assert calls[2][0].thin == 4 * calls[0][0].thin


def test_a_few_divergences_are_met_with_smaller_steps_first(monkeypatch):
    """Where one transition in thousands diverges the program stays; another comes when smaller steps do not help."""
    calls = _bad_first(monkeypatch, [5, 3, 2])
    post = bm.fit(effects(4), engine="nuts", seed=1, draws=500)
    assert post.diagnostics.ok
    assert "target_accept raised to 0.999, after 3 divergences" in post.diagnostics.remedies[1]
    assert "'non_centred' in place of 'default', after 2 divergences" in post.diagnostics.remedies[2]
    assert [settings.target_accept for settings, _ in calls] == [0.98, 0.99, 0.999, 0.99]
    assert calls[2][0].thin == 4 * calls[0][0].thin


def test_no_remedy_is_tried_twice(monkeypatch):
    """With every run bad, each pair of program and step size comes once."""
    calls = _bad_first(monkeypatch, [5, 3, 2, 2, 2, 2, 2])
    post = bm.fit(effects(4), engine="nuts", seed=1, draws=500)
    assert not post.diagnostics.ok
    tried = [(size, settings.target_accept, settings.thin) for settings, size in calls]
    assert len(tried) == len(set(tried)) == 5


def test_best_run_is_returned_when_no_remedy_helps(monkeypatch):
    """When all remedies fail the least bad run is returned, marked as not to be relied on."""
    _bad_first(monkeypatch, [9, 2, 9, 9, 9])
    post = bm.fit(effects(4), engine="nuts", seed=1, draws=500, thin=1)
    assert not post.diagnostics.ok
    assert post.diagnostics.figures["divergences"] == 2
    assert "Do not rely" in post.diagnostics.verdict


def test_remedies_can_be_switched_off(monkeypatch):
    """With remedies=False a bad run is returned as it is."""
    calls = _bad_first(monkeypatch, [5])
    post = bm.fit(effects(4), engine="nuts", seed=1, draws=500, remedies=False)
    assert (len(calls), post.diagnostics.ok, post.diagnostics.remedies) == (1, False, ())
