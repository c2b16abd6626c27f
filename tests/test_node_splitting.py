"""Direct against indirect evidence."""

from functools import cache

import numpy as np
import pytest

import bayesmeta as bm
from bayesmeta.errors import DataError, ModelError


@cache
def loop():
    """Return a loop of three treatments, and a fourth that one study connects."""
    rows = [("a", "A", "B"), ("b", "B", "A"), ("c", "A", "C"), ("d", "B", "C"), ("e", "C", "D")]
    study, one, two = zip(*rows, strict=True)
    numbers = {"yi": [0.4, -0.1, 0.9, -0.2, 0.3], "sei": [0.2, 0.3, 0.25, 0.15, 0.4]}
    return bm.contrasts(bm.NetworkTable(study, (), numbers, one, two), "OR")


@cache
def smoking():
    return bm.contrasts(bm.read_network(bm.load_dataset("smoking_cessation_network_hasselblad1998")), "OR")


def test_a_loop_is_split_by_inverse_variances():
    """tau known, flat priors: direct is the weighted mean of its studies, indirect the sum of the others."""
    tau = 0.1
    found = bm.network.node_split(loop(), priors={"mu": "flat()", "tau": f"point({tau})"}, difference="flat()")
    split = found["B", "A"]
    v = np.array([0.2, 0.3, 0.25, 0.15]) ** 2 + tau**2
    w = 1.0 / v[:2]
    direct, indirect = w @ [-0.4, -0.1] / w.sum(), -0.2 - 0.9
    assert (split.direct.mean(), split.direct.sd()) == pytest.approx((direct, w.sum() ** -0.5), abs=1e-10)
    assert (split.indirect.mean(), split.indirect.sd()) == pytest.approx((indirect, (v[2] + v[3]) ** 0.5), abs=1e-10)
    z = (direct - indirect) / np.sqrt(1.0 / w.sum() + v[2] + v[3])
    assert split.difference.mean() / split.difference.sd() == pytest.approx(z, abs=1e-9)
    assert split.bayes_factor is None
    assert found.direct_only == (("D", "C"),)
    assert len(found) == 3


def test_the_bayes_factor_is_the_density_ratio_at_no_difference():
    """Savage-Dickey: posterior density of the difference at 0 over its prior's, to rounding."""
    found = bm.network.node_split(smoking(), difference="normal(0, 0.7)")
    for split in found.splits:
        ratio = float(split.difference.pdf(0.0)) / (1.0 / (0.7 * np.sqrt(2.0 * np.pi)))
        assert split.bayes_factor == pytest.approx(ratio, rel=1e-9)
        assert split.direct.mean() - split.indirect.mean() == pytest.approx(split.difference.mean(), abs=1e-10)
        assert 0.0 < split.p <= 1.0
    assert len(found.to_frame()) == 6
    assert "ind_counseling against grp_counseling" in str(found)


def test_names_and_first_arms_change_nothing():
    """Studies of several arms: the same split with other references and turned pairs."""
    one = bm.network.node_split(smoking(), pairs=[("self_help", "no_contact")])["self_help", "no_contact"]
    two = bm.network.node_split(smoking().rebased(), pairs=[("no_contact", "self_help")])["no_contact", "self_help"]
    for name in ("direct", "indirect", "difference"):
        a, b = getattr(one, name), getattr(two, name)
        assert (a.mean(), a.sd()) == pytest.approx((-b.mean(), b.sd()), abs=1e-9)
    assert one.bayes_factor == pytest.approx(two.bayes_factor, rel=1e-9)


def test_what_cannot_be_split_is_refused():
    """No indirect evidence, no direct evidence, a prior with a direction, no unit."""
    with pytest.raises(DataError, match="no indirect evidence"):
        bm.network.node_split(loop(), pairs=[("D", "C")])
    with pytest.raises(DataError, match="no direct evidence"):
        bm.network.node_split(loop(), pairs=[("D", "A")])
    with pytest.raises(ModelError, match="b against a is minus"):
        bm.network.node_split(loop(), difference="normal(1, 1)")
    c = bm.Contrasts(loop().yi, loop().V, loop().study, loop().treat1, loop().treat2, "MD")
    with pytest.raises(ModelError, match=r"difference='normal\(0, S\)'"):
        bm.network.node_split(c)
    with pytest.raises(ModelError, match="no split"):
        bm.network.node_split(loop())["A", "B"]
