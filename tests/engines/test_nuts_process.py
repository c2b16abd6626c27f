"""NUTS as a guest in a process: interruption, and imports in the background."""

import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.nuts

LONG = """
import signal
import threading
import bayesmeta as bm
from bayesmeta.engines import nuts

# A shell that runs this in its background has it ignore interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

data = bm.EffectSizes(yi=[0.1, 0.5, -0.2], sei=[0.2, 0.3, 0.25], measure="OR")
started = nuts.run
def announce(*args, **kwargs):
    threading.Timer(1.0, lambda: print("sampling", flush=True)).start()
    return started(*args, **kwargs)
nuts.run = announce
try:
    bm.fit(data, engine="nuts", seed=1, draws=20_000_000, chains=1, remedies=False)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
WARM = """
import sys
from bayesmeta.engines.sampling.compiled.warm import warm_up

thread = warm_up()
thread.join()
print("nutpie._lib" in sys.modules)
"""


def test_ctrl_c_ends_sampling_and_reaches_the_caller():
    """An interrupt during sampling stops the chains and is raised as KeyboardInterrupt."""
    process = subprocess.Popen([sys.executable, "-c", LONG], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "sampling\n"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=300)
    assert out == "interrupted\n"
    assert process.returncode == 0


def test_warm_up_imports_the_sampler_in_the_background():
    """After the background thread has ended the sampler is loaded."""
    done = subprocess.run([sys.executable, "-c", WARM], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
