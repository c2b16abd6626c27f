"""Each study's log likelihood at every draw, from the PyMC program, where no true effect is sampled.

A model that integrates nothing out and samples no true effects (a beta-binomial one) has a likelihood given
its parameters that is already marginal. One that samples the true effects has a conditional likelihood, on which
leave-one-out cross-validation fails, so nothing is returned for it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesmeta.model import Model
from bayesmeta.priors import Prior
from bayesmeta.values import Array

STUDY = "study"


def program_loglik(model: Model, data: Any, priors: Mapping[str, Prior], draws: Mapping[str, Array]) -> Array | None:
    """Return ``(chains, draws, k)`` log p(data_i | parameters); None where the program does not tell it by study."""
    import pymc as pm
    from pymc.model.transform.conditioning import remove_value_transforms

    built = model.build(data, priors)
    dims = built.named_vars_to_dims
    sampled = [variable.name for variable in built.free_RVs]
    if any(STUDY in (dims.get(name) or ()) for name in sampled) or any(name not in draws for name in sampled):
        return None
    if not built.observed_RVs or any(dims.get(v.name) != (STUDY,) for v in built.observed_RVs):
        return None
    if built.potentials:
        return None
    plain = remove_value_transforms(built)
    arms = plain.logp(vars=plain.observed_RVs, sum=False)
    total = arms[0]
    for arm in arms[1:]:
        total = total + arm
    inputs = [plain.rvs_to_values[plain[name]] for name in sampled]
    with plain:
        function = pm.compile(inputs, total)
    chains, n = draws[sampled[0]].shape[:2]
    columns = [draws[name].reshape(chains * n, *draws[name].shape[2:]) for name in sampled]
    found = np.stack([function(*point) for point in zip(*columns, strict=True)])
    return np.asarray(found.reshape(chains, n, -1))
