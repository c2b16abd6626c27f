"""An analysis plan is read completely or refused with a message that names file, key, value and what is allowed."""

from pathlib import Path

import pydantic
import pytest

from bayesmeta.errors import BayesMetaError, DataError, ModelError
from bayesmeta.protocol import Protocol, read_protocol
from bayesmeta.resources import data_dir
from bayesmeta.studies import PublishedResult

PLAN = data_dir() / "rescue_stenting.toml"
TEXT = PLAN.read_text()


def changed(old: str, new: str) -> Protocol:
    assert old in TEXT
    return Protocol.from_bytes(TEXT.replace(old, new, 1).encode(), Path("plan.toml"))


def test_the_stenting_plan_is_read_key_by_key():
    """The plan that ships says what its text says."""
    plan = read_protocol(PLAN)
    assert list(plan.outcomes) == ["favourable_outcome", "mortality", "symptomatic_ich"]
    assert [o.benefit for o in plan.outcomes.values()] == ["higher", "lower", "lower"]
    assert plan.priors.texts() == {"mu": "normal(0, 2.82)", "tau": "half_normal(0.5)"}
    assert plan.sensitivity[0].priors() == {"tau": "half_normal(0.25)"}
    assert plan.outcomes["mortality"].thresholds == (0.8, 0.67, 0.5)
    assert plan.data_path == PLAN.parent / "rescue_stenting.csv"
    assert len(plan.sha256) == 64


def test_published_figures_keep_their_printed_digits():
    """A published figure stays the string that was printed."""
    published = read_protocol(PLAN).published("mortality")
    assert isinstance(published, PublishedResult)
    assert (published.estimate, published.low, published.high) == ("0.39", "0.16", "0.93")
    assert (published.p, published.i2) == ("0.03", "43")


def test_every_prior_of_the_stenting_plan_is_justified():
    """Each prior that ships, the alternatives included, says why."""
    plan = read_protocol(PLAN)
    assert all([plan.priors.justification("mu"), plan.priors.justification("tau")])
    assert all(alternative.justification for alternative in plan.sensitivity)


def test_a_plan_cannot_be_changed_after_it_was_read():
    """Assigning to a key of a plan is refused."""
    plan = read_protocol(PLAN)
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        plan.level = 0.9


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('benefit = "higher"', 'benfit = "higher"', ["benfit", "Did you mean 'benefit'", "'higher' or 'lower'"]),
        ('benefit = "higher"', 'benefit = "lowr"', ["outcomes.favourable_outcome.benefit", "'lowr'", "mean 'lower'"]),
        ('benefit = "higher"', "benefit = 1", ["outcomes.favourable_outcome.benefit is 1", "'higher' or 'lower'"]),
        ("level = 0.95", "level = 95", ["level is 95", "less than 1"]),
        ("level = 0.95", 'level = "0.95"', ["level is '0.95'", "number"]),
        ("seed = 20200629", "seed = -1", ["seed is -1", "greater than or equal to 0"]),
        ("seed = 20200629", "seed = 1.5", ["seed is 1.5", "integer"]),
        ("seed = 20200629", "sed = 1", ["Did you mean 'seed'", "the top of the file"]),
        ('models = ["normal_normal"]', 'models = "normal_normal"', ["models is 'normal_normal'", "list"]),
        ('models = ["normal_normal"]', "models = []", ["models is empty"]),
        ('prior = "half_normal(0.5)"', "prior = 0.5", ["priors.tau.prior is 0.5", "text in quotes"]),
        ('prior = "half_normal(0.5)"', 'prior = "normal(0, 1)"', ["priors.tau", "negative values", "half_normal(0.5)"]),
        ('to = "only0"', 'to = "sometimes"', ["zero_cells.to", "'only0', 'all', 'if0all' or 'none'"]),
        ("add = 0.5", "add = -0.5", ["zero_cells.add is -0.5", "greater than or equal to 0"]),
        ("[1.25, 1.5, 2.0]", "[1.25, -1, 2.0]", ["outcomes.favourable_outcome.thresholds", "-1", "greater than 0"]),
        ("[1.25, 1.5, 2.0]", '[1.25, "x"]', ["outcomes.favourable_outcome.thresholds", "'x'", "list"]),
        ("[1.25, 1.5, 2.0]", "3", ["outcomes.favourable_outcome.thresholds is 3", "list"]),
        ("[1.25, 1.5, 2.0]", "[nan]", ["thresholds", "nan", "finite"]),
        ('estimate = "2.87"', "estimate = 2.87", ["published.estimate is 2.87", "text in quotes"]),
        ('estimate = "2.87"', 'estimate = "9"', ["favourable_outcome.published", "low <= estimate <= high"]),
        ('estimate = "2.87"', 'estimate = "inf"', ["favourable_outcome.published.estimate", "'inf'", "number"]),
        ('p = "<0.001"', 'p = "n.s."', ["favourable_outcome.published.p", "'n.s.'"]),
        ('p = "<0.001"', 'p = "1.2"', ["favourable_outcome.published.p", "'1.2'", "0 to 1"]),
        ('tau = "half_normal(0.25)"', "", ["sensitivity[1]", "names no prior"]),
        ('label = "vague"', 'label = "sceptical about the effect"', ["sensitivity", "sceptical about the effect"]),
        ("title = ", "title ", ["not valid TOML", "line 4"]),
        ("[outcomes.mortality]", "[outcomes.favourable_outcome]", ["not valid TOML", "twice"]),
    ],
)
def test_what_is_wrong_in_a_plan_is_named(old, new, words):
    """File, key, value and the allowed ones are in the message of an impossible plan."""
    with pytest.raises(DataError) as caught:
        changed(old, new)
    message = str(caught.value)
    assert message.startswith("plan.toml: ")
    assert [word for word in words if word not in message] == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('measure = "OR"', 'measure = "ORR"', ["measure", "'ORR'", "OR"]),
        ('models = ["normal_normal"]', 'models = ["normal_norml"]', ["models", "Did you mean 'normal_normal'"]),
        ("half_normal(0.5)", "half_norml(0.5)", ["priors.tau", "Did you mean 'half_normal'"]),
        ("half_normal(0.25)", "half_norml(0.25)", ["sensitivity[1].tau", "Did you mean 'half_normal'"]),
    ],
)
def test_an_unknown_name_is_a_model_error_with_the_nearest_one(old, new, words):
    """An unknown measure, model or prior is refused with the nearest known name."""
    with pytest.raises(ModelError) as caught:
        changed(old, new)
    assert [word for word in ["plan.toml", *words] if word not in str(caught.value)] == []


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe", b'data = "x.csv"', b'data = "x.csv"\n[outcomes]'])
def test_an_incomplete_file_is_refused(tmp_path, content):
    """Empty, undecodable and incomplete files end in a DataError that names the file."""
    path = tmp_path / "plan.toml"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"plan\.toml"):
        read_protocol(path)


def test_a_missing_file_is_named(tmp_path):
    """A protocol that is not there is named, with what to do."""
    with pytest.raises(BayesMetaError, match=r"absent\.toml.*Check the path"):
        read_protocol(tmp_path / "absent.toml")
