"""Compiled models on disk: the same draws in a fresh process, without PyMC; damaged files are not used."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import bayesmeta as bm
from bayesmeta.engines.sampling.compiled import code_store, program_cache
from bayesmeta.engines.sampling.compiled.program import Layout, Program
from bayesmeta.model import load_model
from bayesmeta.resources import PACKAGE, models_dir

pytestmark = pytest.mark.nuts
FIT = """
import sys
import bayesmeta as bm

data = bm.EffectSizes(yi=[0.1, 0.5, -0.2], sei=[0.2, 0.3, 0.25], measure="OR")
post = bm.fit(data, engine="nuts", seed=4, draws=200, remedies=False)
print(repr(float(post.mu.draws.sum())), repr(float(post.theta_new.draws.sum())))
print(sorted({"pymc", "pytensor", "arviz", "matplotlib"} & set(sys.modules)))
"""
LOADED = """
import sys
from importlib.util import module_from_spec, spec_from_file_location

import bayesmeta

before = set(sys.modules)
spec = spec_from_file_location("model_file", sys.argv[1])
spec.loader.exec_module(module_from_spec(spec))
print(*(m.__file__ for n, m in sys.modules.items() if n.startswith("bayesmeta.") and n not in before), sep="\\n")
"""


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Compile a model in a process of its own; return the folder it was stored in, and what it printed."""
    folder = tmp_path_factory.mktemp("cache")
    return folder, _run(folder)


def _run(folder) -> list[str]:
    environment = {**os.environ, "BAYESMETA_CACHE": str(folder)}
    done = subprocess.run([sys.executable, "-c", FIT], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_a_fresh_process_gives_the_same_draws_without_pymc(stored):
    """The second process imports no PyMC and draws exactly what the first one drew."""
    folder, first = stored
    second = _run(folder)
    assert second[0] == first[0]
    assert "pymc" in first[1]
    assert second[1] == "[]"


def test_stored_file_is_refused_when_damaged(stored, monkeypatch, tmp_path):
    """A truncated or altered file is as good as none, and so is one made on another processor."""
    folder, _ = stored
    monkeypatch.setenv("BAYESMETA_CACHE", str(tmp_path))
    (path,) = folder.glob("*.program")
    content = path.read_bytes()
    for i, broken in enumerate((content[:-10], content[:100], b"", content[:50] + b"x" + content[51:])):
        (tmp_path / f"broken{i}.program").write_bytes(broken)
        assert code_store.load(f"broken{i}") is None
    (tmp_path / "good.program").write_bytes(content)
    assert code_store.load("good") is not None
    monkeypatch.setattr(code_store, "_processor", lambda: ("another",))
    assert code_store.load("good") is None


def test_a_stored_program_is_keyed_by_all_that_its_model_file_loads():
    """Whatever of the package Python loads with a model file is among the sources that are hashed."""
    hashed = program_cache.imported_sources(models_dir().glob("*.py"))
    for name in ("binomial_normal_random_baseline", "binomial_normal_rd"):
        command = [sys.executable, "-c", LOADED, str(models_dir() / f"{name}.py")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        loaded = {Path(line) for line in done.stdout.split("\n") if line}
        assert len(loaded) > 20
        assert loaded <= hashed


def test_sources_of_a_folder_are_those_of_all_its_files(tmp_path):
    """An import from a folder counts all of it, one of a file that file and what it imports, and no other package."""
    model = tmp_path / "model.py"
    model.write_text("import numpy\nfrom bayesmeta.priors import Normal\n")
    found = program_cache.imported_sources([model])
    assert set((PACKAGE / "priors").glob("*.py")) < found
    model.write_text("def build():\n    import bayesmeta.likelihoods.counts\n")
    assert {path.name for path in program_cache.imported_sources([model])} == {
        "__init__.py",
        "counts.py",
        "values.py",
        "errors.py",
    }


def test_cache_can_be_switched_off(monkeypatch, tmp_path):
    """With an empty BAYESMETA_CACHE nothing is stored or loaded."""
    monkeypatch.setenv("BAYESMETA_CACHE", "")
    assert code_store.folder() is None
    assert not code_store.save("key", Program(Layout(0, (), ()), 0, 0, {}))
    assert code_store.load("key") is None


def test_an_unwritable_folder_is_no_error(monkeypatch, tmp_path):
    """Where the cache cannot be written the model stays in the process, and fits all the same."""
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("BAYESMETA_CACHE", str(blocked))
    program_cache.clear()
    data = bm.EffectSizes(yi=[0.1, 0.5], sei=[0.2, 0.3], measure="OR")
    post = bm.fit(data, model="common_effect", engine="nuts", seed=1, draws=100, remedies=False)
    assert post.mu.draws.shape == (4, 100)
    assert list(tmp_path.iterdir()) == [blocked]


def test_structure_decides_what_is_shared():
    """Prior parameters and data share a program; another family, variant or model file does not."""
    data = bm.EffectSizes(yi=[0.1, 0.5], sei=[0.2, 0.3], measure="OR")
    model = load_model("normal_normal")

    def key(variant="default", **priors):
        chosen = model.with_priors(priors)
        values = program_cache.slot_values(model, data, chosen)
        return program_cache._structure(model, chosen, {n: v.shape for n, v in values.items()}, variant)

    assert key() == key(tau="half_normal(2)") == key(mu="normal(1, 3)")
    assert len({key(), key(tau="half_cauchy(1)"), key("centred"), key(mu="student_t(4, 0, 1)")}) == 4


def test_an_interrupted_write_leaves_nothing(monkeypatch, tmp_path):
    """Ctrl-C while a program is stored leaves neither a file of that name nor a part of one."""

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(code_store.os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        code_store._write(tmp_path / "x.program", b"content")
    assert list(tmp_path.iterdir()) == []
