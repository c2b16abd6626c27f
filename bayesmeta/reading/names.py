"""The names columns have in the files people bring, and what bayesmeta calls them."""

import re
from collections.abc import Mapping
from types import MappingProxyType

# Header, normalised -> bayesmeta's name. Spellings of bayesmeta, metafor, R meta, RevMan 5 and RevMan Web, metapipe.
_SPELLINGS: dict[str, str] = {
    "study": "study studies studlab slab study_name studyname study_label study_id studyid study_no study_reference "
    "author_year "
    "authors_year author_and_year first_author_year",
    "author": "author authors authorname author_name first_author lead_author",
    "year": "year yr study_year year_of_study publication_year pub_year",
    "outcome": "outcome outcome_name",
    "cluster": "cluster",
    "subgroup": "subgroup subgroup_name sub_group",
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
    **{
        f"{part}_{arm}": f"{part}_{arm}"
        for part in ("median", "q1", "q3", "min", "max")
        for arm in ("treatment", "control")
    },
    "yi": "yi te giv_mean effect g hedges_g effect_size log_or logor ln_or lnor log_odds_ratio log_rr logrr ln_rr lnrr "
    "log_risk_ratio log_hr loghr ln_hr lnhr log_hazard_ratio md smd mean_difference hedges_g "
    "standardized_mean_difference",
    "sei": "sei sesmd sete g_se se_g giv_se standard_error std_error se_te se_yi se_log_or selogor se_logor "
    "se_ln_or  se_lnor selnor selnrr selnhr sdlogor se_log_rr selogrr se_logrr se_ln_rr se_lnrr se_log_hr "
    "seloghr se_loghr se_ln_hr se_lnhr se_md se_smd",
    "vi": "vi variance sampling_variance var_yi varsmd varlogor var_log_or varlogrr var_log_rr varloghr var_log_hr "
    "varlnor varlnrr",
    "estimate": "estimate or odds_ratio rr risk_ratio relative_risk hr hazard_ratio irr rate_ratio effect_estimate",
    "ci_low": "ci_low ci_start",
    "ci_high": "ci_high ci_end",
    "o_e": "o_e ome o_minus_e",
    "v_o_e": "v_o_e",
    "treatment": "treatment arm",
    "events": "events event xi frequency freq cases n_events number_of_events positive positives",
    "n": "n ni total total_n n_total sample_size samplesize number_of_patients number_of_participants participants",
    "mean": "mean mi",
    "sd": "sd sdi",
    "time": "time ti",
    "ri": "ri r cor correlation",
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

TEXT = frozenset({"study", "author", "outcome", "cluster", "subgroup", "status", "treatment"})

# Columns that follow from others, one step.
DERIVED: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "sei": frozenset({"vi"}),
        "n_treatment": frozenset({"events_treatment", "nonevents_treatment"}),
        "n_control": frozenset({"events_control", "nonevents_control"}),
    }
)

# What a row needs so that an effect can be computed from it, the most informative first.
FAMILIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "2x2 counts": ("events_treatment", "n_treatment", "events_control", "n_control"),
        "means": ("mean_treatment", "sd_treatment", "n_treatment", "mean_control", "sd_control", "n_control"),
        "medians and quartiles": tuple(
            f"{part}_{arm}" for arm in ("treatment", "control") for part in ("median", "q1", "q3", "n")
        ),
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
FALLBACK_LABELS = (
    *("trial", "name", "short_title", "article", "publication", "reference", "citation", "paper"),
    *("source", "label", "row_name", "id"),
)

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


