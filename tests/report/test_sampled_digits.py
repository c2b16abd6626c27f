"""Whatever prints a sampled figure prints no digit finer than its Monte Carlo error, in every table and sentence."""

import re
from dataclasses import replace

import pytest

import bayesmeta as bm
from bayesmeta.analysis import analyse
from bayesmeta.compare.rows import bayesian_row
from bayesmeta.compare.table import table_rows
from bayesmeta.plots.forest import forest_data
from bayesmeta.plots.updating import updating_data
from bayesmeta.protocol import read_protocol
from bayesmeta.report.agreement import agreement_rows, agreement_table
from bayesmeta.report.decisions import decision_tables
from bayesmeta.report.outcome import headline, p_over_sets, summary_table
from bayesmeta.report.page import overview
from bayesmeta.report.priors import sensitivity_table, thresholds_table
from bayesmeta.resources import data_dir

pytestmark = pytest.mark.nuts

SAMPLING = {"draws": 400, "chains": 2, "tune": 400}
NUMBER = re.compile(r"\d+\.?\d*")


def unit(said: str) -> float:
    """Return the size of one step of a printed number's last digit that is not a filling zero."""
    _, point, decimals = said.partition(".")
    if point:
        return 10.0 ** -len(decimals)
    return 10.0 ** (len(said) - len(said.rstrip("0")))


def supported(said: str, error: float) -> bool:
    """Whether a printed number is no finer than its error; probabilities keep one decimal."""
    return unit(said) >= error or said in ("0", "0.0")


def unsupported(text: str, errors: list[float]) -> list[tuple[str, float]]:
    """Return the numbers of a text that are too fine for their errors, which stand in the same order."""
    pairs = zip(NUMBER.findall(text), errors, strict=True)
    return [(said, error) for said, error in pairs if not supported(said, error)]


def probability_errors(marginal, values) -> list[float]:
    return [(p * (1 - p) / marginal.ess("bulk")) ** 0.5 for p in values]


@pytest.fixture(scope="module")
def analysis():
    """A report by NUTS with few draws, all of its sets of priors sampled."""
    found = analyse(
        read_protocol(data_dir() / "rescue_stenting.toml"), outcomes=("mortality",), engine="nuts", sampling=SAMPLING
    )
    (result,) = found.outcomes
    sets = [result.prior_sets[0]]
    for prior_set in result.prior_sets[1:3]:
        fit = bm.fit(result.posterior.data, priors=dict(prior_set.priors), engine="nuts", seed=7, **SAMPLING)
        row = bayesian_row(prior_set.label, fit, measure="OR", level=0.95, benefit="lower")
        sets.append(replace(prior_set, posterior=fit, row=row))
    return replace(found, outcomes=(replace(result, prior_sets=tuple(sets)),))


@pytest.fixture(scope="module")
def result(analysis):
    return analysis.outcomes[0]


@pytest.fixture(scope="module")
def row(result):
    """Return the table's words for the sampled row, whose digits `tests/test_compare.py` checks."""
    return next(r for r in table_rows(result.comparison) if r.kind == "bayesian" and not r.without)


def test_the_check_itself_tells_too_fine_from_coarse():
    assert supported("0.44", 0.004)
    assert not supported("0.444", 0.004)
    assert supported("60", 2.1)
    assert not supported("62", 2.1)


def test_the_table_has_supported_digits(result, row):
    mu = result.posterior.mu
    errors = [mu.mcse(q) * 2.718281828 ** float(mu.ppf(q)) for q in (0.5, 0.025, 0.975)]
    assert not unsupported(f"{row.estimate} {row.interval}", errors)
    assert not unsupported(row.p_benefit_mean, probability_errors(mu, [float(mu.cdf(0.0))]))


def test_sentences_have_the_words_of_the_table(analysis, result, row):
    chance, estimate, _ = headline(result)
    assert f"OR {row.estimate} (95% credible interval {row.interval})." in estimate
    assert f"is {row.p_benefit_mean} (" in chance
    assert f"and {row.p_benefit_new} (" in chance
    (line,) = overview(analysis).lines
    assert f"{row.estimate} [{row.interval}]" in line.cells
    assert {row.p_benefit_mean, row.p_benefit_new} < set(line.cells)


def test_every_figure_of_the_summary_is_supported(result):
    posterior = result.posterior
    named = [posterior[name] for name in ("mu", "theta_new", "tau", "I2")] + list(posterior.theta.values())
    for line, marginal in zip(summary_table(result).lines, named, strict=True):
        errors = [marginal.mcse(what) for what in ("mean", "sd", 0.5, 0.025, 0.975)]
        _, *figures, natural = line.cells
        assert not unsupported(" ".join(figures).replace("-", ""), errors)
        if natural != "–":
            values = [2.718281828 ** float(marginal.ppf(q)) for q in (0.5, 0.025, 0.975)]
            assert not unsupported(natural, [e * v for e, v in zip(errors[2:], values, strict=True)])


