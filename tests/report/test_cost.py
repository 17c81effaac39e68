"""What a run cost, and what a verified speedup cost: nothing that was spent is left out."""

import io

import pytest
from rich.console import Console

from kernelwright.core.candidate import ModelCall, Plan, Usage
from kernelwright.report import cost, text
from kernelwright.report.cost import Cost, Expense
from kernelwright.report.html import render
from kernelwright.report.result import result_of
from kernelwright.report.story import Story
from kernelwright.store.memory import MemoryStore
from kernelwright.testing.runs import Log, candidate, evaluation, passed, write_run

DRAFT = Plan(kind="draft", language="cpp", writer="llm")
FASTER, SLOWER = 2e6, 20e6


def cost_of(*writes):
    log = Log(MemoryStore())
    log.start()
    for write in writes:
        write(log)
    return result_of(Story.of(log.store.records()), path=None).cost


def attempt(step, ns, *, price=0.5, tokens=100, text=None):
    call = ModelCall(
        role="writer", model="m", request="", reply=None,
        usage=Usage(input_tokens=tokens, output_tokens=1), cost_usd=price,
    )  # fmt: skip
    made = candidate(text or f"{step}")
    return lambda log: log.attempt(step, DRAFT, made, passed(ns), calls=[call])


def promoted(step, ns):
    again = evaluation(candidate(f"{step}"), passed(ns, seed=9), effort="promotion")
    return lambda log: log.verdict("promotion", step, again)


def ended(step):
    return lambda log: log.add("finished", {"reason": "enough", "step": step})


def test_a_verified_speedup_costs_all_that_the_run_spent(story):
    found = result_of(story, path=None).cost
    assert found.per_speedup == found.total
    # Four calls of 2,740 tokens; five verdicts of the search and a promotion, of 1.2 s each on the
    # device, since compiling is not in it; an event a second.
    spent = found.total
    assert (spent.attempts, spent.tokens) == (6, 4 * 2740)
    assert spent.cost_usd == pytest.approx(4 * 0.0123)
    assert spent.device_s == pytest.approx(6 * 1.2)
    assert spent.wall_s == story.wall_s > 15
    assert found.per_attempt.wall_s == pytest.approx(spent.wall_s / 6)


def test_until_the_best_is_what_was_spent_when_its_verdict_came():
    found = cost_of(
        attempt(1, 4e6), attempt(2, FASTER), attempt(3, 3e6), promoted(2, FASTER), ended(2)
    )
    assert (found.until_best.attempts, found.total.attempts) == (2, 3)
    assert (found.until_best.cost_usd, found.total.cost_usd) == (1.0, 1.5)
    assert found.until_best.device_s == pytest.approx(2 * 1.2)
    assert found.until_best.tokens == 202


@pytest.mark.parametrize(
    "writes",
    [
        (attempt(1, FASTER), promoted(1, SLOWER), ended(1)),
        (attempt(1, FASTER), ended(1)),
        (ended(None),),
    ],
    ids=["not faster", "not measured afresh", "nothing"],
)
def test_without_a_verified_speedup_there_is_no_cost_of_one(writes):
    found = cost_of(*writes)
    assert found.per_speedup is None
    assert cost.in_words(found).startswith("No verified speedup came of")


def test_a_run_with_no_attempts_has_no_cost_of_one():
    found = cost_of(ended(None))
    assert (found.per_attempt, found.until_best) == (None, None)
    assert found.total.attempts == 0


def test_money_is_not_known_when_one_price_is_not():
    found = cost_of(attempt(1, FASTER), attempt(2, 4e6, price=None), promoted(1, FASTER), ended(1))
    assert found.until_best.cost_usd == 0.5
    assert found.total.cost_usd is None
    assert found.per_attempt.cost_usd is None
    assert found.total.tokens == 202
    assert "unknown for models" in cost.in_words(found)


def test_it_is_said_in_words():
    found = cost_of(attempt(1, 4e6), attempt(2, FASTER), promoted(2, FASTER), ended(2))
    assert cost.in_words(found) == (
        "The verified speedup cost 2 attempts, 10.0 s, 3.60 s of the device, $1.00 for models and "
        "202 tokens. Its candidate was there after 2 attempts, 8.00 s, 2.40 s of the device, $1.00 "
        "for models and 202 tokens. An attempt took 5.00 s and $0.5 on average."
    )


def test_without_models_no_money_is_spoken_of():
    plain = cost_of(
        lambda log: log.attempt(1, DRAFT, candidate("1"), passed(FASTER)),
        promoted(1, FASTER), ended(1),
    )  # fmt: skip
    said = cost.in_words(plain)
    assert plain.total.cost_usd == 0
    assert "$" not in said
    assert "token" not in said


def test_every_report_says_it():
    store = MemoryStore()
    write_run(store)
    story = Story.of(store.records())
    result = result_of(story, path=None)
    said = cost.in_words(result.cost)
    out = io.StringIO()
    Console(file=out, width=400).print(text.summary(result))
    assert said in out.getvalue()
    assert said in render(story, result, store.get)
    assert Cost.model_validate_json(result.cost.model_dump_json()) == result.cost


def spent(attempts, usd, *, verified):
    total = Expense(attempts=attempts, wall_s=60.0, device_s=5.0, cost_usd=usd, tokens=10)
    return Cost(
        total=total, per_speedup=total if verified else None, until_best=None, per_attempt=None
    )


def test_a_suite_charges_runs_that_found_nothing_to_those_that_did():
    costs = [
        spent(4, 1.0, verified=True),
        spent(5, 2.0, verified=False),
        spent(3, 0.0, verified=True),
    ]
    assert cost.of_suite(costs) == (
        "A verified speedup cost 6.00 attempts, 90.0 s, 7.50 s of the device, $1.50 for models and "
        "15 tokens: what 3 runs spent, over 2."
    )
    assert cost.of_suite(costs[1:2]).startswith("No verified speedup came of 5 attempts")
    unknown = cost.of_suite([*costs, spent(1, None, verified=False)])
    assert "unknown for models" in unknown
