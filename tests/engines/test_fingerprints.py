"""The fingerprint that records of NUTS carry."""

from dataclasses import replace

import fingerprints
import pytest

from bayesmeta.engines.sampling.chains import Settings
from bayesmeta.resources import models_dir


@pytest.fixture
def fingerprint():
    """Return the function, which remembers nothing of other tests."""
    return fingerprints.fingerprint.__wrapped__


def test_it_changes_with_the_density_and_not_with_words(fingerprint, tmp_path):
    """Another prior is another program; other words and blank lines are the same one."""
    text = (models_dir() / "common_effect.py").read_text()
    changes = {
        "words": text.replace("Common-effect model.", "One effect.").replace("\n\n\n", "\n\n\n\n"),
        "density": text.replace("Normal(0.0, 2.82)", "Normal(0.0, 1.0)"),
    }
    found = {}
    for name, changed in changes.items():
        assert changed != text
        path = tmp_path / f"{name}.py"
        path.write_text(changed)
        found[name] = fingerprint(str(path))
    assert found["words"] == fingerprint("common_effect") != found["density"]


def test_it_changes_with_the_sampler(fingerprint, monkeypatch):
    """Records made with other settings are of another sampler."""
    before = fingerprint("common_effect")
    monkeypatch.setattr(fingerprints, "Settings", lambda: replace(Settings(), target_accept=0.8))
    assert fingerprint("common_effect") != before
