r"""One-stage dose-response model.

.. math::
    y_i &= X_i \beta_i + e_i, \qquad e_i \sim N(0, V_i) \\
    \beta_i &\sim N(\beta, T)

:math:`y_i` are the log relative risks of study :math:`i` at its doses against its reference dose, :math:`X_i` the doses
(less the reference), with their squares or the terms of a restricted cubic spline; :math:`V_i` is the covariance of
Greenland & Longnecker, because all are compared with one reference. With a linear trend the slope is ``mu`` and its
standard deviation between studies ``tau``; otherwise coefficients are ``beta[dose]``, ..., with ``tau[dose]``, ... and
their correlation ``rho``. ``theta`` are the studies' own slopes. Slopes are per ``unit`` of dose: choose it so that the
priors make sense. ``post.linear(data.design(dose)[0])`` is the log relative risk of a dose.

Use it when studies report relative risks at three doses or more, or two. Not for doses of different things, and not
where the highest category is open and its dose a guess that matters.

Source: Crippa et al. (2019), Stat. Methods Med. Res. 28:1579-1596; Greenland & Longnecker (1992), Am. J. Epidemiol.
135:1301-1309.
"""

from collections.abc import Mapping

import numpy as np

from bayesmeta.errors import DataError
from bayesmeta.model import Component, Correlation, Effect, Gaussian, priors_by_label
from bayesmeta.priors import HalfNormal, Normal, Prior, Uniform
from bayesmeta.studies import DoseResponse

DATA = DoseResponse
PRIORS: dict[str, Prior] = {"mu": Normal(0.0, 2.82), "tau": HalfNormal(0.5), "rho": Uniform(-1.0, 1.0)}


def gaussian(data: DoseResponse, priors: Mapping[str, Prior]) -> Gaussian:
    """Return the log relative risks, the doses, and a random slope for each column."""
    if data.k < 2:
        raise DataError("One study says nothing of how slopes differ: give two or more.")
    rows, terms = data.effects(), data.terms
    assert rows.X is not None
    p = len(terms)
    names = ("tau",) if p == 1 else tuple(f"tau[{term}]" for term in terms)
    tau = [priors["tau"]] if p == 1 else priors_by_label(priors, "tau", terms)
    levels = tuple(dict.fromkeys(rows.study))
    labels = {(s, j): s if p == 1 else f"{s}, {terms[j]}" for s in levels for j in range(p)}
    new = {
        "theta_new" if p == 1 else f"theta_new[{terms[j]}]": Effect(np.eye(p)[j], {names[j]: None}) for j in range(p)
    }
    return Gaussian(
        study=rows.rows,
        y=rows.yi,
        V=rows.vi if rows.V is None else rows.V,
        X=rows.X,
        terms=terms,
        beta=(priors["mu"],) * p if p == 1 else tuple(priors_by_label(priors, "mu", terms)),
        components=tuple(Component(name, tau[j], rows.study, rows.X[:, j]) for j, name in enumerate(names)),
        correlations=() if p == 1 else (Correlation("rho", priors["rho"], names),),
        effects={label: Effect(np.eye(p)[j], {names[j]: s}) for (s, j), label in labels.items()},
        predictions=new,
    )
