"""A GPU is probed after a candidate ended badly, and one that fails is not used again."""

import threading
import time

import pytest

from kernelwright.core.errors import DeviceFull, DeviceLost, SandboxError
from kernelwright.core.evaluation import (
    BuildFailed,
    Crashed,
    Evaluation,
    Fault,
    Passed,
    Rejected,
    TimedOut,
    WrongResult,
)
from kernelwright.evaluate.batch import judge_many
from kernelwright.evaluate.health import CHECKED, Health, Ill, Well, is_suspicious, probe
from kernelwright.evaluate.places import Places

CRASHED = Crashed(stage="core", signal="CUDA_ERROR_ILLEGAL_ADDRESS", detail="")


@pytest.fixture
def device(driver, monkeypatch, tmp_path):
    """Breaks the device that stands in for one, in a way that its driver knows."""
    monkeypatch.setenv("LD_LIBRARY_PATH", str(driver))
    monkeypatch.setenv("FAKE_DEVICE", str(tmp_path))

    def broken(how):
        monkeypatch.setenv("FAKE_DEVICE_BROKEN", how)

    return broken


def test_a_device_that_works_is_well_and_says_how_long_it_took(device):
    found = probe()
    assert isinstance(found, Well)
    assert 0 <= found.context_ms < 15_000
    assert 0 < found.work_ms < 15_000
    assert (found.free_bytes, found.total_bytes) == (3 << 30, 4 << 30)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("context", "cuDevicePrimaryCtxRetain: FAKE_ERROR (999)"),
        ("mark", "mark: word 2097152 is"),
        ("turn", "turn: word 2097152 is"),
    ],
)
def test_what_is_wrong_with_a_device_is_told(device, how, said):
    device(how)
    found = probe()
    assert isinstance(found, Ill)
    assert said in found.why


def test_a_device_that_never_answers_is_given_up(device):
    device("hangs")
    started = time.monotonic()
    assert probe(limit_s=0.5) == Ill("a probe of it did not end within 0.5 s")
    assert time.monotonic() - started < 5


def test_without_a_driver_nothing_is_well(monkeypatch, tmp_path):
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    assert isinstance(probe(), Ill)


@pytest.mark.parametrize(
    ("outcome", "suspicious"),
    [
        (CRASHED, True),
        (Crashed(stage="load", signal="SIGSEGV", detail=""), True),
        (Crashed(stage="core", signal=None, detail="It raised.\nAcceleratorError: CUDA"), True),
        (Crashed(stage="core", signal=None, detail="It raised.\nValueError: no"), False),
        (TimedOut(stage="screen", limit_s=5.0), True),
        (TimedOut(stage="build", limit_s=60.0), False),
        (Rejected(rule="does_not_stop", evidence=""), True),
        (Rejected(rule="wrong_shape", evidence=""), False),
        (BuildFailed(diagnostics=""), False),
        (Passed(agreements=()), False),
    ],
)
def test_the_device_is_doubted_after_what_it_may_have_suffered_from(outcome, suspicious):
    assert is_suspicious(outcome) is suspicious


def well(free_gib=70):
    return Well(100.0, 5.0, free_gib << 30, 80 << 30)


class Probes:
    """Probes that find what they are told to find, one after the other."""

    def __init__(self, *found):
        self.found, self.begun, self.hold = list(found), 0, None

    def __call__(self):
        self.begun += 1
        if self.hold is not None:
            self.hold.wait(5)
        return self.found.pop(0) if self.found else well()


def health(probes, **given):
    return Health(Places(2), probes, **{"pause_s": 0.0, "rest_s": 0.0} | given)


def test_one_that_ended_well_costs_no_probe():
    probes = Probes()
    assert health(probes).after(Passed(agreements=())) is None
    assert probes.begun == 0


def test_a_probe_that_fails_once_may_have_met_a_neighbour():
    probes = Probes(Ill("no memory"))
    assert health(probes).after(CRASHED) is not None
    assert probes.begun == 2


def test_a_device_that_fails_twice_is_lost_and_the_user_is_told_what_to_do():
    probes = Probes(Ill("it hangs"), Ill("it hangs"))
    with pytest.raises(DeviceLost, match=r"it hangs.*nvidia-smi.*Xid.*dmesg.*reset"):
        health(probes).after(CRASHED)


FULL = Ill("a probe of it failed (cuDevicePrimaryCtxRetain: CUDA_ERROR_OUT_OF_MEMORY (2))")


def test_memory_that_others_have_is_waited_for():
    probes = Probes(*[FULL] * 4)
    assert health(probes).after(CRASHED) is not None
    assert probes.begun == 5


def test_a_device_that_stays_full_is_not_called_broken_and_is_asked_again_at_once():
    probes = Probes(*[FULL] * 2)
    checked = health(probes, patience_s=0.0)
    with pytest.raises(DeviceFull, match=r"no memory left.*nvidia-smi.*fewer") as full:
        checked.after(CRASHED)
    assert "reset" not in str(full.value)
    checked.require()
    assert checked.after(CRASHED) is not None


