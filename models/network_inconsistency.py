r"""Network meta-analysis with random inconsistency between designs.

.. math::
    y_{i,ab} &= d_a - d_b + u_{i,ab} + w_{D(i),ab} + e_{i,ab}, \qquad e_i \sim N(0, V_i) \\
    u_{i,ab} &\sim N(0, \tau^2), \qquad \mathrm{cor}(u_{i,ab}, u_{i,ac}) = 1/2 \\
    w_{D,ab} &\sim N(0, \omega^2), \qquad \mathrm{cor}(w_{D,ab}, w_{D,ac}) = 1/2

A design :math:`D` is the set of treatments that a study compares. Studies of one design differ with standard deviation
:math:`\tau`; what designs say of the same comparison differs with standard deviation :math:`\omega` on top of it
(design-by-treatment interaction, random). With :math:`\omega = 0` it is ``network_consistency``. Relative effects are
means over designs, and ``relative_new`` is a new study of a new design. Names and priors are those of
``network_consistency``.

Use it to see how much wider relative effects become when designs are allowed to disagree, and how large
:math:`\omega` may be. Not as a remedy for a network that contradicts itself: look first at which comparison does
(`bm.network.node_split`) and why. Not where few comparisons are made by several designs: there the prior of
:math:`\omega` decides.

Source: Jackson, Barrett, Rice, White & Higgins (2014), Statistics in Medicine 33:3639-3654; Law, Jackson, Turner,
Rhodes & Viechtbauer (2016), BMC Medical Research Methodology 16:87.
"""

from collections.abc import Mapping

import numpy as np

from bayesmeta.errors import DataError
from bayesmeta.model import Component, Gaussian, relative_effects
from bayesmeta.priors import HalfNormal, Normal, Prior
from bayesmeta.studies import Contrasts

DATA = Contrasts
PRIORS: dict[str, Prior] = {
    "mu": Normal(0.0, 2.82),
    "beta": Normal(0.0, 2.82),
    "tau": HalfNormal(0.5),
    "omega": HalfNormal(0.5),
}


def gaussian(data: Contrasts, priors: Mapping[str, Prior]) -> Gaussian:
    """Return the contrasts with random effects of studies, and of designs, whose studies share them."""
    # Studies of one design share its effects only if they are of the same contrasts.
    con = data.rebased()
    rows = zip(con.designs(), con.treat1, con.treat2, strict=True)
    levels = [(f"{design}, {a} - {b}", design) for design, a, b in rows]
    of = list(dict(levels).values())
    # A design of so many arms knows one contrast less; consistent ones would be as many as treatments, less one.
    if len(of) < len(con.treatments):
        raise DataError(
            "No two designs (sets of treatments that a study compares) say anything of the same comparison, so nothing "
            "is known of inconsistency. Use model='network_consistency'."
        )
    same = np.array(of)[:, None] == np.array(of)[None, :]
    treatments = relative_effects(con, priors)
    return Gaussian(
        study=con.rows,
        y=con.yi,
        V=con.V,
        X=treatments.X,
        terms=treatments.terms,
        beta=treatments.beta,
        components=(
            Component("tau", priors["tau"].resolve(data.sei), relation=con.relation),
            Component(
                "omega",
                priors["omega"].resolve(data.sei),
                levels=tuple(level for level, _ in levels),
                relation=0.5 * same + 0.5 * np.eye(len(of)),
            ),
        ),
        predictions={},
        means=treatments.means,
    )
