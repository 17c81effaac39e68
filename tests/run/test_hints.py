"""Hints in the run's folder reach the writers that read them, and nothing else changes by them."""

import os

import pytest

from kernelwright.core.run import Budget, RunSpec
from kernelwright.run.hints import MAX_BYTES, Told, read_hints
from kernelwright.run.optimize import optimize, resume
from kernelwright.testing.equipment import FakeEquip
from kernelwright.testing.evaluators import NumberWriter


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hints.md"


@pytest.mark.parametrize("content", [None, b"", b" \n\n", b"\xef\xbb\xbf\n"])
def test_a_missing_or_blank_file_tells_nothing(path, content):
    if content is not None:
        path.write_bytes(content)
    assert read_hints(path) == Told()


def test_the_whole_text_is_one_hint(path):
    path.write_text("\n- Rows are short.\n- Fuse «both» loops.\n\n    code\n", encoding="utf-8")
    assert read_hints(path).hints == ("- Rows are short.\n- Fuse «both» loops.\n\n    code",)


def test_a_text_of_the_longest_length_is_read_and_a_longer_one_is_not(path):
    path.write_text("x" * MAX_BYTES)
    assert read_hints(path).hints == ("x" * MAX_BYTES,)
    path.write_text("é" * MAX_BYTES)
    told = read_hints(path)
    assert told.hints == ()
    assert "longer than 16,000 bytes" in told.problem


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.mkdir(), "is no file"),
        (os.mkfifo, "is no file"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "not UTF-8"),
        (lambda path: path.symlink_to(path), "cannot be read"),
    ],
    ids=["folder", "pipe", "bytes", "loop"],
)
def test_what_cannot_be_read_is_said(path, make, said):
    make(path)
    told = read_hints(path)
    assert told.hints == ()
    assert said in told.problem


def spec(**changes):
    values = {"writers": ("sketch",), "budget": Budget(max_attempts=4), **changes}
    return RunSpec(problem="rows.py", languages=("cpp",), **values)


def hints_of(result):
    return [step.plan.hints for _, step in sorted(result.state.steps.items())]


def test_hints_are_part_of_the_plans_of_a_writer_that_reads_them(path):
    path.write_text("Rows are short.\n")
    writer = NumberWriter(drafts=9, reads_hints=True)
    result = optimize(spec(), folder=path.parent, equip=FakeEquip(writer=writer))
    assert hints_of(result) == [("Rows are short.",)] * 4
    assert [plan.hints for plan in writer.asked] == [("Rows are short.",)] * 4


def test_they_are_read_before_each_plan(path):
    def write(event):
        if event.kind == "evaluation":
            path.write_text(f"after {event.data['step']}")

    equip = FakeEquip(writer=NumberWriter(drafts=9, reads_hints=True))
    result = optimize(spec(), folder=path.parent, equip=equip, observer=write)
    assert hints_of(result) == [(), ("after 1",), ("after 2",), ("after 3",)]


def test_a_resumed_run_reads_them_again(path):
    equip = FakeEquip(writer=NumberWriter(drafts=9, reads_hints=True))

    def cut_off(event):
        if event.kind == "evaluation" and event.data["step"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        optimize(spec(), folder=path.parent, equip=equip, observer=cut_off)
    path.write_text("Later.")
    assert hints_of(resume(path.parent, equip=equip)) == [(), (), ("Later.",), ("Later.",)]


def test_a_writer_that_does_not_read_them_is_given_none_and_the_file_is_not_touched(path):
    os.mkfifo(path)
    result = optimize(spec(), folder=path.parent, equip=FakeEquip())
    assert set(hints_of(result)) == {()}
    assert result.state.faults == ()


def test_a_file_that_cannot_be_read_is_one_fault_and_the_run_goes_on(path):
    path.write_bytes(b"\xff")
    equip = FakeEquip(writer=NumberWriter(drafts=9, reads_hints=True))
    result = optimize(spec(), folder=path.parent, equip=equip)
    assert [fault.message for fault in result.state.faults] == [
        f"{path} is not UTF-8 text, so no hints are read from it."
    ]
    assert len(result.state.steps) == 4
    assert result.outcome == "faster"
