"""The package works the same from a checkout, an editable install, a wheel and an sdist."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]

PROBE = """
import json
import bayesmeta as bm
from bayesmeta.model import list_models, load_model
from bayesmeta.resources import data_dir

effects = bm.EffectSizes(yi=[0.1, 0.5, 0.2], sei=[0.2, 0.3, 0.1], measure="OR")
post = bm.fit(effects, engine="quadrature")
print(json.dumps({
    "where": bm.__file__,
    "version": bm.__version__,
    "models": [[name, load_model(name).title] for name in list_models()],
    "datasets": bm.list_datasets(),
    "priors": sorted(p.name for p in (data_dir() / "priors").iterdir()),
    "protocol": (data_dir() / "rescue_stenting.toml").is_file(),
    "mu": post.mu.mean(),
}))
"""


def probe(path: Path | None, cwd: Path) -> dict:
    """Run the probe in a fresh interpreter that finds bayesmeta in `path` (None: as installed)."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROBE],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def uv(*arguments: str, cwd: Path) -> None:
    """Run uv, which built this environment."""
    program = shutil.which("uv")
    assert program, "uv is not on the path; the README's test command installs it"
    done = subprocess.run([program, *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel, the wheel built from the sdist as an installer would."""
    folder = tmp_path_factory.mktemp("dist")
    uv("build", "--quiet", "--out-dir", str(folder), str(ROOT), cwd=folder)
    return folder


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What the environment the tests run in says (an editable install)."""
    return probe(None, tmp_path_factory.mktemp("elsewhere"))


def same(one: dict, other: dict) -> bool:
    """Two probes agree in everything but where the package lies."""
    return {k: v for k, v in one.items() if k != "where"} == {k: v for k, v in other.items() if k != "where"}


@pytest.mark.packaging
def test_the_environment_is_an_editable_install_with_everything(reference: dict) -> None:
    """The editable install reads models/, data/ and data/priors/ of the checkout."""
    assert Path(reference["where"]).parent.parent == ROOT
    assert "normal_normal" in dict(reference["models"])
    assert "rescue_stenting" in reference["datasets"]
    assert reference["protocol"]


@pytest.mark.packaging
def test_a_checkout_works_without_installation(reference: dict, tmp_path: Path) -> None:
    """A bare copy of the sources on the path gives what the installed package gives."""
    for folder in ("bayesmeta", "models", "data"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    found = probe(tmp_path, tmp_path)
    assert Path(found["where"]).is_relative_to(tmp_path)
    assert same(found, reference)


@pytest.mark.packaging
def test_the_wheel_carries_models_and_data(built: Path, reference: dict, tmp_path: Path) -> None:
    """An installed wheel gives what the checkout gives, from its own copies of models and data."""
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "bayesmeta/_models/normal_normal.py" in names
    assert "bayesmeta/_data/INDEX.csv" in names
    assert "bayesmeta/py.typed" in names
    uv("pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path / "site"), str(wheel), cwd=tmp_path)
    found = probe(tmp_path / "site", tmp_path)
    assert Path(found["where"]).is_relative_to(tmp_path / "site")
    assert same(found, reference)


@pytest.mark.packaging
def test_the_sdist_is_a_working_checkout(built: Path, reference: dict, tmp_path: Path) -> None:
    """An unpacked sdist gives what the checkout gives, and holds tests, docs and benchmarks."""
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    for name in ("tests", "docs", "benchmarks", "README.md", "LICENSE", "CITATION.cff", "pyproject.toml"):
        assert (folder / name).exists(), name
    found = probe(folder, tmp_path)
    assert Path(found["where"]).is_relative_to(folder)
    assert same(found, reference)


def test_the_api_page_lists_every_public_name():
    """Every function and class of ``bm.__all__``, and every plot, has its place in docs/api.md."""
    import bayesmeta as bm
    from bayesmeta.plots import PLOTS

    paths = re.findall(r"^\.\. auto(?:function|class|exception):: ([\w.]+)$", (ROOT / "docs/api.md").read_text(), re.M)
    plots = {path.rpartition(".")[2] for path in paths if path.startswith("bayesmeta.plots.")}
    public = {n for n in bm.__all__ if not n.startswith("_") and not isinstance(getattr(bm, n), ModuleType)}
    assert plots == set(PLOTS)
    assert public <= {path.rpartition(".")[2] for path in paths if not path.startswith("bayesmeta.plots.")}
