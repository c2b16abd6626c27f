"""The PyMC program of any normal hierarchical model, written from its one statement.

Random effects are sampled as standard normal variables times their scales (non-centred), sampling errors are what is
left. True effects are not part of the program: given coefficients and scales they have a normal distribution, from
which they are drawn afterwards.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmeta.gaussian.covariance import Covariance
from bayesmeta.gaussian.statement import Gaussian

if TYPE_CHECKING:
    import pymc as pm


def build(given: Gaussian) -> "pm.Model":
    """Return the PyMC program of a normal hierarchical model.

    Variables: coefficients under the names that the posterior gives them (``mu``, ``beta[term]``), all together as
    ``coefficients``; variance parameters under their own names; ``eta_...`` the standardised random effects.
    """
    import pymc as pm
    import pytensor.tensor as pt

    coords: dict[str, Any] = {"row": list(given.study), "term": list(given.terms)}
    coords |= {f"level_{c.name}": list(c.level_names(given.n)) for c in given.components}
    with pm.Model(coords=coords) as model:
        X = pm.Data("X", given.X, dims=("row", "term"))
        y = pm.Data("y_observed", given.y, dims="row")
        beta = [prior.rv(given.name_of(term)) for term, prior in zip(given.terms, given.beta, strict=True)]
        together = pt.stack(beta)
        if not given.one_mean:
            pm.Deterministic("coefficients", together, dims="term")
        psi = {name: prior.rv(name) for name, prior in given.parameters.items()}
        mean = X @ together + _random_effects(given, psi)
        if given.V.ndim == 1:
            pm.Normal("y", mean, np.sqrt(given.V), observed=y, dims="row")
        else:
            pm.MvNormal("y", mean, chol=np.linalg.cholesky(given.V), observed=y, dims="row")
    return model


def _random_effects(given: Gaussian, psi: dict[str, Any]) -> Any:
    """Return what the random effects add to the rows."""
    import pymc as pm
    import pytensor.tensor as pt

    loadings = Covariance(given).loadings
    eta = {c.name: pm.Normal(f"eta_{c.name}", 0.0, 1.0, dims=f"level_{c.name}") for c in given.components}
    for component, loading in zip(given.components, loadings, strict=True):
        if loading.relation is not None:
            eta[component.name] = pt.dot(np.linalg.cholesky(loading.relation), eta[component.name])
    for correlation in given.correlations:
        m = len(correlation.components)
        rho = psi[correlation.name]
        mixed = pt.linalg.cholesky((1.0 - rho) * np.eye(m) + rho * np.ones((m, m)))
        mixed = mixed @ pt.stack([eta[name] for name in correlation.components])
        eta |= {name: mixed[j] for j, name in enumerate(correlation.components)}
    total: Any = 0.0
    for component, loading in zip(given.components, loadings, strict=True):
        total = total + loading.z * psi[component.name] * eta[component.name][loading.level]
    return total
