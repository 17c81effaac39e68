"""Rounds on a busy machine are left out, and where all are busy it is said."""

from kernelwright.evaluate import pressure, timing
from kernelwright.evaluate.pressure import disturbed, waited_us
from kernelwright.evaluate.timing import Precision, _Rounds

PRECISION = Precision(least=3, most=5, half_width=0.01, limit_s=60.0)


def rounds(*quiet):
    made = _Rounds(("candidate", "eager"), PRECISION)
    made.quiet = list(quiet)
    return made


def test_waiting_beyond_a_small_share_disturbs():
    assert disturbed(1_000, 1_000 + 200_000, elapsed_s=1.0)
    assert not disturbed(1_000, 1_000 + 100_000, elapsed_s=1.0)


def test_a_kernel_that_does_not_count_disturbs_nobody(tmp_path, monkeypatch):
    monkeypatch.setattr(pressure, "_FILE", tmp_path / "none")
    assert waited_us() is None
    assert not disturbed(None, None, elapsed_s=1.0)


def test_the_count_of_the_kernel_is_read(tmp_path, monkeypatch):
    file = tmp_path / "cpu"
    file.write_text("some avg10=0.00 avg60=0.00 avg300=0.00 total=1234\nfull avg10=0.00 total=9\n")
    monkeypatch.setattr(pressure, "_FILE", file)
    assert waited_us() == 1234


def test_busy_rounds_are_left_out_when_enough_are_quiet():
    assert rounds(True, False, True, True).kept == [0, 2, 3]


def test_all_rounds_count_where_too_few_were_quiet():
    assert rounds(True, False, False, True).kept == [0, 1, 2, 3]


def test_busy_rounds_do_not_use_up_the_rounds_that_may_be_made():
    assert not rounds(True, True, True, False, False).over
    assert rounds(*[True] * 5).over


def test_a_machine_that_is_never_quiet_ends_it_all_the_same(monkeypatch):
    assert rounds(*[False] * 10).over
    late = rounds(False, False, False)
    monkeypatch.setattr(timing.time, "monotonic", lambda: late._deadline + 1)
    assert late.over
