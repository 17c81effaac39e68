"""Which judge a run gets: its own, or one on each of several GPUs."""

import contextlib

import pytest

from kernelwright.core.cards import Card
from kernelwright.core.run import RunSpec
from kernelwright.run import equipment
from kernelwright.testing.evaluators import row_problem


@pytest.fixture
def judging(monkeypatch):
    """What a run of this width, device and number of cards is judged by, and how it was opened."""

    def opened(kind):
        @contextlib.contextmanager
        def judge(*given, **named):
            yield kind, named

        return judge

    def asked(*, width, device, cards):
        monkeypatch.setattr(equipment, "device_of", lambda spec: device)
        monkeypatch.setattr(
            equipment, "visible_cards", lambda: [Card(str(n), None) for n in range(cards)]
        )
        monkeypatch.setattr(equipment, "Judge", opened("one"))
        monkeypatch.setattr(equipment, "open_judges", opened("several"))
        spec = RunSpec(problem="p.py", width=width, require_isolation="landlock+seccomp")
        with equipment._judging(spec, "p.py", row_problem(), None) as found:
            return found

    return asked


@pytest.mark.parametrize(
    ("width", "device", "cards"), [(1, "cuda", 8), (8, "cuda", 1), (8, "cpu", 8)]
)
def test_one_judge_is_enough_for_one_attempt_or_one_device(judging, width, device, cards):
    kind, given = judging(width=width, device=device, cards=cards)
    assert (kind, given["device"]) == ("one", device)


def test_attempts_that_go_on_at_once_are_judged_on_as_many_gpus(judging):
    kind, given = judging(width=3, device="cuda", cards=8)
    assert kind == "several"
    assert (given["most"], given["known"]) == (3, row_problem())
    assert given["direction"] == row_problem().direction
    assert given["require_isolation"] == "landlock+seccomp"
