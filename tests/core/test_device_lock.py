"""The lock of a card: many side by side or one alone, across threads and processes."""

import contextlib
import subprocess
import sys
import threading
import time

import pytest

from kernelwright.core.device_lock import DeviceLock

OTHER = """
import sys, time
from pathlib import Path
from kernelwright.core.device_lock import DeviceLock
with getattr(DeviceLock(Path(sys.argv[1])), sys.argv[2])():
    print("in", flush=True)
    sys.stdin.readline()
"""


class Other:
    """Another process that wants the lock of `file`, in common or alone."""

    def __init__(self, file, how):
        self.process = subprocess.Popen(
            [sys.executable, "-c", OTHER, str(file), how],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.inside = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        if self.process.stdout.readline():
            self.inside.set()

    def leave(self):
        self.process.communicate("\n", timeout=20)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "lock"


def test_processes_hold_it_in_common(file):
    with DeviceLock(file).shared():
        other = Other(file, "shared")
        assert other.inside.wait(20)
        other.leave()


@pytest.mark.parametrize(("ours", "theirs"), [("shared", "alone"), ("alone", "shared"),
                                              ("alone", "alone")])  # fmt: skip
def test_one_alone_waits_for_the_others_and_they_for_it(file, ours, theirs):
    with getattr(DeviceLock(file), ours)():
        other = Other(file, theirs)
        assert not other.inside.wait(1.5)
    assert other.inside.wait(20)
    other.leave()


def test_what_a_measurement_does_on_the_way_may_ask_for_the_card(file):
    lock = DeviceLock(file)
    with lock.alone(), lock.shared():
        other = Other(file, "shared")
        assert not other.inside.wait(1.5)
    assert other.inside.wait(20)
    other.leave()


def test_another_thread_waits_like_another_process(file):
    lock, inside = DeviceLock(file), threading.Event()

    def asks():
        with lock.shared():
            inside.set()

    thread = threading.Thread(target=asks)
    with lock.alone():
        thread.start()
        assert not inside.wait(0.5)
    assert inside.wait(20)
    thread.join()


def test_who_waits_to_be_alone_is_not_overtaken_for_ever(file):
    held = DeviceLock(file)
    late = threading.Event()

    def comes_later():
        with DeviceLock(file).shared():
            late.set()

    with held.shared():
        other = Other(file, "alone")
        time.sleep(1.5)  # it stands in the door by now
        thread = threading.Thread(target=comes_later)
        thread.start()
        assert not late.wait(0.5)
    assert other.inside.wait(20)
    assert not late.is_set()
    other.leave()
    thread.join()


def test_a_process_that_dies_lets_go(file):
    other = Other(file, "alone")
    assert other.inside.wait(20)
    other.process.kill()
    other.process.communicate()
    with DeviceLock(file).shared():
        pass


def test_who_verifies_for_long_gives_way_to_who_measures(file):
    lock = DeviceLock(file)
    with lock.shared():
        assert not lock.give_way()  # nobody waits
        other = Other(file, "alone")
        assert not other.inside.wait(1.5)
        threading.Thread(target=lambda: other.inside.wait(20) and other.leave()).start()
        assert lock.give_way()
        assert other.inside.is_set()
        other.process.wait(20)
        late = Other(file, "alone")
        assert not late.inside.wait(1.5)  # it is held again
    assert late.inside.wait(20)
    late.leave()


def test_asking_again_for_the_card_on_the_way_gives_way(file):
    lock = DeviceLock(file)
    with lock.shared():
        other = Other(file, "alone")
        assert not other.inside.wait(1.5)
        threading.Thread(target=lambda: other.inside.wait(20) and other.leave()).start()
        with lock.shared():
            assert other.inside.is_set()


def test_a_process_gives_way_once_all_its_threads_do(file):
    lock, enough = DeviceLock(file), threading.Event()

    def computes():
        with lock.shared():
            enough.wait(20)

    with lock.shared():
        thread = threading.Thread(target=computes)
        thread.start()
        other = Other(file, "alone")
        time.sleep(1.5)
        threading.Thread(target=lambda: other.inside.wait(20) and other.leave()).start()
        threading.Timer(1.0, enough.set).start()
        assert lock.give_way()
        assert enough.is_set()
        assert other.inside.is_set()
        thread.join()


def test_a_thread_comes_in_behind_who_waits_though_its_process_has_the_card(file):
    lock, late = DeviceLock(file), threading.Event()

    def comes_later():
        with lock.shared():
            late.set()

    thread = threading.Thread(target=comes_later)
    with lock.shared():
        other = Other(file, "alone")
        time.sleep(1.5)
        thread.start()
        assert not late.wait(0.5)
    assert other.inside.wait(20)
    assert not late.is_set()
    other.leave()
    thread.join()
    assert late.is_set()


def test_a_thread_that_waits_to_be_alone_is_given_way_to(file):
    lock, alone = DeviceLock(file), threading.Event()

    def measures():
        with lock.alone():
            alone.set()

    thread = threading.Thread(target=measures)
    with lock.shared():
        assert not lock.give_way()
        thread.start()
        while not lock.give_way():
            time.sleep(0.01)
        assert alone.is_set()
    thread.join()


def test_what_still_runs_is_stopped_while_others_measure(file):
    lock, seen = DeviceLock(file), []

    @contextlib.contextmanager
    def still():
        seen.append(other.inside.is_set())
        yield
        seen.append(other.inside.is_set())

    with lock.shared():
        assert not lock.give_way(still)
        assert not seen
        other = Other(file, "alone")
        time.sleep(1.5)
        threading.Thread(target=lambda: other.inside.wait(20) and other.leave()).start()
        assert lock.give_way(still)
    assert seen == [False, True]


def test_who_holds_nothing_has_no_way_to_give(file):
    lock = DeviceLock(file)
    other = Other(file, "alone")
    assert other.inside.wait(20)
    assert not lock.give_way()
    other.leave()
