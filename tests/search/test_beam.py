"""The beam gives several texts their turns, and no others."""

from dataclasses import replace

import pytest

from kernelwright.core.run import History
from kernelwright.search.beam import Beam
from kernelwright.search.drafting import Drafter
from kernelwright.testing.evaluators import TILE
from kernelwright.testing.histories import attempt, draft, refine
from kernelwright.testing.strategies import DRAFTERS, StrategyContract

SKETCH = Drafter(writer="sketch", language="cpp", limit=3, listed=True)
LLM = Drafter(writer="llm", language="cpp", limit=3, refines=True)
SCORES = (2.0, 1.9, 1.8)


class TestBeam(StrategyContract):
    @pytest.fixture
    def strategy(self):
        return Beam(drafters=DRAFTERS, seed=7)


def drafted(writer, scores=SCORES, tunables=(TILE,)):
    return tuple(
        attempt(1 + i, draft(writer, i), score, tunables) for i, score in enumerate(scores)
    )


def parents(plans):
    return [plan.parents[0] for plan in plans]


def searched(strategy, history, outcome):
    """Every plan until the end, of which each becomes an attempt by `outcome(plan, step)`."""
    asked = []
    while plans := strategy.ask(history, 1):
        asked += plans
        ended = outcome(plans[0], 1 + len(history.attempts))
        history = replace(history, attempts=(*history.attempts, ended))
    return asked


def test_each_text_of_the_beam_has_its_turn_and_none_outside_of_it():
    first, second, _outside = attempts = drafted("sketch")
    asked = Beam(drafters=(SKETCH,), beam=2).ask(History(attempts=attempts), 6)
    assert parents(asked) == [first.candidate.id, second.candidate.id] * 3


def test_a_better_text_drives_the_worst_one_out():
    first, second, third = drafted("llm")
    better = attempt(4, refine(first), 2.5, (TILE,))
    strategy = Beam(drafters=(LLM,), beam=2)
    before = strategy.ask(History(attempts=(first, second, third)), 4)
    after = strategy.ask(History(attempts=(first, second, third, better)), 4)
    assert second.candidate.id in parents(before)
    assert parents(after) == [better.candidate.id, first.candidate.id] * 2


def test_a_text_that_is_tuned_out_leaves_its_place_to_the_next():
    attempts = drafted("sketch")
    asked = Beam(drafters=(SKETCH,), beam=1).ask(History(attempts=attempts), 99)
    each = len(TILE.choices) - 1
    assert parents(asked) == [a.candidate.id for a in attempts for _ in range(each)]


def test_a_text_that_gains_nothing_by_refinement_leaves_too():
    attempts = drafted("llm", (2.0, 1.9), tunables=())
    drafters = (replace(LLM, limit=2),)
    asked = searched(
        Beam(drafters=drafters, beam=1, patience=2),
        History(attempts=attempts),
        lambda plan, step: attempt(step, plan, 1.0 + step / 100),
    )
    # Its two refinements are as many as all of a beam of one may have in vain.
    assert parents(asked) == [attempts[0].candidate.id] * 2
    wider = searched(
        Beam(drafters=drafters, beam=2, patience=2),
        History(attempts=attempts),
        lambda plan, step: attempt(step, plan, 1.0 + step / 100),
    )
    assert parents(wider) == [a.candidate.id for a in attempts] * 2


def test_a_gain_gives_refinement_its_patience_back():
    attempts = drafted("llm", (2.0,), tunables=())
    scores = iter([1.0, 2.5, 1.1, 1.2])
    asked = searched(
        Beam(drafters=(replace(LLM, limit=1),), beam=1, patience=2),
        History(attempts=attempts),
        lambda plan, step: attempt(step, plan, next(scores)),
    )
    assert len(asked) == 4


def test_a_text_far_behind_the_best_is_not_let_in():
    attempts = drafted("sketch", (2.0, 1.0))
    drafters = (replace(SKETCH, limit=2),)
    asked = Beam(drafters=drafters).ask(History(attempts=attempts), 99)
    assert set(parents(asked)) == {attempts[0].candidate.id}


def test_refinement_and_tuning_of_a_text_take_turns():
    attempts = drafted("llm", (2.0, 1.9))
    asked = Beam(drafters=(replace(LLM, limit=2),), beam=2).ask(History(attempts=attempts), 8)
    assert [p.kind for p in asked] == ["refine", "refine", "tune", "tune"] * 2


def test_a_text_that_had_its_patience_stays_out_when_another_gains():
    first, second = drafted("llm", (2.0, 1.9), tunables=())
    scores = iter([1.0, 2.5, 1.1, 1.2])
    asked = searched(
        Beam(drafters=(replace(LLM, limit=2),), beam=2, patience=1),
        History(attempts=(first, second)),
        lambda plan, step: attempt(step, plan, next(scores)),
    )
    assert parents(asked).count(first.candidate.id) == 1
    assert parents(asked).count(second.candidate.id) == 2
