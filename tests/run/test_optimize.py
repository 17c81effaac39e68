"""The whole job over fakes: it writes a run that can be read, resumed and trusted."""

import asyncio
import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from kernelwright.core.errors import ProblemError, StoreError, UnknownName, UsageError, WorkerError
from kernelwright.core.evaluation import Passed
from kernelwright.core.run import Budget, RunSpec
from kernelwright.knowledge.actions import ACTIONS
from kernelwright.knowledge.sketches import Covered, NotCovered
from kernelwright.run import equipment, sketching
from kernelwright.run.folder import RunFolder
from kernelwright.run.optimize import optimize, resume
from kernelwright.run.spec import load_spec
from kernelwright.store.fold import fold
from kernelwright.store.sql import FILE_NAME, SqlStore
from kernelwright.testing.equipment import FakeEquip
from kernelwright.testing.evaluators import (
    NumberWriter,
    ScriptedEvaluator,
    number_candidate,
    passed,
    row_problem,
)


def spec(**changes):
    values = {"budget": Budget(max_attempts=6), **changes}
    return RunSpec(problem="rows.py", languages=("cpp",), **values)


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def log_of(folder):
    with SqlStore.open(folder / FILE_NAME, "r", writable=False) as store:
        return list(store.records())


def test_a_run_finds_the_best_and_promotes_it():
    equip = FakeEquip()
    result = optimize(spec(), equip=equip)
    assert result.outcome == "faster"
    assert result.best.number == result.state.history.best.step
    assert result.evaluation.effort == "promotion"
    assert [p.read_text() for p in result.delivered] == [result.best.candidate.source.text]
    assert equip.closed == 1


def test_the_folder_holds_the_log_and_the_settings():
    result = optimize(spec(seed=5, budget=Budget(max_attempts=3)), equip=FakeEquip())
    folder = result.folder.path
    assert folder == Path("runs/rows-1")
    assert load_spec(folder / "spec.toml") == result.state.spec
    assert fold(log_of(folder)) == result.state
    assert log_of(folder)[0].kind == "started"
    assert log_of(folder)[-1].data == {
        "reason": "the budget of 3 attempts is used up",
        "step": result.best.number,
    }


def test_runs_have_folders_of_their_own():
    names = [optimize(spec(), equip=FakeEquip()).folder.name for _ in range(2)]
    assert names == ["rows-1", "rows-2"]


def test_a_folder_with_a_run_is_never_written_over():
    optimize(spec(), folder=Path("mine"), equip=FakeEquip())
    before = log_of(Path("mine"))
    with pytest.raises(UsageError, match="already holds a run"):
        optimize(spec(), folder=Path("mine"), equip=FakeEquip())
    assert log_of(Path("mine")) == before


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="is not empty"):
        optimize(spec(), folder=Path("mine"), equip=FakeEquip())


def test_every_event_is_seen_as_it_is_written():
    seen = []
    result = optimize(spec(), equip=FakeEquip(), observer=seen.append)
    assert seen == log_of(result.folder.path)


def test_what_is_not_faster_is_said_not_to_be():
    class Slow(ScriptedEvaluator):
        async def evaluate(self, candidate, effort):
            self.outcome_of = lambda _: passed(0.9)
            return await super().evaluate(candidate, effort)

    result = optimize(spec(), equip=FakeEquip(evaluator=Slow()))
    assert result.outcome == "nothing_better"
    assert result.delivered


def test_a_run_in_which_nothing_passed_delivers_nothing():
    result = optimize(spec(), equip=FakeEquip(writer=NumberWriter(broken=1)))
    assert (result.outcome, result.best, result.delivered) == ("nothing_passed", None, ())
    assert result.state.finish.reason == "nothing is left to try"


def test_what_could_not_be_timed_is_delivered_and_said_not_to_be_timed():
    untimed = passed(1.0).model_copy(update={"measurements": ()})
    evaluator = ScriptedEvaluator(outcome_of=lambda candidate: untimed)
    result = optimize(spec(), equip=FakeEquip(evaluator=evaluator))
    assert result.outcome == "not_timed"
    assert isinstance(result.evaluation.outcome, Passed)


