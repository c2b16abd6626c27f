"""Small data sets for every kind of data a model takes."""

import dataclasses

import numpy as np
import pytest

import bayesmeta as bm
from bayesmeta.studies import (
    Contrasts,
    DiagnosticTable,
    DoseResponse,
    EffectSizes,
    NetworkTable,
    PersonTime,
    TwoByTwo,
)


def effects(k: int = 5, seed: int = 1) -> EffectSizes:
    """Return effect sizes with two moderators and an intercept in the middle."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.normal(size=k), np.ones(k), rng.integers(0, 2, k)])
    X[0, 2], X[1, 2] = 0.0, 1.0
    return EffectSizes(
        yi=rng.normal(0.2, 0.6, k), sei=rng.uniform(0.1, 0.5, k), X=X, terms=("year", "intercept", "blinded")
    )


def tables(k: int = 5, seed: int = 1) -> TwoByTwo:
    """Return 2x2 tables, the first without events in the treatment arm, the second without any."""
    rng = np.random.default_rng(seed)
    n_treatment, n_control = rng.integers(20, 90, k), rng.integers(20, 90, k)
    events_treatment, events_control = rng.binomial(n_treatment, 0.2), rng.binomial(n_control, 0.3)
    events_treatment[:2], events_control[1] = 0, 0
    return TwoByTwo(events_treatment, n_treatment, events_control, n_control)


def rates(k: int = 5, seed: int = 1) -> PersonTime:
    """Return events and person-time, the first study without events in the treatment arm."""
    rng = np.random.default_rng(seed)
    time_treatment, time_control = rng.uniform(50, 200, k), rng.uniform(50, 200, k)
    events_treatment, events_control = rng.poisson(0.05 * time_treatment), rng.poisson(0.08 * time_control)
    events_treatment[0] = 0
    return PersonTime(events_treatment, time_treatment, events_control, time_control)


def clustered(k: int = 4, seed: int = 1) -> EffectSizes:
    """Return two outcomes of each study, with correlated estimates and a moderator."""
    rng = np.random.default_rng(seed)
    n = 2 * k
    return EffectSizes(
        rng.normal(0.2, 0.6, n),
        rng.uniform(0.1, 0.5, n),
        study=np.repeat([f"Study {i + 1}" for i in range(k)], 2),
        outcome=["pain", "sleep"] * k,
        X=np.column_stack([np.ones(n), rng.normal(size=n)]),
        terms=("intercept", "year"),
        sampling_correlation=0.4,
        R=0.5 + 0.5 * np.eye(k),
    )


def diagnostic(k: int = 5, seed: int = 1) -> DiagnosticTable:
    """Return tables of a diagnostic test, without empty cells."""
    rng = np.random.default_rng(seed)
    return DiagnosticTable(
        rng.integers(20, 60, k), rng.integers(5, 30, k), rng.integers(1, 9, k), rng.integers(50, 90, k)
    )


def doses(k: int = 4, seed: int = 1) -> DoseResponse:
    """Return cases at three doses of each study."""
    rng = np.random.default_rng(seed)
    study = np.repeat([f"Study {i + 1}" for i in range(k)], 3)
    return DoseResponse(study, np.tile([0.0, 1.0, 2.0], k), rng.integers(10, 40, 3 * k), np.full(3 * k, 300), "ir")


def network(k: int = 4, seed: int = 1) -> NetworkTable:
    """Return arms of studies of three treatments, the first of which compares all of them."""
    rng = np.random.default_rng(seed)
    arms = [("A", "B", "C"), *[("A", "B"), ("B", "C"), ("A", "C")] * k][:k]
    study = [f"Study {i + 1}" for i, names in enumerate(arms) for _ in names]
    treatment = [name for names in arms for name in names]
    numbers = {"events": rng.integers(8, 30, len(study)), "n": np.full(len(study), 80)}
    return NetworkTable(study, treatment, numbers)


def contrasts(k: int = 4, seed: int = 1) -> Contrasts:
    """Return the contrasts of such a network."""
    return bm.contrasts(network(k, seed), "OR")


MAKERS = {
    Contrasts: contrasts,
    NetworkTable: network,
    DoseResponse: doses,
    DiagnosticTable: diagnostic,
    EffectSizes: effects,
    TwoByTwo: tables,
    PersonTime: rates,
}


@pytest.fixture
def make():
    """Return the function that makes data of a type, or for a model."""

    def of(wanted, **kwargs):
        if isinstance(wanted, type):
            return MAKERS[wanted](**kwargs)
        dependent = wanted.data_type is EffectSizes and wanted.takes_dependent_rows
        if wanted.name == "design_groups":
            rows = clustered(**kwargs)
            return dataclasses.replace(rows, study=[f"Study {i}" for i in range(rows.n)], outcome=None, V=None, R=None)
        return clustered(**kwargs) if dependent else MAKERS[wanted.data_type](**kwargs)

    return of
