"""An R script that redoes an analysis with metafor and, where it is installed, with the R package bayesmeta."""

import math
from collections.abc import Mapping

import numpy as np

from bayesmeta.effects import MEASURES
from bayesmeta.errors import ModelError, unknown
from bayesmeta.frequentist import TAU2_ESTIMATORS
from bayesmeta.priors import Prior, parse_prior
from bayesmeta.priors.defaults import default_prior
from bayesmeta.priors.line import Normal
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array

# Our interval rule -> metafor's test.
_TESTS = {"wald": "z", "hksj": "knha", "adhoc": "adhoc", "t": "t"}
# Our prior -> density of t in R, with the names of its parameters there.
_DENSITIES: Mapping[str, str] = {
    "half_normal": "bayesmeta::dhalfnormal(t, scale = {scale})",
    "half_cauchy": "bayesmeta::dhalfcauchy(t, scale = {scale})",
    "half_student_t": "bayesmeta::dhalft(t, df = {df}, scale = {scale})",
    "exponential": "dexp(t, rate = {rate})",
    "log_normal": "dlnorm(t, meanlog = {mu}, sdlog = {sigma})",
    "gamma": "dgamma(t, shape = {shape}, rate = {rate})",
    "uniform": "dunif(t, min = {lower}, max = {upper})",
    "lomax": "bayesmeta::dlomax(t, shape = {shape}, scale = {scale})",
    "half_logistic": "bayesmeta::dhalflogistic(t, scale = {scale})",
    "rayleigh": "bayesmeta::drayleigh(t, scale = {scale})",
}
# Priors that R's bayesmeta knows by name, most of them because they depend on the standard errors.
_NAMED: Mapping[str, str] = {
    "uniform()": "uniform",
    "sqrt()": "sqrt",
    "jeffreys()": "Jeffreys",
    "berger_deely()": "BergerDeely",
    "conventional()": "conventional",
    "dumouchel()": "DuMouchel",
    "shrinkage()": "shrinkage",
    "i2()": "I2",
}


def r_script(
    effects: EffectSizes,
    *,
    method: str = "REML",
    ci: str = "wald",
    level: float = 0.95,
    mu: str | Prior | None = None,
    tau: str | Prior | None = None,
) -> str:
    """Return the text of an R script that pools `effects` as this package does.

    The data stand in the script, with every digit. The classical part needs metafor; the Bayesian part
    runs where the R package bayesmeta is installed and says so where it is not. Each prints lines
    ``name: value`` with 15 digits.

    Parameters
    ----------
    effects
        Effect sizes; 2x2 counts are written too, and metafor's `escalc` must give the same effects.
    method, ci, level
        As in ``frequentist.pool``.
    mu, tau
        Priors of the Bayesian part, as values or text; those that `fit` takes for the measure where None. The prior of
        mu must be normal or flat, the one of tau one that R has a density for. Where a prior is not given and the
        measure has no default (ready estimates of an unknown unit), the Bayesian part is left out and the script says
        why.

    Raises
    ------
    ModelError
        If the method, interval rule or a prior has no counterpart in R, or there are moderators.
    """
    if effects.moderators:
        raise ModelError("The R script pools effects without moderators. Leave moderators out.")
    if method not in TAU2_ESTIMATORS or method == "HSk":
        raise unknown("method with a counterpart in metafor", method, set(TAU2_ESTIMATORS) - {"HSk"})
    if ci not in _TESTS:
        raise unknown("interval rule", ci, _TESTS)
    parts = [_data(effects), _recomputed(effects), _classical(effects, method, ci, level)]
    try:
        mu, tau = (default_prior(effects, n) if prior is None else prior for n, prior in (("mu", mu), ("tau", tau)))
    except ModelError as error:
        parts.append(f"# The Bayesian part is left out. {_comment(str(error))}\n")
    else:
        parts.append(_bayesian(mu, tau, level))
    return "\n".join(part for part in parts if part)


def _data(effects: EffectSizes) -> str:
    columns = {"study": "c(" + ", ".join(map(r_text, effects.study)) + ")"}
    if effects.counts is not None:
        counts = effects.counts
        columns |= {
            "ai": r_numbers(counts.events_treatment),
            "n1i": r_numbers(counts.n_treatment),
            "ci": r_numbers(counts.events_control),
            "n2i": r_numbers(counts.n_control),
        }
    columns |= {"yi": r_numbers(effects.yi), "sei": r_numbers(effects.sei)}
    body = ",\n".join(f"  {name} = {values}" for name, values in columns.items())
    label = MEASURES[effects.measure].analysis_label if effects.measure in MEASURES else effects.measure
    notes = [f"# Effect measure: {effects.measure} (yi: {label}).", *([f"# {effects.rule}."] if effects.rule else [])]
    notes = [_comment(note) for note in notes]
    return "\n".join([*notes, "library(metafor)", f"dat <- data.frame(\n{body},\n  stringsAsFactors = FALSE\n)", ""])


