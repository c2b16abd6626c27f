r"""Network meta-analysis: consistent relative effects of several treatments.

.. math::
    y_{i,ab} &= d_a - d_b + u_{i,ab} + e_{i,ab}, \qquad e_i \sim N(0, V_i) \\
    u_{i,ab} &\sim N(0, \tau^2), \qquad \mathrm{cor}(u_{i,ab}, u_{i,ac}) = 1/2

Each study :math:`i` compares two treatments or more; the effect of a against b is :math:`d_a - d_b` whatever other
treatments were compared with (consistency), and varies between studies with one standard deviation :math:`\tau` for
all comparisons. Only differences of the :math:`d` mean something. ``mu[b]`` is treatment b against the reference, the
first treatment in alphabetical order; ``relative(b, a)`` is any pair.

The prior ``mu`` is that of every relative effect, whichever treatment is the reference: with ``normal(0, s)`` each
:math:`d` is normal with standard deviation :math:`s / \sqrt 2`, so that all :math:`d_a - d_b` have standard deviation s
and renaming treatments changes nothing.

A moderator (``contrasts.with_moderator``) has the coefficient ``beta``: by how much the effect of every treatment
against the reference changes for each unit; relative effects are then those where the moderator is 0.

Use it for contrasts with known standard errors (`bm.contrasts`). Not where cells of counts are below 5, where the
normal approximation can be half a standard deviation off, and not before looking at whether
direct and indirect evidence agree (`bm.network.node_split`).

Source: Lu & Ades (2004), Statistics in Medicine 23:3105-3124; Higgins & Whitehead (1996), Statistics in Medicine
15:2733-2749.
"""

from collections.abc import Mapping

from bayesmeta.model import Component, Gaussian, relative_effects
from bayesmeta.priors import HalfNormal, Normal, Prior
from bayesmeta.studies import Contrasts

DATA = Contrasts
PRIORS: dict[str, Prior] = {"mu": Normal(0.0, 2.82), "beta": Normal(0.0, 2.82), "tau": HalfNormal(0.5)}


def gaussian(data: Contrasts, priors: Mapping[str, Prior]) -> Gaussian:
    """Return the contrasts, a column for each treatment, and random effects with correlation one half in a study."""
    treatments = relative_effects(data, priors)
    return Gaussian(
        study=data.rows,
        y=data.yi,
        V=data.V,
        X=treatments.X,
        terms=treatments.terms,
        beta=treatments.beta,
        components=(Component("tau", priors["tau"].resolve(data.sei), relation=data.relation),),
        predictions={},
        means=treatments.means,
    )
