"""The baselines' process goes when its broker does, however that ends."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kernelwright.evaluate.timing.baseline import Baseline, Lent, _mourner
from kernelwright.evaluate.timing.staging import Staging, TimedCases

BROKER = """
import subprocess, sys, time
from kernelwright.evaluate.timing.baseline import _mourner
child = subprocess.Popen(["sleep", "60"], start_new_session=True)
mourner = _mourner(child.pid)
print(child.pid, flush=True)
time.sleep(60)
"""


def gone(pid):
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def test_a_process_that_stands_still_does_not_outlive_a_broker_that_was_killed():
    broker = subprocess.Popen(
        [sys.executable, "-c", BROKER], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    with broker:
        stopped = int(broker.stdout.readline())
        os.kill(stopped, signal.SIGSTOP)
        broker.kill()
        broker.wait()
    assert gone(stopped)


def test_a_mourner_leaves_the_group_alone_while_the_broker_lives():
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)
    mourner = _mourner(child.pid)
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.5)
    mourner.kill()
    mourner.communicate()
    assert child.poll() is None
    child.kill()
    child.wait()


def state(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.fixture
def compiling(problem, reference, tmp_path):
    cases = TimedCases(problem, ["file"])
    cases.cases = cases.drawn(reference)
    staging = Staging(cases, 2)
    staging.put_weights(cases.cases[0])
    for slot in range(2):
        staging.put(slot, cases.cases[0])
    memory = Lent(staging.table_fd, staging.inputs.fd)
    with contextlib.closing(Baseline.start(problem, memory, "cpu", tmp_path / "log")) as baseline:
        yield baseline


def test_a_baseline_that_compiles_stands_still_while_others_measure(compiling):
    seen = []

    def give_way(still):
        if len(seen) < 3:
            with still():
                seen.append(state(compiling._running.pid))

    compiling.wait(give_way)
    assert seen == ["T"] * 3
    assert compiling.subjects == ("eager", "torch.compile")
