"""The bandit keeps the contract, and draws what gained on kernels that were limited alike."""

from collections import Counter
from dataclasses import replace

import pytest

from kernelwright.core.action import Action
from kernelwright.core.candidate import Plan
from kernelwright.core.diagnosis import Diagnosis
from kernelwright.core.evaluation import BuildFailed
from kernelwright.core.run import Attempt, History
from kernelwright.search.bandit import Bandit, gains
from kernelwright.search.drafting import Drafter
from kernelwright.testing.evaluators import TILE, evaluation_of, number_candidate, passed
from kernelwright.testing.strategies import DRAFTERS, StrategyContract, play, stored


def action(name, *bottlenecks):
    return Action(name=name, summary=name, bottlenecks=bottlenecks, languages=("cpp",))


FUSE, TILES = action("fuse", "memory_bound"), action("tile", "memory_bound", "compute_bound")
UNROLL = action("unroll", "compute_bound")
ACTIONS = (FUSE, TILES, UNROLL)
LLM = Drafter(writer="llm", language="cpp", limit=1, refines=True, actions=ACTIONS)
SKETCH = Drafter(writer="sketch", language="cpp", actions=ACTIONS)


class TestBandit(StrategyContract):
    @pytest.fixture
    def strategy(self):
        return Bandit(drafters=tuple(replace(d, actions=ACTIONS) for d in DRAFTERS), seed=7)


class TestBanditOfSketches(StrategyContract):
    @pytest.fixture
    def strategy(self):
        return Bandit(drafters=(SKETCH,), seed=7)


def draft(writer="llm", variant=0):
    return Plan(kind="draft", writer=writer, language="cpp", variant=variant)


def judged(step, plan, speedup, bottleneck=None, tunables=()):
    """An attempt that passed; each has a text of its own."""
    candidate = number_candidate(f"{speedup} {step}", tunables=tunables)
    profile = bottleneck and Diagnosis(bottleneck=bottleneck)
    outcome = passed(speedup).model_copy(update={"profile": profile})
    return Attempt(
        step=step, plan=plan, candidate=candidate, evaluation=evaluation_of(candidate, outcome)
    )


def noisy(attempt):
    """`attempt` as a busy machine times it: blocks of the candidate are up to a fifth off."""
    outcome = attempt.evaluation.outcome
    measurements = [
        m.model_copy(
            update={
                "elapsed_ns": tuple(
                    round(ns * (1 + 0.1 * (i % 5 - 2))) for i, ns in enumerate(m.elapsed_ns)
                )
            }
        )
        if m.subject == "candidate"
        else m
        for m in outcome.measurements
    ]
    told = outcome.model_copy(update={"measurements": tuple(measurements)})
    return replace(attempt, evaluation=evaluation_of(attempt.candidate, told))


def refine(parent, name, variant=0):
    parents = (parent.candidate.id,)
    return Plan(
        kind="refine", writer="llm", language="cpp", parents=parents, variant=variant, action=name
    )


def tried(gained, failed, times=2, bottleneck="memory_bound"):
    """`times` attempts with each of two actions on one parent: all of one gained, none of the
    other."""
    first = judged(1, draft(), 2.0, bottleneck)
    attempts = [first]
    for n in range(times):
        plans = refine(first, gained, n), refine(first, failed, n)
        attempts += [
            judged(2 + 2 * n, plans[0], 3.0 + n / 100, bottleneck),
            judged(3 + 2 * n, plans[1], 1.0, bottleneck),
        ]
    return History(attempts=tuple(attempts))


def first_actions(history, seeds=100):
    """How often each action is asked for first, over many seeds."""
    asked = (Bandit(drafters=(LLM,), seed=s, patience=99).ask(history, 1) for s in range(seeds))
    return Counter(plan.action for plans in asked for plan in plans)


def test_first_comes_one_draft_of_each_writer():
    asked = Bandit(drafters=(SKETCH, replace(LLM, limit=4))).ask(History(), 2)
    assert [(p.kind, p.writer, p.action) for p in asked] == [
        ("draft", "sketch", None), ("draft", "llm", None),
    ]  # fmt: skip


def test_what_gained_is_asked_for_more_often_than_what_did_not():
    counts = first_actions(tried("fuse", "tile"))
    assert counts["fuse"] > 5 * counts["tile"] > 0
    counts = first_actions(tried("tile", "fuse"))
    assert counts["tile"] > 5 * counts["fuse"] > 0


