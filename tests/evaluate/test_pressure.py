"""Rounds on a busy machine are left out, and where all are busy it is said."""

from kernelwright.evaluate.running import pressure
from kernelwright.evaluate.running.pressure import disturbed, patiently, waited_us
from kernelwright.evaluate.timing import rounds as timing_rounds
from kernelwright.evaluate.timing.rounds import Precision, Rounds

PRECISION = Precision(least=3, most=5, half_width=0.01, limit_s=60.0)


def rounds(*quiet):
    made = Rounds(("candidate", "eager"), PRECISION)
    for was in quiet:
        made.add({}, quiet=was)
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
    monkeypatch.setattr(timing_rounds.time, "monotonic", lambda: late._deadline + 1)
    assert late.over


class Slow:
    """Something that answers at the nth time of asking."""

    def __init__(self, at: int) -> None:
        self.at, self.asked = at, 0

    def __call__(self, limit_s: float) -> str | None:
        self.asked += 1
        return "answer" if self.asked == self.at else None


def test_on_a_busy_machine_an_answer_is_waited_for_four_times_as_long():
    assert patiently(Slow(4), 1.0, busy=lambda: True) == "answer"
    never = Slow(0)
    assert patiently(never, 1.0, busy=lambda: True) is None
    assert never.asked == 4


def test_on_a_quiet_machine_a_limit_is_a_limit():
    late = Slow(2)
    assert patiently(late, 1.0, busy=lambda: False) is None
    assert late.asked == 1


def test_an_answer_in_time_is_taken_without_a_look_at_the_machine():
    def never_asked() -> bool:
        raise AssertionError("looked at the machine")

    assert patiently(Slow(1), 1.0, busy=never_asked) == "answer"
