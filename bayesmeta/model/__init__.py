"""A model is one readable file: what it says (`contract`), what can be asked of it (`abilities`), how it is read."""

from bayesmeta.gaussian.statement import Component as Component
from bayesmeta.gaussian.statement import Correlation as Correlation
from bayesmeta.gaussian.statement import Effect as Effect
from bayesmeta.gaussian.statement import Gaussian as Gaussian
from bayesmeta.gaussian.statement import independent_studies as independent_studies
from bayesmeta.model.abilities import Abilities as Abilities
from bayesmeta.model.contract import DEFAULT_VARIANT as DEFAULT_VARIANT
from bayesmeta.model.contract import Model as Model
from bayesmeta.model.contract import StudyLikelihoods as StudyLikelihoods
from bayesmeta.model.contract import data_slots as data_slots
from bayesmeta.model.contract import priors_by_label as priors_by_label
from bayesmeta.model.contract import resolved as resolved
from bayesmeta.model.loader import list_models as list_models
from bayesmeta.model.loader import load_model as load_model
from bayesmeta.model.relative_effects import relative_effects as relative_effects
from bayesmeta.model.reporting import Reporting as Reporting
from bayesmeta.model.reporting import Selection as Selection
from bayesmeta.model.reporting import SmallStudy as SmallStudy
from bayesmeta.model.reporting import step_prior as step_prior

# Its name while a statement could hold one scale only; model files written then say it.
GaussianMarginal = independent_studies
