"""Posterior marginals of one quantity, exact given their nodes, in scipy.stats words.

`NormalMixture` is a quantity that is normal given each node of a quadrature rule; `Density` one whose
density is known and was integrated on panels, `LineDensity` one of either sign; `Transformed` a monotone function of
such a quantity; `Known` one that has a single value.
"""

from bayesmeta.marginals.density import Density as Density
from bayesmeta.marginals.density import Transformed as Transformed
from bayesmeta.marginals.difference import difference as difference
from bayesmeta.marginals.draws import DrawsMarginal as DrawsMarginal
from bayesmeta.marginals.known import Known as Known
from bayesmeta.marginals.known import known as known
from bayesmeta.marginals.line import LineDensity as LineDensity
from bayesmeta.marginals.mixture import NormalMixture as NormalMixture
from bayesmeta.marginals.probability import Probability as Probability
from bayesmeta.marginals.sinc import SincDensity as SincDensity