def test_a_problem_that_cannot_be_one_leaves_no_folder():
    class Refusing(FakeEquip):
        def __call__(self, spec, origin, known):
            raise ProblemError("rows.py has no Model.")

    with pytest.raises(ProblemError):
        optimize(spec(), equip=Refusing())
    assert not Path("runs").exists()


def test_settings_are_checked_before_anything_is_opened():
    equip = FakeEquip()
    with pytest.raises(UnknownName, match="'refine'"):
        optimize(spec(strategy="refin"), equip=equip)
    assert equip.opened == []


def test_a_run_that_ended_is_only_delivered_again():
    equip = FakeEquip()
    first = optimize(spec(), equip=equip)
    first.delivered[0].unlink()
    equip.evaluator.asked.clear()
    again = resume(first.folder.path, equip=equip)
    assert equip.evaluator.asked == []
    assert again.state.steps == first.state.steps
    assert again.best == first.best
    assert again.delivered[0].exists()


def test_a_run_is_resumed_with_the_reference_of_its_log_and_not_the_file():
    equip = FakeEquip()
    first = optimize(spec(), equip=equip)
    resume(first.folder.path, equip=equip)
    assert equip.opened == ["rows.py", first.state.problem.reference]


def test_a_run_can_be_moved_and_resumed(tmp_path):
    first = optimize(spec(), equip=FakeEquip())
    moved = tmp_path / "elsewhere"
    first.folder.path.rename(moved)
    assert resume(moved, equip=FakeEquip()).state.steps == first.state.steps


def test_resuming_what_is_not_there_says_so(tmp_path):
    with pytest.raises(UsageError, match="gone does not exist"):
        resume(tmp_path / "gone", equip=FakeEquip())
    with pytest.raises(UsageError, match="has no run in it"):
        resume(tmp_path, equip=FakeEquip())


def test_a_run_that_was_stopped_before_it_began_says_so(tmp_path):
    SqlStore.open(tmp_path / FILE_NAME, "r").close()
    with pytest.raises(UsageError, match="stopped before it began"):
        resume(tmp_path, equip=FakeEquip())


