"""Prior distributions as frozen values whose repr is their text form; ``PRIORS`` finds the families by name.

A new family is picked up by being in a file of this folder.
"""

import importlib
import pkgutil
from typing import Any

from bayesmeta.priors.base import PRIORS, Base, Prior, fixed_value, register
from bayesmeta.priors.combine import OnTau2, Truncated, on_tau2, truncated
from bayesmeta.priors.correlations import LKJ, FisherZ
from bayesmeta.priors.defaults import default_prior, default_priors, fill_defaults, log_or_to_smd, smd_to_log_or
from bayesmeta.priors.empirical import (
    PublishedPrior,
    bartos2021,
    bartos2023,
    published,
    rhodes2015,
    turner2012,
    turner2015,
    weakly_informative,
)
from bayesmeta.priors.ess import ESS_METHODS, ess, uisd
from bayesmeta.priors.foreign import from_scipy
from bayesmeta.priors.half import Exponential, HalfCauchy, HalfLogistic, HalfNormal, HalfStudentT, Lomax
from bayesmeta.priors.historical import MapPrior, map_prior
from bayesmeta.priors.implied import ImpliedHeterogeneity, implied
from bayesmeta.priors.interval import Beta, Flat, Point, Uniform
from bayesmeta.priors.line import Cauchy, Logistic, Normal, StudentT
from bayesmeta.priors.mirrored import Mirrored, mirrored
from bayesmeta.priors.mixtures import Mixture, mixture, robust
from bayesmeta.priors.positive import (
    Gamma,
    InverseChi,
    InverseGamma,
    LogNormal,
    LogStudentT,
    Rayleigh,
)
from bayesmeta.priors.scaled import DuMouchel, Shrinkage, UniformI2
from bayesmeta.priors.step_weights import StepWeights, step_weights
from bayesmeta.priors.text import parse_prior
from bayesmeta.priors.uninformative import (
    BergerDeely,
    Conventional,
    Jeffreys,
    OverallJeffreys,
    Sqrt,
    min_studies,
)

__all__ = [
    "ESS_METHODS",
    "LKJ",
    "PRIORS",
    "Base",
    "BergerDeely",
    "Beta",
    "Cauchy",
    "Conventional",
    "DuMouchel",
    "Exponential",
    "FisherZ",
    "Flat",
    "Gamma",
    "HalfCauchy",
    "HalfLogistic",
    "HalfNormal",
    "HalfStudentT",
    "ImpliedHeterogeneity",
    "InverseChi",
    "InverseGamma",
    "Jeffreys",
    "LogNormal",
    "LogStudentT",
    "Logistic",
    "Lomax",
    "MapPrior",
    "Mirrored",
    "Mixture",
    "Normal",
    "OnTau2",
    "OverallJeffreys",
    "Point",
    "Prior",
    "PublishedPrior",
    "Rayleigh",
    "Shrinkage",
    "Sqrt",
    "StepWeights",
    "StudentT",
    "Truncated",
    "Uniform",
    "UniformI2",
    "bartos2021",
    "bartos2023",
    "default_prior",
    "default_priors",
    "ess",
    "fill_defaults",
    "fixed_value",
    "from_scipy",
    "implied",
    "log_or_to_smd",
    "map_prior",
    "min_studies",
    "mirrored",
    "mixture",
    "on_tau2",
    "parse_prior",
    "published",
    "register",
    "rhodes2015",
    "robust",
    "smd_to_log_or",
    "step_weights",
    "truncated",
    "turner2012",
    "turner2015",
    "uisd",
    "weakly_informative",
]

for _found in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_found.name}")


def __getattr__(name: str) -> Any:
    if name not in PRIORS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return PRIORS[name]