def test_what_gained_on_kernels_that_were_limited_otherwise_says_nothing():
    history = tried("tile", "unroll", bottleneck="memory_bound")
    best = judged(50, draft(), 9.0, "compute_bound")
    counts = first_actions(History(attempts=(*history.attempts, best)))
    assert set(counts) == {"tile", "unroll"}
    assert min(counts.values()) > 30


def test_actions_for_another_bottleneck_are_not_asked_for():
    history = History(attempts=(judged(1, draft(), 2.0, "memory_bound"),))
    assert set(first_actions(history)) == {"fuse", "tile"}
    history = History(attempts=(judged(1, draft(), 2.0, "compute_bound"),))
    assert set(first_actions(history)) == {"tile", "unroll"}


@pytest.mark.parametrize("bottleneck", [None, "unknown"])
def test_where_the_bottleneck_is_not_known_every_action_may_help(bottleneck):
    history = History(attempts=(judged(1, draft(), 2.0, bottleneck),))
    assert set(first_actions(history)) == {"fuse", "tile", "unroll"}


def test_an_action_is_done_on_the_best_candidate():
    slow, fast = judged(1, draft(), 1.0), judged(2, draft(variant=1), 2.0)
    (plan,) = Bandit(drafters=(LLM,)).ask(History(attempts=(slow, fast)), 1)
    assert (plan.kind, plan.writer, plan.parents) == ("refine", "llm", (fast.candidate.id,))


def test_only_a_sure_gain_counts():
    first = judged(1, draft(), 2.0)
    better = noisy(judged(2, refine(first, "fuse"), 2.1))
    sure = judged(3, refine(first, "fuse", 1), 2.1)
    assert better.score > first.score > better.at_least
    history = History(attempts=(first, better, sure))
    assert gains("fuse", "unknown", history) == [False, True]


def test_a_program_that_does_not_build_counts_as_no_gain_and_a_fault_of_ours_as_nothing():
    first = judged(1, draft(), 2.0)
    nothing = Attempt(step=2, plan=refine(first, "fuse"), reason="no program")
    lost = replace(nothing, step=3, plan=refine(first, "fuse", 1), faulted=True)
    assert gains("fuse", "unknown", History(attempts=(first, nothing, lost))) == [False]


def test_an_action_that_is_out_is_not_asked_for_again():
    history = History(attempts=(judged(1, draft(), 2.0, "memory_bound"),))
    strategy = Bandit(drafters=(LLM,))
    asked = strategy.ask(history, 9)
    assert sorted(plan.action for plan in asked) == ["fuse", "tile"]
    assert strategy.ask(replace(history, pending=tuple(asked)), 9) == []


def test_the_seed_and_the_history_decide_and_nothing_else():
    history = tried("fuse", "tile", times=1)
    for seed in range(20):
        once, again = (Bandit(drafters=(LLM,), seed=seed).ask(h, 3) for h in (history, history))
        assert once == again == Bandit(drafters=(LLM,), seed=seed).ask(stored(history), 3)
    assert len(first_actions(history, seeds=20)) > 1


def test_each_question_draws_anew():
    """Or a run would ask for one action for ever."""
    first = judged(1, draft(), 2.0, "memory_bound")
    asked = set()
    for length in range(1, 12):
        worse = tuple(judged(n, draft(variant=n), 1.0) for n in range(2, 2 + length))
        (plan,) = Bandit(drafters=(LLM,)).ask(History(attempts=(first, *worse)), 1)
        asked.add(plan.action)
    assert asked == {"fuse", "tile"}


def test_tuning_is_one_of_the_arms():
    history = History(attempts=(judged(1, draft(), 2.0, tunables=(TILE,)),))
    kinds = Counter(
        plan.kind for s in range(60) for plan in Bandit(drafters=(LLM,), seed=s).ask(history, 1)
    )
    assert set(kinds) == {"refine", "tune"}
    # One of four, as long as none was tried.
    assert 5 <= kinds["tune"] <= 28


def test_tuning_that_gained_nothing_is_drawn_less():
    history = History(attempts=(judged(1, draft(), 2.0, tunables=(TILE,)),))
    tune = Plan(
        kind="tune", language="cpp", writer="tuner", parents=(history.best.candidate.id,),
        settings={"TILE": 16},
    )  # fmt: skip
    worse = tuple(replace(judged(n, tune, 1.0), candidate=None) for n in range(2, 6))
    more, less = (
        sum(
            plan.kind == "tune"
            for s in range(60)
            for plan in Bandit(drafters=(LLM,), seed=s).ask(h, 1)
        )
        for h in (history, replace(history, attempts=(*history.attempts, *worse)))
    )
    assert less < more / 2