def test_two_processes_cannot_have_the_same_run():
    first = optimize(spec(), equip=FakeEquip())
    script = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from kernelwright.run.folder import RunFolder
        with RunFolder.existing(Path(sys.argv[1])).locked():
            print("held", flush=True)
            time.sleep(60)
        """
    )
    command = [sys.executable, "-c", script, str(first.folder.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match=f"in use by process {other.pid}"):
            resume(first.folder.path, equip=FakeEquip())
        other.kill()
    assert resume(first.folder.path, equip=FakeEquip()).best == first.best


def test_a_judge_that_broke_leaves_a_run_that_can_go_on():
    equip = FakeEquip(writer=NumberWriter(drafts=9))
    equip.evaluator.faults = [WorkerError("no memory")] * 9
    first = optimize(spec(budget=Budget(max_attempts=6)), equip=equip)
    assert first.state.finish.reason == "the judge failed 3 times in a row"
    again = resume(first.folder.path, equip=equip)
    assert again.outcome == "faster"
    assert len(again.state.steps) == 6


@pytest.mark.parametrize("moment", ["proposal", "promotion"])
def test_ctrl_c_ends_the_run_with_what_it_has(moment):
    seen = []

    def press(event):
        seen.append(event.kind)
        if event.kind == moment and seen.count(moment) == (3 if moment == "proposal" else 1):
            os.kill(os.getpid(), signal.SIGINT)

    writer = NumberWriter(drafts=50, delay_s=0.001)
    result = optimize(
        spec(budget=Budget(max_attempts=20)), equip=FakeEquip(writer=writer), observer=press
    )
    assert result.outcome == "faster"
    if moment == "proposal":
        assert result.state.finish.reason == "it was interrupted"
        assert len(result.state.history.attempts) == 3
    again = resume(result.folder.path, equip=FakeEquip(writer=writer))
    assert len(again.state.steps) == 20


def test_a_second_ctrl_c_breaks_off_and_the_run_can_be_resumed():
    class Stuck(ScriptedEvaluator):
        async def evaluate(self, candidate, effort):
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(0.05)
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(60)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        optimize(spec(), folder=Path("mine"), equip=FakeEquip(evaluator=Stuck()))
    assert time.monotonic() - began < 30
    assert resume(Path("mine"), equip=FakeEquip()).outcome == "faster"


def test_a_run_may_be_in_another_thread_than_the_main_one():
    results = []
    thread = threading.Thread(target=lambda: results.append(optimize(spec(), equip=FakeEquip())))
    thread.start()
    thread.join(60)
    assert results[0].outcome == "faster"


def test_the_seed_alone_decides_the_plans():
    def plans(seed):
        state = optimize(spec(seed=seed), equip=FakeEquip()).state
        return json.dumps([s.plan.model_dump() for s in state.steps.values()])

    assert plans(1) == plans(1)


def test_a_name_that_is_no_file_name_still_gets_a_folder(tmp_path):
    assert RunFolder.create(tmp_path, "../../a b/ü").name == "a_b-1"
    assert RunFolder.create(tmp_path, "..").name == "run-1"


def test_a_file_in_the_way_of_the_folder_is_a_sentence(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(StoreError, match=r"runs.*cannot be used"):
        optimize(spec(), equip=FakeEquip())


@pytest.fixture
def full_disk(tmp_path):
    """A file system of 128 KiB, which only root may mount."""
    if os.getuid() != 0:
        pytest.skip("only root may mount a small file system to fill")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=192k", "tmpfs", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True, timeout=20, check=False)
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], timeout=20, check=True)


def test_a_disk_that_fills_up_loses_nothing_and_the_run_goes_on_when_there_is_room(full_disk):
    ballast = full_disk / "ballast"
    ballast.write_bytes(bytes(80 * 1024))
    run, asked = full_disk / "run", spec(budget=Budget(max_attempts=24))
    with pytest.raises(StoreError, match=r"is full|refused a write"):
        optimize(asked, folder=run, equip=FakeEquip(writer=NumberWriter(drafts=24)))
    kept = fold(log_of(run)).steps
    assert kept
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=8m", str(full_disk)], timeout=20, check=True)
    equip = FakeEquip(writer=NumberWriter(drafts=24))
    result = resume(run, equip=equip)
    assert len(result.state.steps) == 24
    for number, step in kept.items():
        if step.evaluation:
            assert result.state.steps[number] == step
            assert (step.candidate.id, "search") not in equip.evaluator.asked


def test_a_read_only_disk_is_a_sentence(full_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(full_disk)], timeout=20, check=True)
    with pytest.raises(StoreError, match="may not be written"):
        optimize(spec(), folder=full_disk / "run", equip=FakeEquip())


def test_drafters_are_the_writers_in_each_language():
    asked = spec(writers=("sketch", "llm"), models={"writer": "openai:x"})
    asked = asked.model_copy(update={"languages": ("cpp", "triton")})
    found = equipment.drafters(asked, frozenset(), lambda _: 0)
    assert [(d.writer, d.language, d.limit, d.refines) for d in found] == [
        ("sketch", "cpp", None, False),
        ("sketch", "triton", None, False),
        ("llm", "cpp", 4, True),
        ("llm", "triton", 4, True),
    ]
    left = equipment.drafters(asked, frozenset({"llm"}), lambda _: 0)
    assert {d.writer for d in left} == {"sketch"}


def sketched(language):
    names = {"cpp": ("packed", "stored", "recomputed", "unsplit"), "triton": ("resident",)}
    if language not in names:
        return NotCovered(reason=f"No sketch speaks {language}.")
    made = tuple(number_candidate(name, language=language) for name in names[language])
    return Covered(candidates=made, sketches=names[language])


def test_where_no_sketch_covers_a_program_the_compiler_drafts():
    asked = spec(writers=("library", "sketch"))
    asked = asked.model_copy(update={"languages": ("cpp", "triton", "python")})

    def uncovered(language):
        return sketched("triton") if language == "triton" else NotCovered(reason="No.")

    def compilers(asked, dropped=frozenset()):
        found = equipment.drafters(asked, dropped, lambda _: 1, uncovered)
        return [(d.language, d.limit) for d in found if d.writer == "compiler"]

    assert compilers(asked) == [("cpp", 1)]
    assert compilers(asked, frozenset({"compiler"})) == []
    named = asked.model_copy(update={"writers": ("compiler", "sketch")})
    assert compilers(named) == [("cpp", 1), ("triton", 1), ("python", 1)]
    alone = asked.model_copy(update={"writers": ("library",)})
    assert compilers(alone) == []


def test_drafters_know_which_actions_they_can_be_asked_for():
    asked = spec(writers=("library", "sketch", "llm"), models={"writer": "openai:x"})
    asked = asked.model_copy(update={"languages": ("cpp", "triton", "python")})
    found = equipment.drafters(asked, frozenset(), lambda _: 1, sketched)
    names = {(d.writer, d.language): [a.name for a in d.actions] for d in found}
    # What its first draft is no sketch is asked for.
    assert names["sketch", "cpp"] == ["recompute", "keep-on-chip", "synchronise-less"]
    assert names["sketch", "triton"] == []
    assert names["sketch", "python"] == []
    assert names["library", "cpp"] == []
    assert names["llm", "cpp"] == [a.name for a in ACTIONS if a.name != "go-persistent"]
    assert names["llm", "triton"] == [a.name for a in ACTIONS]
    assert names["llm", "python"] == []


def test_the_sketches_that_carry_an_action_out_are_found_by_it(monkeypatch):
    found = sketching.Sketches(row_problem(), dict)
    monkeypatch.setattr(sketching, "drafts", lambda problem, graph, language: sketched(language))
    kept = found.carrying("keep-on-chip", "cpp")
    assert [c.source.text for c in kept.candidates] == ["stored\n"]
    none = found.carrying("go-persistent", "cpp")
    assert none.reason == "No sketch in cpp carries out 'go-persistent' for this problem."
    assert found.carrying("tile", "cuda").reason == "No sketch speaks cuda."


def test_a_run_by_the_bandit_asks_for_actions_and_its_log_brings_them_back():
    class Equip(FakeEquip):
        @contextlib.contextmanager
        def __call__(self, spec, origin, known):
            with super().__call__(spec, origin, known) as parts:
                yield dataclasses.replace(parts, sketches=sketched)

    asked = spec(strategy="bandit", writers=("sketch",), budget=Budget(max_attempts=12), seed=3)
    one, two = (optimize(asked, equip=Equip()) for _ in range(2))
    plans = [step.plan for step in one.state.steps.values()]
    assert {"recompute", "keep-on-chip", "synchronise-less"} <= {plan.action for plan in plans}
    assert [step.plan for step in two.state.steps.values()] == plans
    assert [step.plan for step in fold(log_of(one.folder.path)).steps.values()] == plans


def test_a_log_of_before_there_were_actions_is_read():
    events = log_of(optimize(spec(), equip=FakeEquip()).folder.path)
    for event in events:
        plan = event.data.get("plan", {})
        assert plan.pop("action", None) is None
    state = fold(events)
    assert [step.plan.action for step in state.steps.values()] == [None] * 6
    assert all("action" not in e.data.get("plan", {}) for e in events)


def test_the_library_drafts_first_and_only_where_it_has_something():
    asked = spec(writers=("library", "sketch")).model_copy(update={"languages": ("cpp", "triton")})
    counts = {"cpp": 2, "triton": 0}
    found = equipment.drafters(asked, frozenset(), counts.__getitem__)
    assert [(d.writer, d.language, d.limit, d.listed, d.refines) for d in found] == [
        ("library", "cpp", 2, True, False),
        ("sketch", "cpp", None, False, False),
        ("sketch", "triton", None, False, False),
    ]


def test_a_kernel_of_the_library_is_the_first_draft_and_costs_no_attempt_where_there_is_none():
    budget = Budget(max_attempts=3)
    for count, first in ((1, "library"), (0, "sketch")):
        equip = FakeEquip(library=count)
        steps = optimize(
            spec(writers=("library", "sketch"), budget=budget), equip=equip
        ).state.steps
        assert steps[1].plan.writer == first
        assert sum(s.plan.writer == "library" for s in steps.values()) == count


def test_a_kernel_that_was_left_out_is_named_in_the_log_and_stops_nothing():
    equip = FakeEquip(remarks=("The library's kernel x is left out: it has no graph.txt.",))
    result = optimize(spec(), equip=equip)
    assert [fault.message for fault in result.state.faults] == list(equip.remarks)
    assert result.best is not None


def test_a_library_that_is_not_there_is_said_before_anything_is_started():
    with pytest.raises(UsageError, match="There is no library in nowhere"):
        optimize(spec(library=("nowhere",)), folder=Path("run"))
    assert not Path("run").exists()
