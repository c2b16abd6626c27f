"""Whatever interrupts a run, no part is lost or half written, and the same run goes on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from made_up_corpus import contents, corpus

import bayesmeta as bm
from bayesmeta.errors import BayesMetaError, DataError

TESTS = Path(__file__).parents[1]
KILLS = """
import os, random, signal, sys, time
sys.path.insert(0, sys.argv[1])
import bayesmeta as bm
from made_up_corpus import corpus
from pathlib import Path
trials, folder = corpus(40), Path(sys.argv[2])
def run(name):
    return bm.run_many(trials, by="meta_id", out=folder / name, chunk=2, model=None)
def made():
    return len(list((folder / "killed").glob("part-*")))
run("whole")
started = time.perf_counter()
run("again")
part = (time.perf_counter() - started) / 20
rng, killed = random.Random(), 0
while killed < 10:
    before = made()
    child = os.fork()
    if child == 0:
        run("killed")
        os._exit(0)
    while made() <= before and os.waitpid(child, os.WNOHANG) == (0, 0):
        time.sleep(part / 10)
    time.sleep(rng.uniform(0, part))
    try:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    except (ProcessLookupError, ChildProcessError):
        break
    killed += 1
run("killed")
print(killed)
"""


def run(trials, folder, **options):
    return bm.run_many(trials, by="meta_id", out=folder, chunk=2, model=None, **options)


@pytest.fixture(scope="module")
def trials():
    return corpus(8)


@pytest.fixture
def whole(trials, tmp_path):
    run(trials, tmp_path / "whole")
    return contents(tmp_path / "whole")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes as POSIX does")
def test_killed_at_random_it_ends_with_the_same_bytes(tmp_path):
    """Killed again and again at random and started again, a run ends byte for byte as one that nobody touched."""
    command = [sys.executable, "-W", "ignore", "-c", KILLS, str(TESTS), str(tmp_path)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert int(done.stdout) >= 5
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_resuming_makes_only_what_is_missing(trials, whole, tmp_path):
    """A complete run is not computed again; a part that was cut short, changed or deleted is."""
    folder = tmp_path / "whole"
    assert run(trials, folder).reused == 4
    part = folder / "part-00001.parquet"
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    (folder / "part-00002.parquet").unlink()
    assert run(trials, folder).reused == 2
    assert contents(folder) == whole


def test_a_journal_cut_off_costs_one_part(trials, whole, tmp_path):
    """A run that ended inside a line of its journal makes that part again, and the others not."""
    folder = tmp_path / "whole"
    manifest = json.loads((folder / "manifest.json").read_text())
    lines = [f"\n{i} {digest}\n" for i, digest in manifest["parts"].items()]
    (folder / "parts.journal").write_text("".join(lines)[:-30])
    (folder / "manifest.json").write_text(json.dumps({**manifest, "parts": {}}))
    assert run(trials, folder).reused == 3
    assert contents(folder) == whole


def test_another_question_does_not_enter_the_folder(trials, whole, tmp_path):
    """Other options or data are refused by the name of what differs, and the results stay as they are."""
    with pytest.raises(DataError, match=r"level was 0.95 and is now 0.9\b"):
        run(trials, tmp_path / "whole", level=0.9)
    with pytest.raises(DataError, match=r"sha256|analyses|rows"):
        run(trials.iloc[:-1], tmp_path / "whole")
    assert contents(tmp_path / "whole") == whole


def test_a_damaged_manifest_and_foreign_parts_are_refused(trials, whole, tmp_path):
    """A manifest that cannot be read, and parts that no manifest speaks of, are an error that says what to do."""
    (tmp_path / "whole" / "manifest.json").write_text("{")
    with pytest.raises(DataError, match="damaged"):
        run(trials, tmp_path / "whole")
    (tmp_path / "whole" / "manifest.json").unlink()
    with pytest.raises(DataError, match="no manifest"):
        run(trials, tmp_path / "whole")


def test_a_folder_that_cannot_be_written(trials, tmp_path):
    """Where the output is a file, or inside one, the run ends in an error that names it."""
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(DataError, match="Choose another folder"):
            run(trials, out)
    assert (tmp_path / "file").read_text() == ""


def test_a_full_disk_keeps_what_was_made(trials, whole, tmp_path, monkeypatch):
    """When the disk is full the run says so, leaves no part cut short, and goes on when there is room."""
    folder, put, replace = tmp_path / "full", 0, os.replace

    def full(source, target):
        nonlocal put
        put += 1
        if put > 3:
            raise OSError(28, "No space left on device")
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        with pytest.raises(DataError, match="No space left"):
            run(trials, folder)
    made = contents(folder)
    assert (
        {name: whole[name] for name in made if name.startswith("part-")}
        == {name: content for name, content in made.items() if name.startswith("part-")}
        != {}
    )
    assert not list(folder.glob(".*"))
    assert run(trials, folder).reused == 2
    assert contents(folder) == whole


def test_an_interrupt_keeps_what_was_made(trials, whole, tmp_path):
    """Ctrl-C between two parts loses neither."""
    from concurrent.futures import Executor, Future

    class Interrupted(Executor):
        calls = 0

        def submit(self, fn, /, *args, **kwargs):
            self.calls += 1
            future = Future()
            if self.calls == 3:
                future.set_exception(KeyboardInterrupt())
            else:
                future.set_result(fn(*args, **kwargs))
            return future

    with pytest.raises(KeyboardInterrupt):
        run(trials, tmp_path / "stopped", executor=Interrupted())
    run(trials, tmp_path / "stopped")
    assert contents(tmp_path / "stopped") == whole


def test_a_worker_that_dies_is_an_error_that_says_what_to_do(trials, whole, tmp_path):
    """A killed worker ends the run with an error, and the next run goes on."""
    from concurrent.futures import BrokenExecutor, Executor, Future

    class Dying(Executor):
        def submit(self, fn, /, *args, **kwargs):
            future = Future()
            future.set_exception(BrokenExecutor("killed"))
            return future

    with pytest.raises(BayesMetaError, match="start the same run again"):
        run(trials, tmp_path / "died", executor=Dying())
    run(trials, tmp_path / "died")
    assert contents(tmp_path / "died") == whole


def test_two_runs_of_one_question_in_one_folder(trials, whole, tmp_path):
    """Two runs of the same question at the same time write the same files, and both end well."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as threads:
        for future in [threads.submit(run, trials, tmp_path / "both") for _ in range(2)]:
            future.result()
    assert contents(tmp_path / "both") == whole
