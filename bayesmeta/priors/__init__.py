"""Prior distributions as frozen values whose repr is their text form; ``PRIORS`` finds the families by name."""

from bayesmeta.priors.base import PRIORS, Base, Prior, register
from bayesmeta.priors.half import Exponential, HalfCauchy, HalfLogistic, HalfNormal, HalfStudentT, Lomax
from bayesmeta.priors.line import Beta, Cauchy, Flat, Logistic, Normal, Point, StudentT
from bayesmeta.priors.positive import (
    Gamma,
    InverseChi,
    InverseGamma,
    LogNormal,
    LogStudentT,
    Rayleigh,
    Uniform,
)
from bayesmeta.priors.text import parse_prior

__all__ = [
    "PRIORS",
    "Base",
    "Beta",
    "Cauchy",
    "Exponential",
    "Flat",
    "Gamma",
    "HalfCauchy",
    "HalfLogistic",
    "HalfNormal",
    "HalfStudentT",
    "InverseChi",
    "InverseGamma",
    "LogNormal",
    "LogStudentT",
    "Logistic",
    "Lomax",
    "Normal",
    "Point",
    "Prior",
    "Rayleigh",
    "StudentT",
    "Uniform",
    "parse_prior",
    "register",
]
