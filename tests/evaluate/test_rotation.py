"""Rotation: no case lives long enough to be learnt, and nobody waits for the new ones."""

import threading
import time

import numpy as np
import pytest

from kernelwright.core.errors import WorkerError
from kernelwright.evaluate.building.gate import Gate
from kernelwright.evaluate.correctness.exam import Exam
from kernelwright.evaluate.defences import ALL_ON
from kernelwright.evaluate.rotation import Rotation


class Oracle:
    """Counts the cases that it works out, and holds them back while `held`."""

    def __init__(self):
        self.asked = 0
        self.held = threading.Event()
        self.held.set()

    def case(self, workload, distribution, seed, *, weights_seed=None):
        assert self.held.wait(10)
        self.asked += 1
        return (workload, seed)


class Drawer:
    """What is drawn for: five cases at a time."""

    def __init__(self):
        self.placed = 0

    def redrawn(self, reference):
        for _ in range(5):
            reference.case(None, "file", 1)
        return self.put

    def put(self):
        self.placed += 1


def ready(rotation):
    rotation._thread.join(10)


@pytest.fixture
def oracle():
    return Oracle()


def test_after_so_many_verdicts_new_cases_are_put_in_place_between_two(oracle):
    drawer = Drawer()
    rotation = Rotation(oracle, [drawer.redrawn], every=3, gate=Gate(1))
    for _ in range(2):
        rotation.count()
        assert not rotation.swap()
    oracle.held.clear()
    rotation.count()
    rotation.count()
    # They are being drawn; the judge goes on with those it has.
    assert not rotation.swap()
    oracle.held.set()
    ready(rotation)
    assert drawer.placed == 0
    assert rotation.swap()
    assert not rotation.swap()
    assert (drawer.placed, oracle.asked) == (1, 5)


def test_large_cases_are_drawn_anew_in_every_fourth_rotation(oracle):
    small, large = Drawer(), Drawer()
    rotation = Rotation(oracle, [small.redrawn, large.redrawn], every=1, gate=Gate(1))
    for _ in range(8):
        rotation.count()
        ready(rotation)
        assert rotation.swap()
    assert (small.placed, large.placed) == (8, 2)


def test_no_case_is_worked_out_while_something_is_timed(oracle):
    gate = Gate(1)
    rotation = Rotation(oracle, [Drawer().redrawn], every=1, gate=gate)
    with gate.quiet():
        rotation.count()
        time.sleep(0.1)
        assert oracle.asked == 0
    ready(rotation)
    assert oracle.asked == 5


def test_what_cannot_be_drawn_leaves_the_old_cases_and_is_tried_again(oracle, caplog):
    drawer, broken = Drawer(), [WorkerError("The reference broke.")]

    def drawing(reference):
        if broken:
            raise broken.pop()
        return drawer.redrawn(reference)

    rotation = Rotation(oracle, [drawing], every=1, gate=Gate(1))
    rotation.count()
    ready(rotation)
    assert not rotation.swap()
    assert "the old ones stay" in caplog.text
    rotation.count()
    ready(rotation)
    assert rotation.swap()


def test_closing_ends_the_drawing_and_lets_go_of_what_was_drawn(oracle):
    drawer = Drawer()
    rotation = Rotation(oracle, [drawer.redrawn], every=1, gate=Gate(1))
    oracle.held.clear()
    rotation.count()
    time.sleep(0.05)
    threading.Timer(0.1, oracle.held.set).start()
    rotation.close()
    assert oracle.asked == 1
    assert drawer.placed == 0


def test_an_exam_has_other_cases_after_it_and_the_same_until_then(problem, reference):
    exam = Exam(problem, reference, ALL_ON)
    with exam.lend("screen", "native") as before:
        values = [dict(case.inputs) for _, case in before.cases]
    put = exam.redrawn(reference)
    with exam.lend("screen", "native") as still:
        assert still is before
        put()
        assert still.cases[0][1].inputs  # who has it may go on with it
    with exam.lend("screen", "native") as after:
        assert after is not before
    assert len(after.cases) == len(values)
    for (_, case), old in zip(after.cases, values, strict=True):
        for name, array in case.inputs.items():
            assert not np.array_equal(array, old[name])
    exam.close()
