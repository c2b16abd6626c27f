"""Planning: what the next study would show, how large it has to be, and what it is worth."""

from bayesmeta.planning.next_study import AssuranceCurve as AssuranceCurve
from bayesmeta.planning.next_study import assurance_curve as assurance_curve
from bayesmeta.planning.next_study import next_study as next_study
from bayesmeta.planning.outlook import NextStudy as NextStudy
from bayesmeta.planning.outlook import Outlook as Outlook
