"""The study data as frozen values: what was read, counts, and effect sizes."""

from bayesmeta.studies.contrasts import Contrasts as Contrasts
from bayesmeta.studies.counts import PersonTime as PersonTime
from bayesmeta.studies.counts import TwoByTwo as TwoByTwo
from bayesmeta.studies.diagnostic import DiagnosticTable as DiagnosticTable
from bayesmeta.studies.dose_response import DoseResponse as DoseResponse
from bayesmeta.studies.effect_sizes import EffectSizes as EffectSizes
from bayesmeta.studies.exact_models import exact_model as exact_model
from bayesmeta.studies.exact_models import fit_the_counts as fit_the_counts
from bayesmeta.studies.networks import NetworkTable as NetworkTable
from bayesmeta.studies.records import Adjustment as Adjustment
from bayesmeta.studies.records import Exclusion as Exclusion
from bayesmeta.studies.records import PublishedResult as PublishedResult
from bayesmeta.studies.table import StudyTable as StudyTable
