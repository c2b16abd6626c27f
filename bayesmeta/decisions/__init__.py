"""Decisions: how probable an effect is that matters, in how many per 1000, and what each new study changes."""

from bayesmeta.decisions.absolute import AbsoluteEffect as AbsoluteEffect
from bayesmeta.decisions.absolute import AbsoluteTable as AbsoluteTable
from bayesmeta.decisions.absolute import absolute_effect as absolute_effect
from bayesmeta.decisions.absolute import absolute_table as absolute_table
from bayesmeta.decisions.absolute import nnt as nnt
from bayesmeta.decisions.baseline import Baseline as Baseline
from bayesmeta.decisions.baseline import baseline_risk as baseline_risk
from bayesmeta.decisions.baseline import pooled_baseline as pooled_baseline
from bayesmeta.decisions.decide import Decision as Decision
from bayesmeta.decisions.decide import decide as decide
from bayesmeta.decisions.event_table import EventTable as EventTable
from bayesmeta.decisions.number_needed import NumberNeeded as NumberNeeded
from bayesmeta.decisions.number_needed import number_needed as number_needed
from bayesmeta.decisions.thresholds import ranges as ranges
from bayesmeta.decisions.thresholds import rope as rope
from bayesmeta.decisions.thresholds import three_way as three_way
from bayesmeta.decisions.thresholds import threshold_table as threshold_table
from bayesmeta.decisions.updating import Sequential as Sequential
from bayesmeta.decisions.updating import sequential as sequential
from bayesmeta.decisions.updating import update as update