def test_without_a_writer_that_refines_a_sketch_drafts_with_the_action():
    best = judged(1, draft("sketch"), 2.0, "memory_bound")
    history = History(attempts=(best,))
    asked = Bandit(drafters=(SKETCH,)).ask(history, 2)
    assert {(p.kind, p.writer, p.parents) for p in asked} == {
        ("draft", "sketch", (best.candidate.id,))
    }
    assert sorted(p.action for p in asked) == ["fuse", "tile"]


def test_a_sketch_is_asked_for_an_action_once_and_then_for_what_else_it_has():
    best = judged(1, draft("sketch"), 2.0, "memory_bound")
    asked = Bandit(drafters=(SKETCH,)).ask(History(attempts=(best,)), 4)
    assert [(p.action is None, p.variant) for p in asked[2:]] == [(True, 1), (True, 2)]
    declined = tuple(
        Attempt(step=2 + n, plan=plan, reason="handed out before")
        for n, plan in enumerate(asked[:2])
    )
    again = Bandit(drafters=(SKETCH,)).ask(History(attempts=(best, *declined)), 1)
    assert [(p.action, p.variant) for p in again] == [(None, 1)]


def test_where_no_action_suits_other_drafts_come_before_tuning():
    best = judged(1, draft("sketch"), 2.0, "call_overhead", tunables=(TILE,))
    asked = Bandit(drafters=(SKETCH,)).ask(History(attempts=(best,)), 3)
    assert [(p.kind, p.action, p.variant) for p in asked] == [("draft", None, n) for n in (1, 2, 3)]
    ended = Attempt(step=2, plan=asked[0], reason="no more")
    asked = Bandit(drafters=(SKETCH,)).ask(History(attempts=(best, ended)), 99)
    assert [p.kind for p in asked] == ["tune"] * (len(TILE.choices) - 1)


def test_a_draft_with_an_action_that_a_fault_lost_is_asked_for_again():
    best = judged(1, draft("sketch"), 2.0, "memory_bound")
    asked = Bandit(drafters=(SKETCH,)).ask(History(attempts=(best,)), 2)
    lost = Attempt(step=2, plan=asked[0], reason="no store", faulted=True)
    again = Bandit(drafters=(SKETCH,)).ask(History(attempts=(best, lost)), 2)
    assert {p.action for p in again} == {"fuse", "tile"}


def test_failures_are_repaired_before_anything_is_improved():
    text = number_candidate("error")
    verdict = evaluation_of(text, BuildFailed(diagnostics="error"))
    broken = Attempt(step=1, plan=draft(), candidate=text, evaluation=verdict)
    good = judged(2, draft("sketch"), 3.0, "memory_bound")
    (plan,) = Bandit(drafters=(SKETCH, LLM)).ask(History(attempts=(broken, good)), 1)
    assert (plan.kind, plan.parents, plan.action) == ("refine", (text.id,), None)


def test_refinement_ends_when_it_gains_nothing():
    history = History(attempts=(judged(1, draft(), 2.0, "memory_bound"),))
    strategy, asked = Bandit(drafters=(LLM,), patience=3), 0
    while plans := strategy.ask(history, 1):
        asked += 1
        worse = judged(1 + asked, plans[0], 1.0)
        history = replace(history, attempts=(*history.attempts, worse))
    assert asked == 3


def test_a_writer_that_no_action_suits_refines_as_it_likes():
    history = History(attempts=(judged(1, draft(), 2.0, "call_overhead"),))
    (plan,) = Bandit(drafters=(LLM,)).ask(history, 1)
    assert (plan.kind, plan.action) == ("refine", None)


def test_while_nothing_passed_other_drafts_are_asked_for():
    nothing = Attempt(step=1, plan=draft(), reason="no program")
    asked = Bandit(drafters=(replace(LLM, limit=3),)).ask(History(attempts=(nothing,)), 9)
    assert [(p.kind, p.variant) for p in asked] == [("draft", 1), ("draft", 2)]


def test_a_whole_search_tries_every_kind():
    drafters = tuple(replace(d, actions=ACTIONS) for d in DRAFTERS)
    asked = [p for q in play(Bandit(drafters=drafters), width=1) for p in q.answer]
    assert {p.kind for p in asked} == {"draft", "refine", "tune"}
    assert {p.action for p in asked} == {None, "fuse", "tile", "unroll"}
