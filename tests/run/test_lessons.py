"""Which lessons a run uses, and what its sketches make of them."""

import pytest

from kernelwright.core.candidate import Tunable
from kernelwright.core.errors import UsageError
from kernelwright.core.interval import Interval
from kernelwright.core.problem import Source
from kernelwright.core.run import Budget, RunSpec
from kernelwright.generate.looking_up import Task
from kernelwright.knowledge.lessons.folder import write_lesson
from kernelwright.knowledge.lessons.lesson import Change, Evidence, Lesson, Setting, Trial
from kernelwright.knowledge.sketches.drafts import Covered
from kernelwright.languages.cpp import Cpp
from kernelwright.report.result import result_of
from kernelwright.report.sentence import remarks
from kernelwright.report.story import Story
from kernelwright.run import sketching
from kernelwright.run.folder import RunFolder
from kernelwright.run.lessons import lessons_of, not_drawn_from, told_by
from kernelwright.run.optimize import optimize
from kernelwright.store.sql import SqlStore
from kernelwright.testing.equipment import FakeEquip
from kernelwright.testing.evaluators import number_candidate, row_problem

WARPS = Tunable(name="WARPS", choices=(2, 4, 8), default=4)


def lesson(value, low=None, *, problems=("a", "b", "c"), device="d"):
    """One that says WARPS = `value`; tried when there is a `low` end of its interval of 0.2."""
    effect = Interval(mean=low + 0.1, ci_low=low, ci_high=low + 0.2) if low else None
    trial = Trial(
        strategy="refine", budget=Budget(), seeds=1, problems=problems, where="here",
        in_hand=effect, final=None, command="again",
    )  # fmt: skip
    return Lesson(
        language="cpp",
        device=device,
        advice=Setting(sketch="s", settings={"WARPS": value}),
        evidence=(),
        trial=trial if low else None,
    )


def test_only_what_is_proven_is_used(tmp_path):
    for each in (
        lesson(2), lesson(8, 1.01), lesson(4, 0.95), lesson(16, 0.7),
        lesson(32, 1.5, problems=("a", "b")),
    ):  # fmt: skip
        write_lesson(tmp_path, each)
    spec = RunSpec(problem="p.py", lessons=(str(tmp_path),))
    theirs = [one for one in lessons_of(spec) if "WARPS" in one.claim]
    assert theirs == [lesson(8, 1.01)]
    assert lessons_of(spec.model_copy(update={"use_lessons": False})) == []


def test_a_folder_of_lessons_that_is_not_there_is_a_sentence():
    with pytest.raises(UsageError, match="There is no folder nowhere"):
        lessons_of(RunSpec(problem="p.py", lessons=("nowhere",)))


def test_sketches_begin_as_lessons_for_their_device_say(monkeypatch):
    draft = number_candidate(1.0, tunables=(WARPS,))
    covered = Covered(candidates=(draft,), sketches=("s",))
    monkeypatch.setattr(sketching, "drafts", lambda problem, graph, language: covered)
    known = [lesson(8, 1.1), lesson(2, 1.3, device="another")]
    found = sketching.Sketches(row_problem(), dict, "d", known)
    assert [c.values["WARPS"] for c in found("cpp").candidates] == [8, 4]
    assert found("cpp") is found("cpp")
    assert found.heeded == (known[0],)
    elsewhere = sketching.Sketches(row_problem(), dict, "a third", known)
    assert elsewhere("cpp") == covered
    assert elsewhere.heeded == ()


def test_what_writers_made_use_of_is_in_the_log_and_in_the_report(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = RunSpec(
        problem="rows.py", languages=("cpp",), writers=("sketch",), budget=Budget(max_attempts=2)
    )
    known = lesson(8, 1.1)
    result = optimize(spec, equip=FakeEquip(heeded=(known, known)))
    assert [one.name for one in result.state.lessons] == [known.name]
    folder = RunFolder.existing(result.folder.path)
    with SqlStore.open(folder.log_path, folder.name, writable=False) as store:
        said = remarks(result_of(Story.of(store.records()), path=None))
    (line,) = [one for one in said if "lesson" in one]
    assert known.claim in line
    assert "1.20 (1.10 to 1.30) times as fast" in line
    assert optimize(spec, equip=FakeEquip()).state.lessons == ()


def evidence(problem, reference):
    return Evidence(
        source="p", problem=problem, reference=reference, slow="x", fast="y", ratio=None
    )


def test_a_lesson_from_the_problem_or_nearly_it_is_left_out():
    text = "def forward(self, x):\n    return torch.softmax(x * self.scale, dim=-1) + self.bias\n"
    other = "def forward(self, x):\n    return self.linear(x.mean(1)).relu().cumsum(-1).flip(0)\n"
    problem = row_problem().model_copy(
        update={"reference": Source(files={"m.py": text}, entry_point="m.py::Model")}
    )
    known = [
        lesson(2).model_copy(update={"evidence": (evidence(*found),)})
        for found in (
            ("rows", other),
            ("elsewhere", text.replace("x * self.scale", "value * self.factor")),
            ("elsewhere", other),
        )
    ]
    assert not_drawn_from(problem, known) == [known[2]]


def test_a_model_is_told_of_lessons_for_its_language_and_device_with_their_effect():
    change = Change(action="tile", bottleneck="memory_bound", diff="-slow\n+fast")
    known = [
        lesson(8, 1.1).model_copy(update={"advice": change}),
        lesson(8, 1.1, device="another"),
        lesson(2, 1.1).model_copy(update={"language": "triton"}),
    ]
    task = Task(problem=row_problem(), language=Cpp())
    (passage,) = told_by(known, "d")(task)
    assert "the action 'tile' made a kernel faster that was memory bound" in passage.text
    assert "over 3 other problems, what was in hand was 1.20 (1.10 to 1.30) times" in passage.text
    assert passage.text.endswith("-slow\n+fast")
    assert list(told_by(known, None)(task)) == []
