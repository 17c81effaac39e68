"""The tree goes where it paid, and leaves a branch that deceived it."""

from dataclasses import replace

import pytest

from kernelwright.core.run import History
from kernelwright.search.drafting import Drafter
from kernelwright.search.lineage import text_id
from kernelwright.search.refine import Refine
from kernelwright.search.tree import Tree, grown
from kernelwright.testing.evaluators import TILE
from kernelwright.testing.histories import attempt, draft, refine, retune
from kernelwright.testing.strategies import DRAFTERS, StrategyContract

LLM = Drafter(writer="llm", language="cpp", limit=2, refines=True)


class TestTree(StrategyContract):
    @pytest.fixture
    def strategy(self):
        return Tree(drafters=DRAFTERS, seed=7)


def drafted(*scores, tunables=()):
    return tuple(attempt(1 + i, draft("llm", i), score, tunables) for i, score in enumerate(scores))


def below(history):
    return {node.text: node for node in grown(history).below}


def of(node_text, history):
    return below(history)[text_id(node_text.candidate)]


def searched(strategy, history, outcome):
    """The history when `strategy` is through; `outcome` makes an attempt of a plan and a step."""
    while plans := strategy.ask(history, 1):
        ended = outcome(plans[0], 1 + len(history.attempts), history)
        history = replace(history, attempts=(*history.attempts, ended))
    return history


def test_it_leaves_a_branch_that_deceived_it():
    """What is written from the best draft is slow; from the other one comes the fastest of all."""
    deceiver, honest = drafted(2.0, 1.8)
    top = honest.candidate.id

    def outcome(plan, step, history):
        return attempt(step, plan, 4.0 if top in plan.parents else 0.1 + step / 1000)

    start = History(attempts=(deceiver, honest))
    drafters = (LLM,)
    assert searched(Tree(drafters=drafters), start, outcome).best.score == pytest.approx(4, rel=0.1)
    greedy = searched(Refine(drafters=drafters, patience=12), start, outcome)
    assert greedy.best.score < 2.1


def test_more_attempts_go_where_they_pay_more():
    rich, poor = drafted(2.0, 1.9)
    start = History(attempts=(rich, poor))

    def outcome(plan, step, history):
        lineage = [plan.parents[0]]
        while (a := history.attempt_of(lineage[-1])) and a.plan.parents:
            lineage.append(a.plan.parents[0])
        return attempt(step, plan, (1.9 if lineage[-1] == rich.candidate.id else 0.2) + step / 1000)

    ended = searched(Tree(drafters=(LLM,)), start, outcome)
    assert of(rich, ended).visits > 2 * of(poor, ended).visits > 2


def test_an_attempt_pays_its_share_of_the_best_and_a_failure_nothing():
    best, half = drafted(2.0, 1.0)
    broken = attempt(3, refine(half), "error")
    history = History(attempts=(best, half, broken))
    assert of(best, history).reward == pytest.approx(1.0)
    assert of(half, history).own == (pytest.approx(0.5),)
    assert (of(half, history).visits, of(half, history).reward) == (2, pytest.approx(0.5))


def test_a_plan_that_is_out_is_a_visit_that_has_paid_nothing():
    first, second = drafted(2.0, 1.0, tunables=(TILE,))
    out = (refine(first), retune(first, TILE=2))
    history = History(attempts=(first, second), pending=out)
    assert of(first, history).visits == 3
    assert of(first, history).reward == pytest.approx(1.0)


def test_so_two_plans_at_once_go_to_two_branches():
    first, second = drafted(2.0, 1.99)
    one, two = Tree(drafters=(LLM,)).ask(History(attempts=(first, second)), 2)
    assert (one.parents, two.parents) == ((first.candidate.id,), (second.candidate.id,))


def test_an_answer_that_is_none_is_a_visit_and_a_fault_of_ours_is_not():
    (first,) = drafted(2.0)
    declined = attempt(2, refine(first))
    lost = replace(declined, faulted=True)
    assert of(first, History(attempts=(first, declined))).visits == 2
    assert of(first, History(attempts=(first, lost))).visits == 1


def test_a_text_may_have_more_below_it_the_more_often_it_was_visited():
    (first,) = drafted(2.0)
    strategy = Tree(drafters=(replace(LLM, limit=1),), widening=1.0, alpha=0.5, patience=20)
    history = searched(
        strategy, History(attempts=(first,)), lambda p, step, _: attempt(step, p, 1.9 + step / 1e4)
    )
    root = of(first, history)
    assert root.visits == 21
    assert 2 <= len(root.below) <= 5
    wide = searched(
        replace(strategy, widening=99.0),
        History(attempts=(first,)),
        lambda p, step, _: attempt(step, p, 1.9 + step / 1e4),
    )
    assert len(of(first, wide).below) == 20


def test_a_text_with_no_other_way_on_is_widened_all_the_same():
    (first,) = drafted(2.0)
    useless = (attempt(2, refine(first)),)
    broken = attempt(3, refine(first, 1), "error")
    repairs = [attempt(4, refine(broken), "again"), attempt(5, refine(broken, 1), "and again")]
    history = History(attempts=(first, *useless, broken, *repairs))
    (plan,) = Tree(drafters=(replace(LLM, limit=1),), alpha=0.0).ask(history, 1)
    assert plan.parents == (first.candidate.id,)


def test_without_a_model_the_draft_that_pays_more_is_tuned_first_and_then_the_other():
    good, bad = drafted(2.0, 1.9, tunables=(TILE,))

    def outcome(plan, step, history):
        text = history.attempt_of(plan.parents[0]).candidate.source.text.strip()
        return attempt(step, plan, float(text), (TILE,))

    drafters = (Drafter(writer="llm", language="cpp", limit=2, listed=True),)
    ended = searched(
        Tree(drafters=drafters, exploration=0.01), History(attempts=(good, bad)), outcome
    )
    texts = [text_id(a.candidate) for a in ended.attempts[2:]]
    each = len(TILE.choices) - 1
    assert texts[0] == text_id(good.candidate)
    assert (texts.count(texts[0]), len(texts)) == (each, 2 * each)


def test_refinement_ends_when_it_gains_nothing():
    (first,) = drafted(2.0)
    ended = searched(
        Tree(drafters=(replace(LLM, limit=1),), patience=3),
        History(attempts=(first,)),
        lambda p, step, _: attempt(step, p, 1.0 + step / 1000),
    )
    assert len(ended.attempts) == 4
