"""Contrasts of the studies of a network, with the covariance that contrasts of one study have."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from bayesmeta.effects.continuous import hedges_correction
from bayesmeta.effects.measure import Measure
from bayesmeta.effects.sizes import compute_effects, find_measure
from bayesmeta.effects.zero_cells import ZeroRule
from bayesmeta.errors import DataError, ModelError
from bayesmeta.studies import Contrasts, NetworkTable
from bayesmeta.values import Array
from bayesmeta.words import joined

# Measures whose contrasts are differences of two arms' values, or SMD, whose unit is common to a study's arms.
MEASURES_OF_ARMS = ("OR", "RR", "RD", "AS", "IRR", "IRD", "IRSD", "MD", "SMD", "ROM")
_ROUNDING = 1e-3
"""Share by which standard errors of a study's contrasts may contradict each other: printed tables have three digits."""


def contrasts(
    net: NetworkTable, measure: str, *, add: float | None = None, to: str = "only0", vtype: str | None = None
) -> Contrasts:
    """Return the contrasts of each study of a network, with their sampling covariance.

    Parameters
    ----------
    net
        Arms, or contrasts given as estimates: of a study of several arms all pairs.
    measure
        ``"OR" "RR" "RD" "AS" "IRR" "IRD" "IRSD" "MD" "SMD" "ROM"`` of arms; any for estimates.
    add, to
        What is added to the cells of studies with a zero cell, as in :func:`bayesmeta.effect_sizes`: to all arms of
        such a study.
    vtype
        Kind of sampling variance.

    Returns
    -------
    Contrasts
        Each study's first treatment against each of its others. Studies that say nothing of the measure (no events in
        any arm, of a ratio) are left out by name, in `notes`.

    Raises
    ------
    DataError
        If the network is not connected, a study of several arms lacks a pair, or its standard errors contradict each
        other: the message names the nearest ones that do not.
    ModelError
        If the measure is unknown, or not one of arms.

    References
    ----------
    Rücker & Schwarzer (2014), Stat. Med. 33:4353-4369; Gleser & Olkin (2009), in Cooper, Hedges & Valentine, The
    Handbook of Research Synthesis, 2nd ed., 357-376 (SMD).
    """
    chosen = find_measure(measure)
    if not net.arms:
        if add is not None or vtype is not None:
            raise ModelError("add and vtype belong to counts and means of arms; this network holds estimates.")
        return _from_estimates(net, measure)
    if measure not in MEASURES_OF_ARMS:
        raise ModelError(
            f"{measure} is not computed from the arms of a network: {', '.join(MEASURES_OF_ARMS)}. Give contrasts "
            "(study, treat1, treat2, yi, sei) instead."
        )
    _check_columns(net, chosen)
    return _from_arms(net, chosen, ZeroRule(0.5 if add is None else add, to), vtype)


def _check_columns(net: NetworkTable, measure: Measure) -> None:
    needed = {name.removesuffix("_treatment").removesuffix("_control") for name in measure.columns}
    missing = sorted(needed - set(net.columns))
    if missing:
        raise DataError(
            f"{measure.name} needs {joined(sorted(needed))} of each arm; this network has {joined(list(net.columns))}."
        )


def _from_arms(net: NetworkTable, measure: Measure, zeros: ZeroRule, vtype: str | None) -> Contrasts:
    numbers = {name: np.array(values) for name, values in net.columns.items()}
    notes = list(net.notes)
    silent: list[str] = []
    touched: list[str] = []
    if measure.counted:
        silent = _silent(net, numbers, measure)
        touched = _add_to_zeros(net, numbers, zeros, measure, silent)
    if silent:
        notes.append(
            f"Left out, because no arm or every arm has no events, which says nothing of the {measure.label.lower()}: "
            f"{', '.join(silent)}."
        )
    if touched:
        notes.append(f"{zeros.add:g} was added to the cells of all arms of {', '.join(touched)}.")
    yi, blocks, sizes, labels = [], [], [], []
    for study, rows in net.rows().items():
        if study in silent:
            continue
        y, block = _one_study(study, {name: values[rows] for name, values in numbers.items()}, measure, vtype)
        names = [net.treatment[i] for i in rows]
        yi.append(y)
        blocks.append(block)
        labels += [(study, names[0], other) for other in names[1:]]
        if "n" in net.columns:
            n = net.columns["n"][rows]
            sizes.append(n[0] + n[1:])
    if not labels:
        raise DataError(f"No study of the network says anything of the {measure.label.lower()}: no arm has events.")
    study_of, one, two = (tuple(part) for part in zip(*labels, strict=True))
    found = Contrasts(
        np.concatenate(yi),
        _block_diagonal(blocks),
        study_of,
        one,
        two,
        measure.name,
        np.concatenate(sizes) if sizes else None,
        net,
    )
    if found.sparse and measure.name in ("OR", "RR", "IRR"):
        notes.append(
            f"Cells below 5 in {', '.join(found.sparse)}: the normal approximation of the {measure.analysis_label} is "
            "doubtful there, and the answer can be half a standard deviation off. Compare model='network_binomial'."
            if measure.name == "OR"
            else f"Cells below 5 in {', '.join(found.sparse)}: the normal approximation of the "
            f"{measure.analysis_label} is doubtful there."
        )
    lost = sorted(set(net.treatments) - set(found.treatments))
    if lost:
        notes.append(f"With the studies left out went the treatments {', '.join(lost)}.")
    return Contrasts(found.yi, found.V, study_of, one, two, measure.name, found.ni, arms=net, notes=tuple(notes))


