"""The names columns have in the files people bring, and what bayesmeta calls them."""

import re
from collections.abc import Mapping
from types import MappingProxyType

# Header, normalised -> bayesmeta's name. Spellings of bayesmeta, metafor, R meta, RevMan 5 and RevMan Web, metapipe.
_SPELLINGS: dict[str, str] = {
    "study": "study studlab slab study_name study_label study_id author_year",
    "author": "author authors first_author",
    "year": "year study_year year_of_study publication_year pub_year",
    "outcome": "outcome outcome_name",
    "subgroup": "subgroup subgroup_name",
    "status": "status",
    "events_treatment": "events_treatment events_t event_t event_e events_e ai x1i tpos experimental_cases "
    "experimental_events events_1 events_experimental events_intervention treatment_events intervention_events",
    "n_treatment": "n_treatment n_t n_e n1i n1 experimental_n experimental_total total_1 total_t total_e "
    "n_experimental n_intervention treatment_n intervention_n total_treatment",
    "events_control": "events_control events_c event_c x2i cpos control_cases control_events events_2",
    "n_control": "n_control n_c n2i n2 control_n control_total total_2 total_c total_control",
    "nonevents_treatment": "nonevents_treatment bi tneg",
    "nonevents_control": "nonevents_control di cneg",
    "mean_treatment": "mean_treatment mean_t mean_e m1i mean_1 experimental_mean mean_experimental mean_intervention",
    "sd_treatment": "sd_treatment sd_t sd_e sd1i sd_1 experimental_sd sd_experimental sd_intervention",
    "mean_control": "mean_control mean_c m2i mean_2 control_mean",
    "sd_control": "sd_control sd_c sd2i sd_2 control_sd",
    "time_treatment": "time_treatment time_t time_e t1i person_time_treatment",
    "time_control": "time_control time_c t2i person_time_control",
    "yi": "yi te giv_mean effect effect_size log_or logor ln_or lnor log_odds_ratio log_rr logrr ln_rr lnrr "
    "log_risk_ratio log_hr loghr ln_hr lnhr log_hazard_ratio md smd mean_difference hedges_g "
    "standardized_mean_difference",
    "sei": "sei sete giv_se standard_error std_error se_te se_yi se_log_or selogor se_logor se_ln_or se_lnor se_log_rr "
    "selogrr se_logrr se_ln_rr se_lnrr se_log_hr seloghr se_loghr se_ln_hr se_lnhr se_md se_smd",
    "vi": "vi variance sampling_variance var_yi",
    "estimate": "estimate or odds_ratio rr risk_ratio relative_risk hr hazard_ratio irr rate_ratio effect_estimate",
    "ci_low": "ci_low ci_lower lower lower_ci ci_lb or_lower rr_lower hr_lower ci_start lower_limit lcl ll",
    "ci_high": "ci_high ci_upper upper upper_ci ci_ub or_upper rr_upper hr_upper ci_end upper_limit ucl ul",
    "o_e": "o_e",
    "v_o_e": "v_o_e",
    "treatment": "treatment arm",
    "events": "events xi",
    "n": "n ni",
    "mean": "mean mi",
    "sd": "sd sdi",
    "time": "time ti",
    "ri": "ri r correlation",
}

# Headers that people use for two different things: never guessed.
AMBIGUOUS: Mapping[str, tuple[tuple[str, str], ...]] = MappingProxyType(
    {
        "v": (("vi", "the sampling variance"), ("sei", "the standard error")),
        "var": (
            ("vi", "the sampling variance of the effect"),
            ("sd_treatment", "a variance of the outcome in one arm"),
        ),
        "se": (("sei", "the standard error of the effect"), ("sd_treatment", "a standard error or SD of one arm")),
        "s": (("sei", "the standard error"), ("sd_treatment", "a standard deviation")),
        "ci": (("events_control", "events in the control arm (metafor's ci)"), ("ci_low", "a confidence limit")),
        "e": (("events_treatment", "events in the treated arm"), ("yi", "the effect")),
        "d": (("yi", "a standardized mean difference"), ("nonevents_control", "patients without the event")),
    }
)

TEXT = frozenset({"study", "author", "outcome", "subgroup", "status", "treatment"})

# What a row needs so that an effect can be computed from it, the most informative first.
FAMILIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "2x2 counts": ("events_treatment", "n_treatment", "events_control", "n_control"),
        "means": ("mean_treatment", "sd_treatment", "n_treatment", "mean_control", "sd_control", "n_control"),
        "person-time": ("events_treatment", "time_treatment", "events_control", "time_control"),
        "effect and standard error": ("yi", "sei"),
        "effect and confidence limits": ("yi", "ci_low", "ci_high"),
        "estimate and confidence limits": ("estimate", "ci_low", "ci_high"),
        "O-E and its variance": ("o_e", "v_o_e"),
        "one-arm counts": ("events", "n"),
        "one-arm rates": ("events", "time"),
        "one-arm means": ("mean", "sd", "n"),
        "correlation": ("ri", "n"),
        "paired means": ("mean_treatment", "sd_treatment", "mean_control", "sd_control", "ri", "n"),
    }
)

# Label columns that serve when there is no study column, weakest last.
FALLBACK_LABELS = ("trial", "name", "id")

# Names of one-arm data that are everyday words too ("time" is often a moderator): they are read as data only
# where the table has no comparison of two arms and no ready effects.
ONE_ARM = frozenset({"events", "time", "mean", "sd", "ri"})

CANONICAL: tuple[str, ...] = tuple(_SPELLINGS)


def normalise(header: str) -> str:
    """Return a header in lower case with single underscores for everything that is not a letter or digit.

    Examples
    --------
    >>> normalise(" Experimental cases "), normalise("event.e"), normalise("O-E")
    ('experimental_cases', 'event_e', 'o_e')
    """
    return re.sub(r"[^a-z0-9]+", "_", header.strip().lower()).strip("_")


ALIASES: Mapping[str, str] = MappingProxyType(
    {spelling: name for name, spellings in _SPELLINGS.items() for spelling in spellings.split()}
)
