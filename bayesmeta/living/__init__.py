"""Living evidence: a history of an analysis that is repeated as studies come in, and what changed each time."""

from bayesmeta.living.history import Entry as Entry
from bayesmeta.living.history import append_entry as append_entry
from bayesmeta.living.history import changes as changes
from bayesmeta.living.history import read_history as read_history