def test_sampled_sets_of_priors_are_supported(result):
    for line, known in zip(sensitivity_table(result).lines, result.prior_sets, strict=True):
        post = known.posterior
        estimate, interval, tau, prediction, p_mean, p_new = line.cells[3:]
        for text, marginal in ((f"{estimate} {interval}", post.mu), (prediction, post.theta_new)):
            levels = (0.5, 0.025, 0.975)[-len(NUMBER.findall(text)) :]
            errors = [marginal.mcse(q) * 2.718281828 ** float(marginal.ppf(q)) for q in levels]
            assert not unsupported(text, errors)
        assert not unsupported(tau, [post.tau.mcse(0.5)])
        assert not unsupported(p_mean, probability_errors(post.mu, [known.row.p_benefit_mean]))
        assert not unsupported(p_new, probability_errors(post.theta_new, [known.row.p_benefit_new]))


def test_ranges_over_sets_are_supported(result):
    values = [s.row.p_benefit_mean for s in result.prior_sets]
    largest = max(probability_errors(s.posterior.mu, [p])[0] for s, p in zip(result.prior_sets, values, strict=True))
    assert not unsupported(p_over_sets(result, "p_benefit_mean"), [largest] * 2)


def test_thresholds_are_supported(result):
    marginals = [s.posterior.mu for s in result.prior_sets]
    for line, known in zip(thresholds_table(result).lines, result.thresholds, strict=True):
        p, over = line.cells[1:3]
        assert not unsupported(p.lstrip("<>"), probability_errors(marginals[0], [known.p_mean]))
        ends = (known.low_mean, known.high_mean)
        least = [min(probability_errors(m, [end])[0] for m in marginals) for end in ends]
        assert not unsupported(over, least[: len(NUMBER.findall(over))])


def test_shrunken_effects_in_the_forest_plot_are_supported(result):
    for study, theta in zip(forest_data(result.comparison).studies, result.posterior.theta.values(), strict=True):
        errors = [theta.mcse(q) * 2.718281828 ** float(theta.ppf(q)) for q in (0.5, 0.025, 0.975)]
        assert not unsupported(study.shrunken_text, errors)


def test_the_agreement_with_quadrature_is_supported(result):
    both = bm.compare(result.posterior.data, engine="both", benefit="lower", seed=2, sampling=SAMPLING)
    found = replace(result, comparison=both)
    rows = {(r.quantity, r.figure): r for r in agreement_rows(found)}
    table = agreement_table(tuple(rows.values()))
    for line in table.lines:
        for figure, cell in zip(table.heads[1:], line.cells[1:], strict=True):
            if cell:
                sampled = cell.split(" / ")[0].lstrip("-")
                assert supported(sampled, rows[line.cells[0], figure].mcse)


def test_absolute_effects_are_supported(result):
    table = next(t for t in decision_tables(result) if t.caption == "Absolute effects")
    sampled = [s.posterior for s in result.prior_sets]
    risk = result.plan.baseline_risk[0]
    effect, *others = [bm.absolute_effect(p, risk, benefit="lower") for p in sampled]
    errors = [1000.0 * effect.risk_difference.mcse(q) for q in (0.5, 0.025, 0.975)]
    _, _, middle, limits, over, chance, needed = table.lines[0].cells
    assert not unsupported(f"{middle} {limits}", errors)
    least = min(1000.0 * e.risk_difference.mcse(0.5) for e in (effect, *others))
    assert not unsupported(over, [least] * 2)
    values = [e.p_benefit for e in (effect, *others)]
    assert not unsupported(chance.split(" ")[0], probability_errors(effect.risk_difference, values[:1]))
    # The error of 1 / x is that of x over x squared; the interval here holds no effect, and so meets at infinity.
    number, near, _ = NUMBER.findall(needed)[:3]
    for said, q in ((number, 0.5), (near, 0.025)):
        difference = abs(float(effect.risk_difference.ppf(q)))
        assert supported(said, effect.risk_difference.mcse(q) / difference**2)


def test_growing_analyses_are_supported(result):
    path = bm.sequential(result.posterior.data, start=3, benefit="lower", engine="nuts", seed=3, **SAMPLING)
    _, rows = path.path()
    for cells, line, step in zip(rows, updating_data(path), path.steps, strict=True):
        mu, tau = step.posterior.mu, step.posterior.tau
        errors = [mu.mcse(q) * 2.718281828 ** float(mu.ppf(q)) for q in (0.5, 0.025, 0.975)]
        assert not unsupported(cells[2], errors)
        assert not unsupported(cells[4], [tau.mcse(0.5)])
        assert not unsupported(cells[5], probability_errors(mu, [step.p_mean]))
        assert line.probability_words == cells[5]
