r"""Random-effects model of several outcomes.

.. math::
    y_{ij} &= \mu_j + u_{ij} + e_{ij}, \qquad e_i \sim N(0, V_i) \\
    (u_{i1}, \dots, u_{im}) &\sim N(0, T), \qquad T_{jj} = \tau_j^2, \quad T_{jl} = \rho\, \tau_j \tau_l

Studies :math:`i` report some or all of the outcomes :math:`j`, each with a mean effect ``mu[outcome]`` and a
heterogeneity ``tau[outcome]`` of its own; :math:`\rho` is one correlation between the true effects of a study. With two
outcomes this is the unstructured model; with more the correlation is common to all pairs. A study without an outcome
still says something about it, through those that it has. :math:`V_i` is the sampling covariance of its estimates
(``V=`` or ``sampling_correlation=``): without it they are taken for independent given the true effects.

Priors may be given for all outcomes (``mu``, ``tau``) or for one (``mu[PD]``, ``tau[PD]``). ``theta_new[outcome]`` are
the true effects of a new study.

Use it for two or three outcomes, or several time points, of the same studies. Not for several rows of one outcome in
a study (``multilevel``), and not for four outcomes and more by quadrature: NUTS takes any number. A common tau for all
outcomes (compound symmetry with a correlation that is not negative) is ``multilevel`` with the outcomes as moderators.

Source: Riley (2009), J. R. Stat. Soc. A 172:789-811; Jackson, Riley & White (2011), Statistics in Medicine
30:2481-2498.
"""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from bayesmeta.errors import DataError
from bayesmeta.model import Component, Correlation, Effect, Gaussian, priors_by_label
from bayesmeta.priors import HalfNormal, Normal, Prior, Uniform, truncated
from bayesmeta.studies import EffectSizes

DATA = EffectSizes
PRIORS: dict[str, Prior] = {"mu": Normal(0.0, 2.82), "tau": HalfNormal(0.5), "rho": Uniform(-1.0, 1.0)}


def gaussian(data: EffectSizes, priors: Mapping[str, Prior]) -> Gaussian:
    """Return the rows, one column and one component for each outcome, and their correlation."""
    outcomes = _outcomes(data)
    m, names = len(outcomes), tuple(f"tau[{outcome}]" for outcome in outcomes)
    Z = (np.array(data.outcome)[:, None] == np.array(outcomes)).astype(float)
    mu = priors_by_label(priors, "mu", outcomes)
    tau = [prior.resolve(data.sei) for prior in priors_by_label(priors, "tau", outcomes)]
    # Three outcomes and more cannot all be strongly negatively correlated.
    rho = priors["rho"] if m == 2 else truncated(priors["rho"], -1.0 / (m - 1), 1.0)
    parts = dict(zip(outcomes, names, strict=True))
    return Gaussian(
        study=data.rows,
        y=data.yi,
        V=data.vi if data.V is None else data.V,
        X=Z,
        terms=tuple(f"mu[{outcome}]" for outcome in outcomes),
        beta=tuple(mu),
        components=tuple(Component(name, tau[j], data.cluster, Z[:, j]) for j, name in enumerate(names)),
        correlations=(Correlation("rho", rho, names),),
        effects={
            label: Effect(z, {parts[outcome]: cluster})
            for label, z, outcome, cluster in zip(data.rows, Z, data.outcome or (), data.cluster, strict=True)
        },
        predictions={f"theta_new[{o}]": Effect(z, {parts[o]: None}) for o, z in zip(outcomes, np.eye(m), strict=True)},
    )


def _outcomes(data: EffectSizes) -> tuple[str, ...]:
    """Return the outcomes in order of appearance, once it is sure that the model can tell them apart."""
    if data.outcome is None:
        raise DataError("The rows have no outcome: give EffectSizes(outcome=[...]), a label for each row.")
    outcomes = tuple(dict.fromkeys(data.outcome))
    if len(outcomes) < 2:
        raise DataError(f"All rows are of the outcome {outcomes[0]!r}: use model='normal_normal' or 'multilevel'.")
    for (cluster, outcome), rows in Counter(zip(data.cluster, data.outcome, strict=True)).items():
        if rows > 1:
            raise DataError(
                f"Study {cluster!r} has {rows} rows of the outcome {outcome!r}, and this model takes one: combine "
                "them, or use model='multilevel'."
            )
    for outcome, studies in Counter(data.outcome).items():
        if studies < 2:
            raise DataError(f"Outcome {outcome!r} has one study, which says nothing of tau[{outcome}]: leave it out.")
    return outcomes
