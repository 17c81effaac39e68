"""Each accepted edit of the best candidate is undone alone and judged; what that says of it."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from kernelwright.apps.cli.progress import Progress
from kernelwright.core.candidate import Candidate, Plan, Proposal, Tunable
from kernelwright.core.errors import JudgeBroken, UsageError, WorkerError
from kernelwright.core.evaluation import BuildFailed
from kernelwright.core.problem import Source
from kernelwright.core.run import Budget, Edit, Event, RunSpec
from kernelwright.report import text
from kernelwright.report.ablation import ablated, in_words, worth_in_words
from kernelwright.report.html import render
from kernelwright.report.result import result_of
from kernelwright.report.story import Story
from kernelwright.run.ablation import ablate
from kernelwright.run.edits import founder, undoings
from kernelwright.run.optimize import optimize, resume
from kernelwright.store.fold import RunState, Step, fold
from kernelwright.store.sql import FILE_NAME, SqlStore
from kernelwright.testing.equipment import FakeEquip
from kernelwright.testing.evaluators import ScriptedEvaluator, passed, row_problem
from kernelwright.testing.runs import Log

HERE = Path("runs/here")
DRAFT = "int a;\nfor r\nfor c\nsum\nx\ny\nz\nstore\nend\n"
BEST = "int a;\n#pragma parallel\nfor r\nfor c\nsum\nx\ny\nz\nvector store\nend\n"
TILE = Tunable(name="TILE", choices=(1, 2, 4), default=1)
UNROLL = Tunable(name="UNROLL", choices=(1, 8), default=8)


def candidate(text, *, settings=None, tunables=(TILE, UNROLL), files=None):
    return Candidate(
        problem_id="rows",
        language="cpp",
        source=Source(files={"kernel.cpp": text, **(files or {})}, entry_point="kernel.cpp::k"),
        tunables=tunables,
        settings=settings or {},
    )


def speed(candidate):
    """The pragma is worth 3, without a vector store nothing builds, TILE makes no difference."""
    source = candidate.source.text
    if "vector" not in source:
        return BuildFailed(diagnostics="kernel.cpp:8: error: no vector")
    return passed(2.0 * (3.0 if "pragma" in source else 1.0))


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def judge():
    """A finished run in `HERE`, whose best candidate is a draft that was refined and tuned; and the
    judge of what comes after it."""
    HERE.mkdir(parents=True)
    with SqlStore.open(HERE / FILE_NAME, "here") as store:
        log = Log(store)
        spec = RunSpec(problem="rows.py", languages=("cpp",))
        log.add("started", {"spec": spec.model_dump(mode="json"), "name": "here", "version": "0"})
        log.add("problem", row_problem())
        made = [candidate(DRAFT), candidate(BEST), candidate(BEST, settings={"TILE": 4})]
        for step, (kind, one) in enumerate(zip(("draft", "refine", "tune"), made, strict=True), 1):
            parents = tuple(c.id for c in made[step - 2 : step - 1])
            plan = Plan(kind=kind, language="cpp", writer="llm", parents=parents)
            log.attempt(step, plan, one, passed(step))
        log.add("finished", {"reason": "enough", "step": 3})
    return ScriptedEvaluator(outcome_of=speed)


def go(judge, **options):
    return ablate(HERE, equip=FakeEquip(evaluator=judge), **options)


def figures(state):
    return ablated(state.ablation, state.steps[3].evaluation if 3 in state.steps else None)


def story():
    with SqlStore.open(HERE / FILE_NAME, "r", writable=False) as store:
        return Story.of(store.records())


def test_hunks_and_settings_are_undone_alone():
    found = undoings(candidate(BEST, settings={"TILE": 4}), candidate(DRAFT))
    assert [(u.edit.kind, u.edit.place, u.edit.before, u.edit.after) for u in found] == [
        ("setting", "TILE", "1", "4"),
        ("text", "kernel.cpp:9", "store\n", "vector store\n"),
        ("text", "kernel.cpp:2", "", "#pragma parallel\n"),
    ]
    assert [u.without.source.text for u in found] == [
        BEST,
        BEST.replace("vector ", ""),
        BEST.replace("#pragma parallel\n", ""),
    ]
    assert [u.without.values["TILE"] for u in found] == [1, 4, 4]


def test_a_setting_goes_back_to_its_default_and_the_others_stay():
    tuned = candidate(BEST, settings={"TILE": 4, "UNROLL": 1})
    found = undoings(tuned, candidate(BEST))
    assert [u.without.values for u in found] == [
        {"TILE": 1, "UNROLL": 1},
        {"TILE": 4, "UNROLL": 8},
    ]


def test_changes_that_lie_close_are_one_edit():
    old, new = candidate("a\nb\nc\nd\n"), candidate("A\nb\nc\nD\n")
    (found,) = undoings(new, old)
    assert found.edit.after == "A\nb\nc\nD\n"
    assert found.without.source == old.source


def test_undoing_all_edits_one_after_the_other_gives_the_draft_again():
    best, draft = candidate(BEST), candidate(DRAFT)
    while found := undoings(best, draft):
        best = found[0].without
    assert best == draft


def test_a_file_that_was_added_is_an_edit_and_one_that_was_not_touched_is_none():
    old = candidate(DRAFT, files={"same.h": "s\n"})
    new = candidate(DRAFT, files={"same.h": "s\n", "new.h": "n\n"})
    (found,) = undoings(new, old)
    assert found.edit.place == "new.h:1"
    assert found.without.source.files["new.h"] == ""


def test_a_tunable_of_the_draft_that_the_candidate_lost_is_still_defined():
    (found,) = undoings(candidate("WIDE\n", tunables=()), candidate("TILE\n", tunables=(TILE,)))
    assert found.without.values == {"TILE": 1}


def test_a_text_that_is_all_the_drafts_has_no_edits():
    assert undoings(candidate(DRAFT), candidate(DRAFT)) == []


def test_the_draft_is_the_earliest_ancestor_in_the_same_language():
    steps = {}
    for number, (kind, language) in enumerate(
        [("draft", "cuda"), ("port", "cpp"), ("refine", "cpp"), ("tune", "cpp")], 1
    ):
        parents = (steps[number - 1].candidate.id,) if steps else ()
        plan = Plan(kind=kind, language=language, writer="llm", parents=parents)
        made = candidate(f"{number}\n").model_copy(update={"language": language})
        proposal = Proposal(step=number, plan=plan, candidate=made)
        steps[number] = Step(number=number, plan=plan, proposal=proposal)
    state = RunState(steps=steps)
    assert [founder(state, steps[n]).number for n in (1, 2, 3, 4)] == [1, 2, 2, 2]


def test_every_edit_says_what_it_is_worth(judge):
    found = figures(go(judge))
    assert (found.step, found.draft, found.left_out) == (3, 1, 0)
    assert [worth_in_words(edit) for edit in found.edits] == [
        "makes no difference: 1.00× (1.00–1.00)",
        "needed: without it, kernel.cpp:8: error: no vector",
        "helps: 3.00× (3.00–3.00)",
    ]
    assert [effort for _, effort in judge.asked] == ["search"] * 4


def test_an_edit_that_hurts_is_said_to(judge):
    judge.outcome_of = lambda c: passed(2.0 if "pragma" in c.source.text else 4.0)
    assert [edit.verdict for edit in figures(go(judge)).edits] == ["same", "same", "hurts"]


def test_of_what_is_not_timed_nothing_is_said(judge):
    judge.outcome_of = lambda c: passed(1.0).model_copy(update={"measurements": ()})
    assert {e.verdict for e in figures(go(judge)).edits} == {"not_timed"}


def test_the_candidate_against_itself_says_whether_the_machine_was_steady(judge):
    # In the run it was 3 times as fast as eager, and here it is 6 times.
    go(judge)
    found = result_of(story(), path=None).ablation
    assert found.control.median == pytest.approx(2.0, rel=1e-3)
    assert "came out at 2.00× (2.00–2.00) instead of 1" in " ".join(in_words(found))


def test_a_steady_machine_is_not_spoken_of(judge):
    judge.outcome_of = lambda c: passed(3.0)
    go(judge)
    found = result_of(story(), path=None).ablation
    assert found.control.ci_low <= 1 <= found.control.ci_high
    assert "steady" not in " ".join(in_words(found))


def test_when_the_best_itself_fails_nothing_is_said_of_its_edits(judge):
    judge.outcome_of = lambda c: BuildFailed(diagnostics="no disk")
    found = figures(go(judge))
    assert found.edits == ()
    assert "itself did not pass" in in_words(found)[0]


def test_what_the_log_has_is_not_judged_again(judge):
    def stop(event):
        if event.kind == "ablation" and len(judge.asked) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(judge, observer=stop)
    state = go(judge)
    assert len(judge.asked) == len(set(judge.asked)) == 4
    go(judge)
    assert len(judge.asked) == 4
    assert story().state.ablation == state.ablation
    assert story().finished


def test_more_edits_than_may_be_undone_are_counted(judge):
    found = figures(go(judge, most=1))
    assert (len(found.edits), found.left_out) == (1, 2)
    assert "2 smaller edits more were not undone" in in_words(found)[-1]
    again = figures(go(judge))
    assert (len(again.edits), again.left_out) == (3, 0)


def test_what_the_judge_breaks_on_is_left_for_the_next_time(judge):
    judge.faults = [WorkerError("no memory")] * 3
    state = go(judge)
    assert None not in state.ablation.judged
    assert [e.verdict for e in figures(state).edits] == [
        "not_timed",
        "needed",
        "not_timed",
    ]
    assert len(state.faults) == 3
    verdicts = [edit.verdict for edit in figures(go(judge)).edits]
    assert sorted(verdicts) == ["helps", "needed", "same"]


def test_what_a_broken_judge_said_is_taken_back_and_the_run_is_left_as_it_was(judge):
    best = candidate(BEST, settings={"TILE": 4}).id

    class Broken(ScriptedEvaluator):
        async def evaluate(self, candidate, effort):
            if len(self.asked) == 2:
                self.asked.append(("canary", effort))
                raise JudgeBroken("The canary lives.", candidate_ids=(best,))
            return await super().evaluate(candidate, effort)

    state = go(Broken(outcome_of=speed))
    assert None not in state.ablation.judged
    assert state.steps[3].evaluation is not None


def test_a_run_that_has_not_ended_or_has_nothing_is_refused(judge):
    with SqlStore.open(HERE / FILE_NAME, "here") as store:
        store.append(Event(at=2e6, kind="resumed", data={"version": "0"}))
    with pytest.raises(UsageError, match="has not ended"):
        go(judge)
    with SqlStore.open(HERE / FILE_NAME, "here") as store:
        store.append(Event(at=2e6, kind="finished", data={"reason": "no", "step": None}))
    with pytest.raises(UsageError, match="no best candidate"):
        go(judge)
    assert judge.asked == []


def test_a_draft_as_it_was_written_has_nothing_to_undo():
    result = optimize(
        RunSpec(problem="rows.py", languages=("cpp",), budget=Budget(max_attempts=1)),
        folder=HERE,
        equip=FakeEquip(evaluator=(judge := ScriptedEvaluator())),
    )
    asked = len(judge.asked)
    found = figures(go(judge))
    assert (found.step, found.edits, len(judge.asked)) == (result.best.number, (), asked)
    assert "no edit" in in_words(found)[0]


def test_every_report_says_it(judge):
    go(judge)
    told = story()
    result = result_of(told, path=None)
    page = render(told, result, lambda key: b"")
    out = io.StringIO()
    Console(file=out, width=300).print(text.summary(result))
    for said in (page, out.getvalue()):
        assert "needed: without it, kernel.cpp:8: error: no vector" in said
        assert "by way of the baseline" in said
    kept = json.loads(result.model_dump_json())["ablation"]["edits"][2]
    assert (kept["place"], kept["verdict"], kept["worth"]["median"]) == (
        "kernel.cpp:2", "helps", pytest.approx(3.0),
    )  # fmt: skip


def test_a_text_cannot_write_into_the_page(judge):
    hostile = "<script>x</script>\x1b"
    edit = Edit(kind="text", place="<b>:1", before=hostile, after=hostile)
    state = go(judge).ablation
    verdicts = {**state.judged, edit: state.judged[None]}
    told = story()
    shown = replace(told, state=replace(told.state, ablation=replace(state, judged=verdicts)))
    page = render(shown, result_of(shown, path=None), lambda key: b"")
    assert "&lt;script&gt;x&lt;/script&gt;␛" in page
    assert "<script>" not in page
    assert "<b>:1" not in page


def test_progress_has_a_line_for_each_candidate(judge):
    out = io.StringIO()
    past = story().events
    with Progress(Console(file=out, width=100), past=past) as progress:
        go(judge, observer=progress.watch)
    for line in (
        "the best again: passed  6.00×",
        "without TILE 1 → 4: passed",
        "without kernel.cpp:9, 1 line for 1: build failed  kernel.cpp:8: error: no vector",
    ):
        assert line in out.getvalue()


def test_its_seconds_count_as_a_session_and_the_time_before_does_not(judge):
    before = story().wall_s
    go(judge)
    assert story().wall_s < before + 30
    assert len(story().state.sessions) == 2
    assert fold(story().events) == story().state


def test_after_it_a_run_can_still_be_resumed(judge):
    go(judge)
    again = resume(HERE, equip=FakeEquip(evaluator=ScriptedEvaluator(outcome_of=speed)))
    assert again.state.ablation == story().state.ablation