def _recomputed(effects: EffectSizes) -> str:
    """Return R code that computes the effects again from the counts, where it is the same formula."""
    measure = effects.measure
    halves = all(a.what.startswith("0.5 ") for a in effects.adjusted)
    if effects.counts is None or not halves or measure not in ("OR", "RR", "RD", "AS"):
        return ""
    changed = {a.study for a in effects.adjusted}
    zero = ", ".join(["TRUE" if s in changed else "FALSE" for s in effects.study])
    return "\n".join(
        [
            "# The same effects from the counts, with the correction this package made (0.5 where it changed a study).",
            f"changed <- c({zero})",
            "recompute <- function(add)",
            f'  escalc("{measure}", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = dat, add = add, to = "all")',
            "again <- recompute(0)",
            "with_half <- recompute(1 / 2)",
            "again$yi[changed] <- with_half$yi[changed]",
            'cat(sprintf("largest difference of yi: %.3g\\n", max(abs(again$yi - dat$yi))))',
            "",
        ]
    )


def _classical(effects: EffectSizes, method: str, ci: str, level: float) -> str:
    # metafor stops at a change of 1e-5 in tau2, whatever the unit of the effects, and looks no further than 100.
    small = r_number(1e-12 * float(np.median(effects.vi)))
    most = r_number(max(100.0, effects.k * float(np.ptp(effects.yi)) ** 2))
    return "\n".join(
        [
            "# Iterations go on until tau2 is exact to many digits of its own unit; metafor's defaults stop earlier.",
            f"control <- list(threshold = {small}, tol = {small}, tau2.max = {most}, maxiter = 100000)",
            f'fit <- rma(yi, sei = sei, data = dat, method = "{method}", test = "{_TESTS[ci]}", level = {level!r},',
            "           control = control)",
            "print(fit)",
            'cat(sprintf("classical estimate: %.15g\\n", as.numeric(fit$beta)))',
            'cat(sprintf("classical low: %.15g\\n", fit$ci.lb))',
            'cat(sprintf("classical high: %.15g\\n", fit$ci.ub))',
            'cat(sprintf("classical tau2: %.15g\\n", fit$tau2))',
            'cat(sprintf("classical I2: %.15g\\n", fit$I2))',
            "",
        ]
    )


def _bayesian(mu: str | Prior, tau: str | Prior, level: float) -> str:
    return "\n".join(
        [
            'if (requireNamespace("bayesmeta", quietly = TRUE)) {',
            "  post <- bayesmeta::bayesmeta(",
            "    y = dat$yi, sigma = dat$sei, labels = dat$study,",
            *_mu_argument(mu),
            f"    tau.prior = {_tau_argument(tau)},",
            "    # Tighter than its defaults, which are good to about three digits.",
            '    interval.type = "central", delta = 0.001, epsilon = 1e-6',
            "  )",
            "  print(post)",
            f"  limits <- post$post.interval(mu.level = {level!r})",
            '  cat(sprintf("bayesian estimate: %.15g\\n", post$summary["mean", "mu"]))',
            '  cat(sprintf("bayesian low: %.15g\\n", limits[1]))',
            '  cat(sprintf("bayesian high: %.15g\\n", limits[2]))',
            '  cat(sprintf("bayesian tau: %.15g\\n", post$summary["median", "tau"]))',
            "} else {",
            '  message("The R package bayesmeta is not installed: the Bayesian part was left out.")',
            "}",
            "",
        ]
    )


def _mu_argument(mu: str | Prior) -> list[str]:
    prior = parse_prior(mu) if isinstance(mu, str) else mu
    if _name(prior) == "flat":
        return []
    if not isinstance(prior, Normal):
        raise ModelError(
            f"R's bayesmeta takes a normal or flat prior for mu, not {prior!r}. Leave tau out of the script."
        )
    return [f"    mu.prior = c(mean = {r_number(prior.loc)}, sd = {r_number(prior.scale)}),"]


def _name(prior: Prior) -> str:
    return repr(prior).partition("(")[0]


def _tau_argument(tau: str | Prior) -> str:
    prior = parse_prior(tau) if isinstance(tau, str) else tau
    if repr(prior) in _NAMED:
        return r_text(_NAMED[repr(prior)])
    name = _name(prior)
    if name not in _DENSITIES or not prior.proper:
        known = sorted([*_DENSITIES, *_NAMED])
        raise ModelError(f"The prior {prior!r} for tau has no density in R here. Known: {', '.join(known)}.")
    fields = ("scale", "df", "rate", "mu", "sigma", "shape", "lower", "upper")
    return "function(t) " + _DENSITIES[name].format(
        **{f: r_number(getattr(prior, f)) for f in fields if hasattr(prior, f)}
    )


def r_number(value: float) -> str:
    """Return a number as R reads it, with every digit."""
    if math.isnan(value):
        return "NA_real_"
    return repr(float(value)) if math.isfinite(value) else ("Inf" if value > 0 else "-Inf")


def r_numbers(values: Array) -> str:
    """Return an R vector."""
    return "c(" + ", ".join(r_number(float(v)) for v in values) + ")"


def r_text(text: str) -> str:
    r"""Return an R string literal that is safe whatever the text holds.

    Examples
    --------
    >>> print(r_text('Müller "A"'))
    "M\u00fcller \"A\""
    """
    safe = {'"': '\\"', "\\": "\\\\"}
    return '"' + "".join(safe.get(c, c if " " <= c <= "~" else _escape(c)) for c in text) + '"'


def _escape(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


def _comment(text: str) -> str:
    # A line break in a label must not end the comment.
    return " ".join(text.split())
