"""bayesmeta: Bayesian hierarchical meta-analysis side by side with the classical one.

The public names are below; everything else is private. Names load on first use, so that
``import bayesmeta`` stays light: no pymc, pytensor, arviz, matplotlib or pandas.
"""

from typing import TYPE_CHECKING

from bayesmeta.public_names import make_lazy
from bayesmeta.version import __version__ as __version__

if TYPE_CHECKING:
    from bayesmeta import effects as effects
    from bayesmeta import frequentist as frequentist
    from bayesmeta import plots as plots
    from bayesmeta import priors as priors
    from bayesmeta.bias import bias_average as bias_average
    from bayesmeta.bias import reporting_bias as reporting_bias
    from bayesmeta.compare import compare as compare
    from bayesmeta.compare import kinds_of_evidence as kinds_of_evidence
    from bayesmeta.compare import single_studies as single_studies
    from bayesmeta.compare import subgroups as subgroups
    from bayesmeta.compare.network_comparison import compare_network as compare_network
    from bayesmeta.corpus import run_many as run_many
    from bayesmeta.datasets import list_datasets as list_datasets
    from bayesmeta.datasets import load_dataset as load_dataset
    from bayesmeta.decisions import absolute_effect as absolute_effect
    from bayesmeta.decisions import absolute_table as absolute_table
    from bayesmeta.decisions import baseline_risk as baseline_risk
    from bayesmeta.decisions import decide as decide
    from bayesmeta.decisions import nnt as nnt
    from bayesmeta.decisions import number_needed as number_needed
    from bayesmeta.decisions import pooled_baseline as pooled_baseline
    from bayesmeta.decisions import ranges as ranges
    from bayesmeta.decisions import rope as rope
    from bayesmeta.decisions import sequential as sequential
    from bayesmeta.decisions import three_way as three_way
    from bayesmeta.decisions import threshold_table as threshold_table
    from bayesmeta.decisions import update as update
    from bayesmeta.effects import allow_for_bias as allow_for_bias
    from bayesmeta.effects import contrasts as contrasts
    from bayesmeta.effects import conversions as conversions
    from bayesmeta.effects import discount as discount
    from bayesmeta.effects import effect_sizes as effect_sizes
    from bayesmeta.events import probability as probability
    from bayesmeta.evidence.averaging import model_average as model_average
    from bayesmeta.evidence.bayes_factors import bayes_factor as bayes_factor
    from bayesmeta.evidence.divergence import kl_divergence as kl_divergence
    from bayesmeta.evidence.point_null import bayes_factor_null as bayes_factor_null
    from bayesmeta.evidence.predictive_p import predictive_p as predictive_p
    from bayesmeta.fit import fit as fit
    from bayesmeta.fit import fit_many as fit_many
    from bayesmeta.planning import next_study as next_study
    from bayesmeta.reading import read_network as read_network
    from bayesmeta.reading import read_studies as read_studies
    from bayesmeta.report import report as report
    from bayesmeta.sensitivity import multiverse as multiverse
    from bayesmeta.sensitivity import sensitivity as sensitivity
    from bayesmeta.sensitivity import tipping_point as tipping_point
    from bayesmeta.studies import Contrasts as Contrasts
    from bayesmeta.studies import DiagnosticTable as DiagnosticTable
    from bayesmeta.studies import DoseResponse as DoseResponse
    from bayesmeta.studies import EffectSizes as EffectSizes
    from bayesmeta.studies import NetworkTable as NetworkTable
    from bayesmeta.studies import PersonTime as PersonTime
    from bayesmeta.studies import StudyTable as StudyTable
    from bayesmeta.studies import TwoByTwo as TwoByTwo

# Public name -> module that defines it; a leading dot: the name is that module.
_PUBLIC: dict[str, str] = {
    "BayesMetaError": "errors",
    "kl_divergence": "evidence.divergence",
    "predictive_p": "evidence.predictive_p",
    "model_average": "evidence.averaging",
    "bayes_factor_null": "evidence.point_null",
    "bayes_factor": "evidence.bayes_factors",
    "ConvergenceError": "errors",
    "DataError": "errors",
    "DataWarning": "errors",
    "ModelError": "errors",
    "Contrasts": "studies",
    "DiagnosticTable": "studies",
    "DoseResponse": "studies",
    "EffectSizes": "studies",
    "NetworkTable": "studies",
    "PersonTime": "studies",
    "StudyTable": "studies",
    "TwoByTwo": "studies",
    "allow_for_bias": "effects",
    "discount": "effects",
    "kinds_of_evidence": "compare",
    "bias_average": "bias",
    "reporting_bias": "bias",
    "compare": "compare",
    "compare_network": "compare.network_comparison",
    "single_studies": "compare",
    "subgroups": "compare",
    "contrasts": "effects",
    "run_many": "corpus",
    "conversions": ".effects.conversions",
    "absolute_effect": "decisions",
    "absolute_table": "decisions",
    "baseline_risk": "decisions",
    "decide": "decisions",
    "nnt": "decisions",
    "number_needed": "decisions",
    "pooled_baseline": "decisions",
    "ranges": "decisions",
    "rope": "decisions",
    "sequential": "decisions",
    "three_way": "decisions",
    "threshold_table": "decisions",
    "update": "decisions",
    "effect_sizes": "effects",
    "effects": ".effects",
    "fit": "fit",
    "fit_many": "fit",
    "frequentist": ".frequentist",
    "list_datasets": "datasets",
    "load_dataset": "datasets",
    "network": ".network",
    "next_study": "planning",
    "plots": ".plots",
    "priors": ".priors",
    "probability": "events",
    "read_network": "reading",
    "read_studies": "reading",
    "report": "report",
    "multiverse": "sensitivity",
    "sensitivity": "sensitivity",
    "tipping_point": "sensitivity",
}

__all__ = ["__version__", *sorted(_PUBLIC)]  # noqa: PLE0604  (names are strings, built from the table above)

make_lazy(__name__, _PUBLIC)