def _limits() -> dict[str, str]:
    """Return spellings of confidence limits: a word for the end, with or without the level, the measure, and ``ci``."""
    ends = {
        "ci_low": "lower low lo lb lcl ll lci cil ci_lower ci_low ci_lb ci_l lower_ci lowerci ci_inf ciinf lower_limit "
        "lower_bound lower_cl conf_low conf_lower lower_confidence_limit l95 l95l lower95 lower_95 lower_95_ci "
        "lower_95_cl lcl95 ci95_lower ci_95_lower ci_lower_95 95_ci_lower 95_ci_low 95_lower 95ci_lower ci95_low "
        "ci95l",
        "ci_high": "upper high hi ub ucl ul uci ciu ci_upper ci_high ci_ub ci_u upper_ci upperci ci_sup cisup "
        "upper_limit upper_bound upper_cl conf_high conf_upper upper_confidence_limit u95 u95l upper95 upper_95 "
        "upper_95_ci upper_95_cl ucl95 ci95_upper ci_95_upper ci_upper_95 95_ci_upper 95_ci_high 95_upper 95ci_upper "
        "ci95_high ci95u",
    }
    found = {f"{end}{m}": name for m in ("or", "rr", "hr") for end, name in (("low", "ci_low"), ("upp", "ci_high"))}
    measures = ("or", "rr", "hr", "irr", "md", "smd", "effect", "es", "est", "estimate", "te", "g")
    for name, words in ends.items():
        for word in words.split():
            found[word] = name
            found |= {f"{measure}_{word}": name for measure in measures} | {f"{word}_{m}": name for m in measures}
    return found


ALIASES: Mapping[str, str] = MappingProxyType(
    _limits() | {spelling: name for name, spellings in _SPELLINGS.items() for spelling in spellings.split()}
)

# Words for what a column of one arm holds, and for the arm: ``mean_exp``, ``Intervention Total`` and ``sd1`` are both.
QUANTITIES: Mapping[str, str] = MappingProxyType(
    {
        spelling: name
        for name, spellings in {
            "events": "events event ev cases x r number_of_events no_events n_events num_events events_n deaths death "
            "died dead n_deaths number_of_deaths no_deaths responders n_responders",
            "n": "n total totals total_n n_total size sample_size samplesize ss patients participants subjects num",
            "mean": "mean means m avg average",
            "sd": "sd sds std stdev std_dev stddev standard_deviation",
            "time": "time py pyrs person_years person_time persontime patient_years exposure",
            "median": "median med",
            "q1": "q1 lq lower_quartile p25 quartile_1 first_quartile",
            "q3": "q3 uq upper_quartile p75 quartile_3 third_quartile",
            "min": "min minimum",
            "max": "max maximum",
        }.items()
        for spelling in spellings.split()
    }
)
ARMS: Mapping[str, str] = MappingProxyType(
    {
        word: arm
        for arm, words in {
            "treatment": "treatment treatments treated treat trt trmt tx t intervention int interv experimental "
            "experiment exp e drug active verum exposed 1 arm1 arm_1 group1 group_1 grp1",
            "control": "control controls ctrl ctl cntrl cont con c comparator comparison comp placebo pbo plac p "
            "untreated unexposed reference ref 2 arm2 arm_2 group2 group_2 grp2 0",
        }.items()
        for word in words.split()
    }
)


# Letters of counts, means and arms without anything between them: ``xt xc``, ``Ee Ec``, ``nTi nCi``, ``sdt sdc``.
GLUED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        f"{letter}{arm}{end}": (arm, quantity)
        for letter, quantity in {
            "x": "events",
            "e": "events",
            "n": "n",
            "m": "mean",
            "mean": "mean",
            "sd": "sd",
        }.items()
        for arm in "tec"
        for end in ("", "i")
    }
)


def arm_and_quantity(header: str) -> tuple[str, str] | None:
    """Return the word for the arm and the quantity in a header that names both, None in others.

    Examples
    --------
    >>> arm_and_quantity("Intervention Total"), arm_and_quantity("sd1"), arm_and_quantity("x.a")
    (('intervention', 'n'), ('1', 'sd'), ('a', 'events'))
    """
    name = normalise(header)
    numbered = re.fullmatch(r"([a-z_]+?)_?([012])", name)
    if numbered and numbered[1] in QUANTITIES:
        return numbered[2], QUANTITIES[numbered[1]]
    for spelling in sorted(QUANTITIES, key=len, reverse=True):
        for arm in (name.removeprefix(f"{spelling}_"), name.removesuffix(f"_{spelling}")):
            if arm != name and arm:
                return arm, QUANTITIES[spelling]
    return None
