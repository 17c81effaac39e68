"""What every strategy promises. Subclass `StrategyContract` and provide the `strategy` fixture.

The fixture is built with `DRAFTERS`, as a run would build it. The contract plays whole searches
against the fakes of `testing.evaluators`, with several attempts out at once, and looks back at
every question that was asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from kernelwright.core.candidate import Candidate, Plan
from kernelwright.core.evaluation import Evaluation
from kernelwright.core.protocols import Assignment, Strategy
from kernelwright.core.run import Attempt, History
from kernelwright.search.drafting import Drafter
from kernelwright.testing.evaluators import NumberWriter, ScriptedEvaluator, row_problem

DRAFTERS = (
    Drafter(writer="sketch", language="cpp"),
    Drafter(writer="llm", language="cpp", limit=4, refines=True),
)
LONGEST = 400
_PLAYED: dict[tuple[type, int], Sequence[Question]] = {}


@dataclass(frozen=True, kw_only=True)
class Question:
    """One call of `ask`, and its answer."""

    history: History
    count: int
    answer: tuple[Plan, ...]


def play(strategy: Strategy, *, width: int, broken: int = 3) -> Sequence[Question]:
    """Every question of a whole search with `width` attempts at once.

    The oldest attempt ends first, except that every third time the newest overtakes it.
    """
    writer, questions = NumberWriter(broken=broken), list[Question]()
    history, out = History(), list[tuple[int, Plan]]()
    step = 0
    while step < LONGEST:
        count = width - len(out)
        answer = tuple(strategy.ask(history, count))
        questions.append(Question(history=history, count=count, answer=answer))
        for plan in answer[:count]:
            step += 1
            out.append((step, plan))
        if not out:
            return questions
        ended = out.pop(-1 if step % 3 == 0 else 0)
        attempt = _attempt(ended, history, writer)
        history = History(
            attempts=tuple(sorted((*history.attempts, attempt), key=lambda a: a.step)),
            pending=tuple(plan for _, plan in out),
        )
    pytest.fail(f"the search did not end within {LONGEST} attempts")


def _attempt(ended: tuple[int, Plan], history: History, writer: NumberWriter) -> Attempt:
    step, plan = ended
    parents = tuple(a for p in plan.parents if (a := history.attempt_of(p)) is not None)
    assignment = Assignment(step=step, plan=plan, problem=row_problem(), parents=parents)
    proposal = asyncio.run(writer.propose(assignment))
    attempt = Attempt(step=step, plan=plan, candidate=proposal.candidate, reason=proposal.reason)
    if proposal.candidate is None:
        return attempt
    if history.attempt_of(proposal.candidate.id):
        return replace(attempt, reason="It was made before.")
    verdict = ScriptedEvaluator().evaluate(proposal.candidate, "search")
    return replace(attempt, evaluation=asyncio.run(verdict))


def stored(history: History) -> History:
    """`history` as it comes back from a store."""
    return History(
        attempts=tuple(map(_stored, history.attempts)),
        pending=tuple(Plan.model_validate_json(p.model_dump_json()) for p in history.pending),
    )


def hinted(history: History) -> History:
    """`history` as it is when somebody gave hints with every plan."""

    def with_hint(plan: Plan) -> Plan:
        return plan.model_copy(update={"hints": (*plan.hints, "Rows are short.")})

    return History(
        attempts=tuple(replace(a, plan=with_hint(a.plan)) for a in history.attempts),
        pending=tuple(map(with_hint, history.pending)),
    )


def _stored(attempt: Attempt) -> Attempt:
    candidate, evaluation = attempt.candidate, attempt.evaluation
    return replace(
        attempt,
        plan=Plan.model_validate_json(attempt.plan.model_dump_json()),
        candidate=candidate and Candidate.model_validate_json(candidate.model_dump_json()),
        evaluation=evaluation and Evaluation.model_validate_json(evaluation.model_dump_json()),
    )


class StrategyContract:
    """A pure function of the history, that ends and does not repeat itself."""

    @pytest.fixture(params=[1, 3], ids=["one at once", "three at once"])
    def questions(self, request: pytest.FixtureRequest, strategy: Strategy) -> Sequence[Question]:
        """The questions of a whole search; that it returns shows that the search ends."""
        # A search takes a second, and each test looks at the same one.
        key = (type(self), request.param)
        if key not in _PLAYED:
            _PLAYED[key] = play(strategy, width=request.param)
        return _PLAYED[key]

    def test_a_search_asks_for_something(self, questions: Sequence[Question]) -> None:
        """More than a few attempts, or the other tests would say little."""
        assert sum(len(q.answer) for q in questions) > 3

    def test_the_same_history_gives_the_same_plans(
        self, strategy: Strategy, questions: Sequence[Question]
    ) -> None:
        """At any moment, asked in any order, and of a history that was read from a store."""
        for question in reversed(questions):
            again = strategy.ask(stored(question.history), question.count)
            assert tuple(again) == question.answer

    def test_hints_change_nothing_that_is_asked_for(
        self, strategy: Strategy, questions: Sequence[Question]
    ) -> None:
        """They are added when a plan is begun, and are part of it from then on."""
        for question in questions:
            again = strategy.ask(hinted(question.history), question.count)
            assert tuple(again) == question.answer

    def test_it_never_answers_with_more_than_count(
        self, strategy: Strategy, questions: Sequence[Question]
    ) -> None:
        """Nothing at all for a count of 0."""
        for question in questions[:: max(1, len(questions) // 8)]:
            for count in (0, 1, 4):
                assert len(strategy.ask(question.history, count)) <= count

    def test_one_answer_begins_like_the_longer_one(
        self, strategy: Strategy, questions: Sequence[Question]
    ) -> None:
        """How many attempts run at once does not change what the next one is."""
        for question in questions[:: max(1, len(questions) // 8)]:
            one, four = (tuple(strategy.ask(question.history, n)) for n in (1, 4))
            assert one == four[:1]

    def test_no_plan_is_asked_for_twice(self, questions: Sequence[Question]) -> None:
        """A second draft or refinement differs in its variant."""
        asked = [plan.model_dump_json() for q in questions for plan in q.answer]
        assert len(asked) == len(set(asked))

    def test_no_candidate_is_asked_for_that_was_judged(self, questions: Sequence[Question]) -> None:
        """The settings of a `tune` plan are new for their text, and among its choices."""
        for question in questions:
            for plan in question.answer:
                if plan.kind == "tune":
                    parent = question.history.attempt_of(plan.parents[0])
                    assert parent is not None
                    assert parent.candidate is not None
                    assert (
                        question.history.attempt_of(parent.candidate.tuned(plan.settings).id)
                        is None
                    )
                    choices = {t.name: t.choices for t in parent.candidate.tunables}
                    assert all(v in choices[name] for name, v in plan.settings.items())

    def test_parents_were_judged(self, questions: Sequence[Question]) -> None:
        """A writer is shown the verdict on every parent."""
        for question in questions:
            for plan in question.answer:
                for parent in plan.parents:
                    attempt = question.history.attempt_of(parent)
                    assert attempt is not None
                    assert attempt.evaluation is not None
