"""A second pair of eyes on a study table: what was read, what looks wrong, and whether published results recur."""

from bayesmeta.audit.findings import Finding as Finding
from bayesmeta.audit.findings import audit as audit
from bayesmeta.audit.published_results import MH_MEASURES as MH_MEASURES
from bayesmeta.audit.published_results import agrees as agrees
from bayesmeta.audit.published_results import check_published as check_published
