"""What can be asked of a model, each question by its own name."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Abilities:
    """What can be asked of a model.

    Parameters
    ----------
    closed_form
        Whether everything but variance parameters (and a Student-t mixture's weights) integrates out analytically.
    study_likelihoods
        Whether each study's likelihood of its true effect is stated.
    reporting
        Whether it says how results came to be reported.
    random_effects
        Whether the file says that true effects are normal where it states neither of these.
    replicates
        Whether it simulates data.
    scales
        Names of the parameters that are no coefficients.
    """

    closed_form: bool
    study_likelihoods: bool
    reporting: bool
    random_effects: bool
    replicates: bool
    scales: tuple[str, ...]

    @property
    def deterministic(self) -> bool:
        """Whether quadrature can answer, without sampling."""
        return self.closed_form or self.study_likelihoods or self.reporting

    @property
    def batched(self) -> bool:
        """Whether many analyses can be computed in one call: a closed form with tau at most to integrate over."""
        return self.closed_form and set(self.scales) <= {"tau"}

    @property
    def new_study(self) -> bool:
        """Whether the true effect of a new study can be predicted."""
        return self.closed_form or self.study_likelihoods or self.reporting or self.random_effects