def _silent(net: NetworkTable, numbers: dict[str, Array], measure: Measure) -> list[str]:
    """Return studies whose arms have no events at all, or nothing else, where the measure is not defined for them."""
    if measure.name not in ("OR", "RR", "IRR"):
        return []
    full = measure.name == "OR"
    found = []
    for study, rows in net.rows().items():
        events = numbers["events"][rows]
        everybody = full and bool((events == numbers["n"][rows]).all())
        if not events.any() or everybody:
            found.append(study)
    return found


def _add_to_zeros(
    net: NetworkTable, numbers: dict[str, Array], zeros: ZeroRule, measure: Measure, silent: Sequence[str]
) -> list[str]:
    """Add a constant to the cells of all arms of the studies that the rule names; return these studies."""
    if measure.default_add == 0.0 or zeros.add == 0.0 or zeros.to == "none":
        return []
    rest = numbers["n"] - numbers["events"] if "n" in numbers else np.ones_like(numbers["events"])
    empty = (numbers["events"] == 0.0) | (rest == 0.0)
    rows = net.rows()
    having = [study for study in rows if study not in silent and empty[rows[study]].any()]
    chosen = having if zeros.to == "only0" else list(rows) if zeros.to == "all" or having else []
    for study in chosen:
        at = rows[study]
        numbers["events"][at] += zeros.add
        if "n" in numbers:
            numbers["n"][at] += 2.0 * zeros.add
    return [study for study in chosen if study not in silent]


def _one_study(study: str, arms: dict[str, Array], measure: Measure, vtype: str | None) -> tuple[Array, Array]:
    """Return the first arm against each other one, and their covariance."""
    if measure.name == "SMD":
        return _standardised(study, arms)
    size = len(next(iter(arms.values())))
    y, v = np.zeros((size, size)), np.zeros((size, size))
    for a, b in combinations(range(size), 2):
        pair = {
            column: arms[column.removesuffix("_treatment").removesuffix("_control")][
                [a if column.endswith("_treatment") else b]
            ]
            for column in measure.columns
        }
        raw = compute_effects(measure.name, pair, to="none", vtype=vtype)
        y[a, b], v[a, b] = float(raw.yi[0]), float(raw.vi[0])
        if not (np.isfinite(y[a, b]) and v[a, b] > 0.0):
            raise DataError(
                f"Study {study!r}: the {measure.label.lower()} of its arms cannot be computed. Add to zero cells "
                "(add=0.5), or leave the study out."
            )
    v += v.T
    shared = 0.5 * (v[0, 1:, None] + v[0, None, 1:] - v[1:, 1:])
    return y[0, 1:], shared


def _standardised(study: str, arms: dict[str, Array]) -> tuple[Array, Array]:
    """Return Hedges' g against the first arm, in units of the SD pooled over all arms."""
    mean, sd, n = arms["mean"], arms["sd"], arms["n"]
    df = float(n.sum() - len(n))
    pooled = np.sqrt(((n - 1.0) * sd**2).sum() / df) if df > 0 else np.nan
    correct = float(hedges_correction(np.array([df]))[0])
    if not (np.isfinite(pooled) and pooled > 0.0 and np.isfinite(correct)):
        raise DataError(f"Study {study!r}: the standard deviation of its arms cannot be pooled; it has too few people.")
    g = correct * (mean[0] - mean[1:]) / pooled
    V = 1.0 / n[0] + np.diag(1.0 / n[1:]) + np.outer(g, g) / (2.0 * n.sum())
    return g, V


