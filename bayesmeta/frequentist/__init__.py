"""The classical analysis: pooling, two-by-two methods, small-study effects, influence.

Names load on first use, so that ``pool`` costs no import of what it does not need.
"""

from typing import TYPE_CHECKING

from bayesmeta.public_names import make_lazy

if TYPE_CHECKING:
    from bayesmeta.frequentist.asymmetry import egger as egger
    from bayesmeta.frequentist.asymmetry_counts import deeks as deeks
    from bayesmeta.frequentist.asymmetry_counts import harbord as harbord
    from bayesmeta.frequentist.asymmetry_counts import peters as peters
    from bayesmeta.frequentist.batch import pool_many as pool_many
    from bayesmeta.frequentist.components import ComponentsFit as ComponentsFit
    from bayesmeta.frequentist.components import components as components
    from bayesmeta.frequentist.components import diagnostic as diagnostic
    from bayesmeta.frequentist.copas import Copas as Copas
    from bayesmeta.frequentist.copas import CopasEstimate as CopasEstimate
    from bayesmeta.frequentist.copas import copas as copas
    from bayesmeta.frequentist.counts_fit import TwoByTwoFit as TwoByTwoFit
    from bayesmeta.frequentist.diagnostics import baujat as baujat
    from bayesmeta.frequentist.diagnostics import influence as influence
    from bayesmeta.frequentist.excess import excess_significance as excess_significance
    from bayesmeta.frequentist.fail_safe import fail_safe_n as fail_safe_n
    from bayesmeta.frequentist.formula import design_matrix as design_matrix
    from bayesmeta.frequentist.funnel_data import funnel as funnel
    from bayesmeta.frequentist.heterogeneity import Heterogeneity as Heterogeneity
    from bayesmeta.frequentist.heterogeneity import heterogeneity_intervals as heterogeneity_intervals
    from bayesmeta.frequentist.heterogeneity import tau2_interval as tau2_interval
    from bayesmeta.frequentist.information_size import InformationSize as InformationSize
    from bayesmeta.frequentist.information_size import information_size as information_size
    from bayesmeta.frequentist.leave_one_out import cumulative as cumulative
    from bayesmeta.frequentist.leave_one_out import leave_one_out as leave_one_out
    from bayesmeta.frequentist.limit_meta import LimitMeta as LimitMeta
    from bayesmeta.frequentist.limit_meta import limit_meta as limit_meta
    from bayesmeta.frequentist.mixed_models.mixed_model import MixedFit as MixedFit
    from bayesmeta.frequentist.mixed_models.mixed_model import glmm as glmm
    from bayesmeta.frequentist.networks.network_fit import NetworkFit as NetworkFit
    from bayesmeta.frequentist.networks.network_fit import network as network
    from bayesmeta.frequentist.permutation import PermutationTest as PermutationTest
    from bayesmeta.frequentist.permutation import permutation_test as permutation_test
    from bayesmeta.frequentist.pet_peese import pet_peese as pet_peese
    from bayesmeta.frequentist.peto import peto as peto
    from bayesmeta.frequentist.pool import CI_RULES as CI_RULES
    from bayesmeta.frequentist.pool import pool as pool
    from bayesmeta.frequentist.prediction import prediction_interval as prediction_interval
    from bayesmeta.frequentist.publication_ratio import PublicationRatio as PublicationRatio
    from bayesmeta.frequentist.publication_ratio import publication_ratio as publication_ratio
    from bayesmeta.frequentist.rank_test import begg as begg
    from bayesmeta.frequentist.regression import regress as regress
    from bayesmeta.frequentist.result import PooledFit as PooledFit
    from bayesmeta.frequentist.selection_models.p_uniform_star import PUniformStar as PUniformStar
    from bayesmeta.frequentist.selection_models.p_uniform_star import p_uniform_star as p_uniform_star
    from bayesmeta.frequentist.selection_models.selection_fit import SelectionFit as SelectionFit
    from bayesmeta.frequentist.selection_models.selection_fit import selection as selection
    from bayesmeta.frequentist.significance import Test as Test
    from bayesmeta.frequentist.tau2 import TAU2_ESTIMATORS as TAU2_ESTIMATORS
    from bayesmeta.frequentist.trim_fill import trim_and_fill as trim_and_fill
    from bayesmeta.frequentist.two_by_two import mantel_haenszel as mantel_haenszel

# Public name -> module of this package that defines it.
_PUBLIC: dict[str, str] = {
    "CI_RULES": "pool",
    "ComponentsFit": "components",
    "Copas": "copas",
    "CopasEstimate": "copas",
    "Heterogeneity": "heterogeneity",
    "LimitMeta": "limit_meta",
    "MixedFit": "mixed_models.mixed_model",
    "NetworkFit": "networks.network_fit",
    "PUniformStar": "selection_models.p_uniform_star",
    "PermutationTest": "permutation",
    "PooledFit": "result",
    "PublicationRatio": "publication_ratio",
    "SelectionFit": "selection_models.selection_fit",
    "TAU2_ESTIMATORS": "tau2",
    "Test": "significance",
    "TwoByTwoFit": "counts_fit",
    "baujat": "diagnostics",
    "begg": "rank_test",
    "components": "components",
    "copas": "copas",
    "cumulative": "leave_one_out",
    "deeks": "asymmetry_counts",
    "diagnostic": "components",
    "design_matrix": "formula",
    "egger": "asymmetry",
    "excess_significance": "excess",
    "fail_safe_n": "fail_safe",
    "funnel": "funnel_data",
    "glmm": "mixed_models.mixed_model",
    "harbord": "asymmetry_counts",
    "heterogeneity_intervals": "heterogeneity",
    "influence": "diagnostics",
    "InformationSize": "information_size",
    "information_size": "information_size",
    "leave_one_out": "leave_one_out",
    "limit_meta": "limit_meta",
    "mantel_haenszel": "two_by_two",
    "permutation_test": "permutation",
    "pet_peese": "pet_peese",
    "network": "networks.network_fit",
    "p_uniform_star": "selection_models.p_uniform_star",
    "peters": "asymmetry_counts",
    "peto": "peto",
    "pool": "pool",
    "pool_many": "batch",
    "prediction_interval": "prediction",
    "publication_ratio": "publication_ratio",
    "regress": "regression",
    "selection": "selection_models.selection_fit",
    "tau2_interval": "heterogeneity",
    "trim_and_fill": "trim_fill",
}

__all__ = sorted(_PUBLIC)  # noqa: PLE0605  (names are strings, built from the table above)

make_lazy(__name__, _PUBLIC)