NO_MEMORY = (
    Crashed(stage="load", signal=None, detail="It could not be loaded.\nCUDA error: out of memory"),
    Crashed(stage="core", signal="CUDA_ERROR_OUT_OF_MEMORY", detail=""),
)


@pytest.mark.parametrize("outcome", NO_MEMORY)
def test_who_finds_no_memory_where_others_have_it_is_not_to_blame(outcome):
    with pytest.raises(DeviceFull, match=r"6144 of 81920 MiB.*nvidia-smi.*fewer"):
        health(Probes(well(free_gib=6))).after(outcome)


@pytest.mark.parametrize("outcome", NO_MEMORY)
def test_who_finds_no_memory_where_there_was_some_asked_for_too_much(outcome):
    assert health(Probes(well(free_gib=11))).after(outcome) is not None


def test_a_full_device_excuses_nothing_but_a_lack_of_memory():
    assert health(Probes(well(free_gib=1))).after(CRASHED) is not None


def test_a_lost_device_is_not_used_until_a_probe_passes():
    probes = Probes(*[Ill("it hangs")] * 3)
    found = health(probes)
    with pytest.raises(DeviceLost):
        found.after(CRASHED)
    with pytest.raises(DeviceLost):
        found.require()
    found.require()
    assert probes.begun == 4
    found.require()
    assert probes.begun == 4


def test_what_had_contexts_on_a_lost_device_is_ended_when_it_is_there_again():
    renewed = []
    probes = Probes(*[Ill("it hangs")] * 2)
    found = health(probes, renew=lambda: renewed.append(probes.begun))
    with pytest.raises(DeviceLost):
        found.after(CRASHED)
    assert not renewed
    found.require()
    found.after(CRASHED)
    assert renewed == [3]


@pytest.mark.slow  # the baselines compile anew
def test_a_judge_goes_on_with_new_processes(judge, cpp, silu):
    def ours(text):
        return judge.judge(cpp(f"// goes on {text}\n{silu}"), "search").outcome

    assert isinstance(ours("before"), Passed)
    before = judge._reference.pid
    judge._renew()
    assert isinstance(ours("after"), Passed)
    assert judge._reference.pid != before


def test_a_lost_device_is_left_alone_for_a_while():
    probes = Probes(*[Ill("it hangs")] * 2)
    found = health(probes, rest_s=60.0)
    with pytest.raises(DeviceLost):
        found.after(CRASHED)
    with pytest.raises(DeviceLost):
        found.require()
    assert probes.begun == 2


def test_a_failure_of_ours_is_the_devices_where_the_device_is_lost():
    fault = SandboxError("The keeper broke.")
    health(Probes()).after_fault(fault)
    with pytest.raises(DeviceLost) as raised:
        health(Probes(Ill(""), Ill(""))).after_fault(fault)
    assert raised.value.__cause__ is fault


def test_who_ends_badly_while_a_probe_runs_shares_the_next():
    probes = Probes()
    probes.hold = threading.Event()
    found = health(probes)
    threads = [threading.Thread(target=found.after, args=(CRASHED,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    while probes.begun == 0:
        time.sleep(0.01)
    time.sleep(0.2)
    probes.hold.set()
    for thread in threads:
        thread.join()
    assert probes.begun == 2


@pytest.fixture
def ill_judge(judge, monkeypatch):
    """From what probes find to the judge that has them, as on a GPU."""

    def with_probes(probes):
        monkeypatch.setattr(judge, "_health", health(probes, rest_s=60.0))
        return judge

    return with_probes


CRASHES = """
extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t columns) {
    *(volatile int*)8 = 1;
}
"""


def test_a_candidate_that_broke_nothing_else_is_charged_and_the_probe_is_told(ill_judge, cpp):
    evaluation = ill_judge(Probes()).judge(cpp(f"// charged{CRASHES}"), "search")
    assert isinstance(evaluation.outcome, Crashed)
    assert {one.name: one.count for one in evaluation.checks}[CHECKED] == 1
    assert evaluation.stage_s["health"] >= 0


def test_nobody_is_charged_for_a_lost_device(ill_judge, cpp, silu):
    # Texts of their own, since verdicts are remembered.
    wrong, crashes, right = (
        cpp(f"// a lost device\n{text}") for text in (silu.replace("0.5f", "0.6f"), CRASHES, silu)
    )
    judge = ill_judge(Probes(Ill("it hangs"), Ill("it hangs")))
    # One after the other: of several, the one whose build is over first is judged first.
    found = [dict(judge_many(judge, [one], "search"))[0] for one in (wrong, crashes, wrong, right)]
    assert isinstance(found[0], Evaluation)
    assert isinstance(found[0].outcome, WrongResult)
    assert isinstance(found[1], Fault)
    assert (found[1].where, found[1].retryable) == ("device", True)
    assert found[2].not_checked[0].startswith("anything, this time")
    assert isinstance(found[3], Fault)
    assert found[3].where == "device"


def test_a_judge_for_a_cpu_probes_nothing(judge, cpp, monkeypatch):
    def probed(*_):
        raise AssertionError("a GPU was looked for")

    monkeypatch.setattr(Health, "after", probed)
    assert isinstance(judge.judge(cpp(f"// on a CPU{CRASHES}"), "search").outcome, Crashed)
