"""With `approve` nothing is handed back that whoever is asked does not want."""

from pathlib import Path

import pytest

from kernelwright.core.candidate import Plan, Proposal
from kernelwright.core.errors import UsageError, WorkerError
from kernelwright.core.run import Budget, Event, RunSpec
from kernelwright.report import sentence
from kernelwright.report.result import result_of
from kernelwright.report.story import Story
from kernelwright.run.approval import question_on
from kernelwright.run.optimize import optimize, resume
from kernelwright.store.fold import RunState, Step, fold
from kernelwright.store.sql import FILE_NAME, SqlStore
from kernelwright.testing.equipment import FakeEquip
from kernelwright.testing.evaluators import (
    TILE,
    ScriptedEvaluator,
    evaluation_of,
    number_candidate,
    passed,
)

HERE = Path("runs/here")


def spec(**changes):
    values = {"budget": Budget(max_attempts=6), **changes}
    return RunSpec(problem="rows.py", languages=("cpp",), **values)


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


class Asked:
    """Gives the `answers` one after the other, and keeps the questions."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.questions = []

    def __call__(self, question):
        self.questions.append(question)
        return self.answers.pop(0)


def story_of(folder):
    with SqlStore.open(folder / FILE_NAME, "r", writable=False) as store:
        return Story.of(store.records())


def test_it_is_asked_about_the_best_with_its_fresh_figures_and_yes_hands_it_back():
    ask = Asked("yes")
    result = optimize(spec(), equip=FakeEquip(), ask=ask)
    (question,) = ask.questions
    assert question.step == result.best.number == result.state.history.best.step
    assert question.candidate == result.best.candidate
    assert question.evaluation.effort == "promotion"
    assert result.state.approvals == {question.step: "yes"}
    assert result.delivered
    assert result.state.spec.approve


def test_no_puts_the_next_of_the_best_forward():
    ask = Asked("no", "yes")
    result = optimize(spec(), equip=FakeEquip(), ask=ask)
    first, second = ask.questions
    assert first.candidate.source != second.candidate.source
    assert first.evaluation.outcome != second.evaluation.outcome
    assert result.best.number == second.step
    assert result.outcome == "faster"


@pytest.mark.parametrize(("answers", "asked"), [(("no", "no", "no"), 3), (("no", "stop"), 2)])
def test_what_nobody_wants_is_not_handed_back_and_is_not_said_to_have_failed(answers, asked):
    ask = Asked(*answers)
    ended = optimize(spec(), folder=HERE, equip=FakeEquip(), ask=ask)
    assert (len(ask.questions), ended.best, ended.delivered) == (asked, None, ())
    assert ended.outcome == "not_approved"
    result = result_of(story_of(HERE), path=None)
    assert (result.outcome, result.best) == ("not_approved", None)
    assert "not approved by whoever was asked" in result.reason
    assert "approved of no candidate" in sentence.headline(result)


def test_what_does_not_hold_on_fresh_samples_is_not_asked_about():
    class Picky(ScriptedEvaluator):
        async def evaluate(self, candidate, effort):
            said = await super().evaluate(candidate, effort)
            bad = number_candidate("error")
            return said if effort == "search" else evaluation_of(bad, self.outcome_of(bad), effort)

    ask = Asked()
    assert optimize(spec(), equip=FakeEquip(evaluator=Picky()), ask=ask).best is None
    assert ask.questions == []


def test_a_resumed_run_does_not_ask_again():
    first = optimize(spec(), folder=HERE, equip=FakeEquip(), ask=Asked("no", "yes"))
    again = resume(HERE, equip=FakeEquip(), ask=Asked())
    assert again.best == first.best
    assert again.state.approvals == first.state.approvals


def test_a_run_that_broke_off_at_the_question_asks_it_when_it_is_resumed():
    def leave(_question):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        optimize(spec(), folder=HERE, equip=FakeEquip(), ask=leave)
    equip, ask = FakeEquip(), Asked("yes")
    result = resume(HERE, equip=equip, ask=ask)
    assert len(ask.questions) == 1
    assert equip.evaluator.asked == []  # it was judged again before the question
    assert result.outcome == "faster"


class BreaksOnPromotion(ScriptedEvaluator):
    async def evaluate(self, candidate, effort):
        if effort == "promotion":
            raise WorkerError("no memory")
        return await super().evaluate(candidate, effort)


@pytest.mark.parametrize("evaluator", [ScriptedEvaluator(), BreaksOnPromotion()])
def test_a_report_on_a_run_that_broke_off_does_not_show_what_was_refused(evaluator):
    def leave(event):
        if event.kind == "approval":
            raise KeyboardInterrupt

    equip = FakeEquip(evaluator=evaluator)
    with pytest.raises(KeyboardInterrupt):
        optimize(spec(), folder=HERE, equip=equip, ask=Asked("no"), observer=leave)
    story = story_of(HERE)
    assert len(story.refused) == 1
    assert story.best_step.number not in story.refused


def test_without_anybody_to_ask_nothing_is_begun():
    equip = FakeEquip()
    with pytest.raises(UsageError, match="nobody can be asked"):
        optimize(spec(approve=True), folder=HERE, equip=equip)
    assert equip.opened == []
    assert not HERE.exists()
    optimize(spec(), folder=HERE, equip=equip, ask=Asked("yes"))
    with pytest.raises(UsageError, match="nobody can be asked"):
        resume(HERE, equip=equip)


def test_a_run_that_does_not_say_approve_asks_nobody_when_it_is_resumed():
    optimize(spec(), folder=HERE, equip=FakeEquip())
    assert resume(HERE, equip=FakeEquip(), ask=Asked()).outcome == "faster"


def family(*steps):
    """A state with a step for each (kind, number of the parent, candidate)."""
    made = {}
    for number, (kind, parent, candidate) in enumerate(steps, 1):
        parents = (made[parent].candidate.id,) if parent else ()
        plan = Plan(kind=kind, language="cpp", writer="llm", parents=parents)
        proposal = Proposal(step=number, plan=plan, candidate=candidate)
        made[number] = Step(number=number, plan=plan, proposal=proposal)
    return RunState(steps=made)


def before(state, number):
    evaluation = evaluation_of(state.steps[number].candidate, passed(2.0), "promotion")
    found = question_on(state, number, evaluation).before
    return found and found.number


def test_it_is_compared_with_the_nearest_ancestor_that_has_another_text():
    old, new = (number_candidate(n, tunables=(TILE,)) for n in (1.5, 2.5))
    state = family(
        ("draft", None, old),
        ("tune", 1, old.tuned({"TILE": 4})),
        ("refine", 2, new),
        ("tune", 3, new.tuned({"TILE": 2})),
        ("tune", 4, new.tuned({"TILE": 4})),
        ("draft", 1, number_candidate(9)),
    )
    assert [before(state, number) for number in (1, 2, 3, 4, 5)] == [None, None, 2, 2, 2]
    # A draft that should beat another is no change of it.
    assert before(state, 6) is None


def test_the_log_alone_gives_the_answers():
    result = optimize(spec(), folder=HERE, equip=FakeEquip(), ask=Asked("no", "yes"))
    with SqlStore.open(HERE / FILE_NAME, "r", writable=False) as store:
        assert fold(store.records()) == result.state


def test_what_was_said_of_a_verdict_that_was_taken_back_is_asked_again():
    ended = optimize(spec(), folder=HERE, equip=FakeEquip(), ask=Asked("no", "yes"))
    first, second = ended.state.approvals
    judged = ended.state.steps[second].candidate.id
    void = Event(at=0.0, kind="void", data={"candidate_ids": [judged], "reason": "a canary"})
    assert fold([void], ended.state).approvals == {first: "no"}