def _block_diagonal(blocks: Sequence[Array]) -> Array:
    size = sum(len(block) for block in blocks)
    V, at = np.zeros((size, size)), 0
    for block in blocks:
        V[at : at + len(block), at : at + len(block)] = block
        at += len(block)
    return V


def _from_estimates(net: NetworkTable, measure: str) -> Contrasts:
    yi, blocks, labels = [], [], []
    for study, rows in net.rows().items():
        names = list(dict.fromkeys(t for i in rows for t in (net.treat1[i], net.treat2[i])))
        y, v = _all_pairs(net, study, rows, names)
        if len(names) > 2:
            _check_consistent(study, names, y, v)
        yi.append(y[0, 1:])
        blocks.append(0.5 * (v[0, 1:, None] + v[0, None, 1:] - v[1:, 1:]))
        labels += [(study, names[0], other) for other in names[1:]]
    study_of, one, two = (tuple(part) for part in zip(*labels, strict=True))
    return Contrasts(np.concatenate(yi), _block_diagonal(blocks), study_of, one, two, measure, notes=net.notes)


def _all_pairs(net: NetworkTable, study: str, rows: Sequence[int], names: Sequence[str]) -> tuple[Array, Array]:
    """Return ``(A, A)`` effects and variances of all pairs of a study's treatments.

    Raises
    ------
    DataError
        If a pair is missing or stands there twice.
    """
    size, place = len(names), {name: i for i, name in enumerate(names)}
    y, v = np.full((size, size), np.nan), np.full((size, size), np.nan)
    np.fill_diagonal(v, 0.0)
    for i in rows:
        a, b = place[net.treat1[i]], place[net.treat2[i]]
        if np.isfinite(y[a, b]):
            raise DataError(
                f"Study {study!r} has {net.treat1[i]!r} against {net.treat2[i]!r} twice: combine the rows, or name two "
                "studies."
            )
        y[a, b], y[b, a] = net.columns["yi"][i], -net.columns["yi"][i]
        v[a, b] = v[b, a] = net.columns["sei"][i] ** 2
    missing = [(names[a], names[b]) for a, b in combinations(range(size), 2) if not np.isfinite(y[a, b])]
    if missing:
        said = "; ".join(f"{a} : {b}" for a, b in missing)
        raise DataError(
            f"Study {study!r} compares {size} treatments, and of its {size * (size - 1) // 2} pairs there are missing: "
            f"{said}. Give every pair with its standard error: their covariance follows from all of them together."
        )
    return y, v


def _check_consistent(study: str, names: Sequence[str], y: Array, v: Array) -> None:
    """Refuse effects that do not add up, and variances that no arms can have.

    The variance of each pair is the sum of one variance per arm: the nearest ones are least squares with no negative
    one.
    """
    from scipy.optimize import nnls

    pairs = list(combinations(range(len(names)), 2))
    scale = float(np.sqrt(np.mean([v[a, b] for a, b in pairs])))
    for a, b in pairs[len(names) - 1 :]:
        off = y[a, b] - (y[0, b] - y[0, a])
        if abs(off) > 0.02 * scale + 0.005 * abs(y[a, b]):
            raise DataError(
                f"Study {study!r}: {names[a]} : {names[b]} is {y[a, b]:g}, but {names[0]} : {names[b]} less "
                f"{names[0]} : {names[a]} is {y[0, b] - y[0, a]:g}. Effects of one study add up: correct one of them."
            )
    X = np.zeros((len(pairs), len(names)))
    for row, (a, b) in enumerate(pairs):
        X[row, [a, b]] = 1.0
    given = np.array([v[a, b] for a, b in pairs])
    arms, _ = nnls(X / given[:, None], np.ones(len(pairs)))
    fitted = X @ arms
    worst = int(np.argmax(np.abs(fitted / given - 1.0)))
    # Three arms always fit where no variance of an arm is negative; standard errors printed to two digits differ by 1%.
    limit = _ROUNDING if len(names) == 3 else 0.05
    if abs(fitted[worst] / given[worst] - 1.0) > limit or np.any(arms <= 0.0):
        a, b = pairs[worst]
        nearest = ", ".join(
            f"{names[i]} : {names[j]} {np.sqrt(f):.4g}" for (i, j), f in zip(pairs, fitted, strict=True)
        )
        raise DataError(
            f"Study {study!r}: the standard errors of its contrasts contradict each other. The variance of a contrast "
            f"is the sum of two arms' variances, and {names[a]} : {names[b]} has {np.sqrt(given[worst]):.4g} where the "
            f"others allow {np.sqrt(fitted[worst]):.4g}. The nearest that agree: {nearest}."
        )
