"""The reference's process: what it answers, and what its end looks like from here."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from kernelwright.core.agreement import compare
from kernelwright.core.errors import ProblemError, UnknownName, WorkerError
from kernelwright.problems import suite
from kernelwright.problems.channel import Closed, Shared, receive, send, share
from kernelwright.problems.reference import Reference


@pytest.fixture(scope="module")
def softmax():
    with Reference.open("builtin:softmax") as reference:
        yield reference


def test_a_case_holds_every_tensor_in_its_storage(softmax):
    problem = softmax.load()
    case = softmax.case(problem.report_workload, "normal", 2**62)
    (spec,) = problem.inputs
    assert case.inputs["x"].dtype == np.float32
    assert case.inputs["x"].size == spec.elements(problem.report_workload.axes)
    assert not case.inputs["x"].flags.writeable
    (expected,) = case.expected
    assert expected.values.dtype == np.float64
    assert compare(expected.values.astype(np.float32), expected).kind is None
    assert case.eager_s > 0


def test_admission_and_distributions_cross_the_process(softmax):
    assert softmax.distributions()[0] == "file"
    assert softmax.admit(4).admitted


def test_threads_may_share_a_reference(softmax):
    workload = softmax.load().split("search")[0]
    got = {}
    threads = [
        threading.Thread(target=lambda s=seed: got.update({s: softmax.case(workload, "normal", s)}))
        for seed in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(8):
        again = softmax.case(workload, "normal", seed)
        assert np.array_equal(got[seed].inputs["x"], again.inputs["x"])


def test_a_killed_process_is_our_fault_and_the_next_call_starts_another(softmax):
    workload = softmax.load().split("search")[0]
    before = softmax.case(workload, "normal", 9)
    os.kill(softmax.pid, signal.SIGKILL)
    with pytest.raises(WorkerError, match="SIGKILL"):
        softmax.case(workload, "normal", 9)
    after = softmax.case(workload, "normal", 9)
    assert np.array_equal(before.inputs["x"], after.inputs["x"])
    assert np.array_equal(before.expected[0].values, after.expected[0].values)


def test_what_a_file_prints_is_not_taken_for_a_message(files):
    with Reference.open(files / "prints.py") as reference:
        assert reference.load().outputs[0].name == "out"


def test_a_file_that_hangs_is_ended_in_time(files):
    with Reference.open(files / "hangs.py", timeout_s=1.0) as reference:
        pid = reference.pid
        with pytest.raises(ProblemError, match="longer than 1 s"):
            reference.load()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize(("name", "how"), [("exits", "exit code 3"), ("crashes", "SIGSEGV")])
def test_a_file_that_ends_its_process_is_to_blame(files, name, how):
    with Reference.open(files / f"{name}.py") as reference, pytest.raises(ProblemError, match=how):
        reference.load()


def test_a_file_that_cannot_be_read_says_so(tmp_path):
    with pytest.raises(ProblemError, match="There is no file"):
        Reference.open(tmp_path / "nothing.py")
    with pytest.raises(ProblemError, match="is a folder"):
        Reference.open(tmp_path)
    (tmp_path / "latin.py").write_bytes(b"# \xe9\xff")
    with pytest.raises(ProblemError, match="not UTF-8"):
        Reference.open(tmp_path / "latin.py")
    (tmp_path / "big.py").write_bytes(b"#" * (2 << 20))
    with pytest.raises(ProblemError, match="larger than 1 MB"):
        Reference.open(tmp_path / "big.py")
    with pytest.raises(UnknownName, match="Did you mean 'softmax'"):
        Reference.open("builtin:sotfmax")


def test_the_process_ends_with_the_one_that_started_it():
    script = (
        "import os; from kernelwright.problems.reference import Reference;"
        "r = Reference.open('builtin:softmax'); print(r.pid, flush=True); os._exit(1)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    pid = int(ran.stdout)
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the process outlived its client")


def test_secrets_of_ours_do_not_reach_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("A_PROVIDER_API_KEY", "secret")
    file = tmp_path / "curious.py"
    file.write_text("import os\nraise ValueError(sorted(k for k in os.environ if 'KEY' in k))\n")
    with Reference.open(file) as reference, pytest.raises(ProblemError, match=r"ValueError: \[\]"):
        reference.load()


def test_the_client_and_the_suite_need_no_torch():
    script = (
        "import sys, kernelwright.problems.reference, kernelwright.problems.suite;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=60).returncode == 0


def test_arrays_cross_in_shared_memory():
    ours, theirs = socket.socketpair()
    arrays = [np.arange(5, dtype="<f8"), np.empty(0, "<f4"), np.arange(7, dtype="u1")]
    fd, offsets = share(arrays)
    with ours, theirs:
        send(ours, {"offsets": offsets}, fd)
        message, got = receive(theirs, 1.0)
    memory = Shared(got)
    os.close(fd)
    os.close(got)
    for array, offset in zip(arrays, message["offsets"], strict=True):
        assert np.array_equal(memory.array(array.dtype, array.size, offset), array)
    with pytest.raises(Closed):
        memory.array(np.dtype("<f8"), 10**6, 0)
    with pytest.raises(Closed):
        memory.array(np.dtype("<f8"), 1, -8)


@pytest.mark.parametrize(
    "sent", [b"\xff\xff\xff\xff", b"\x02\x00\x00\x00[]", b"\x03\x00\x00\x00{]]", b"\x09\x00"]
)
def test_what_is_not_a_frame_is_refused(sent):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(sent)
        ours.shutdown(socket.SHUT_WR)
        with pytest.raises(Closed):
            receive(theirs, 1.0)


def test_waiting_for_a_frame_ends_in_time():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"\x09\x00\x00\x00{")
        with pytest.raises(TimeoutError):
            receive(theirs, 0.05)


def test_a_gpu_gets_the_sizes_for_a_gpu():
    small, large = suite.source("softmax"), suite.source("softmax", sizes="gpu")
    assert "rows = 4096" in large.text
    assert "rows = 4096" not in small.text
    assert len(suite.names()) >= 16
