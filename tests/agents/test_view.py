"""What an agent sees of a verdict: everything of what it knows, and a class of what is hidden."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelwright.agents.view import shareable, verdict_of, without_sizes
from kernelwright.core.evaluation import (
    Agreement,
    BuildFailed,
    Crashed,
    Mismatch,
    Rejected,
    TimedOut,
    WrongResult,
)
from kernelwright.core.problem import Workload
from kernelwright.testing.evaluators import evaluation_of, number_candidate, passed, row_problem

SECRET_SIZE, SECRET_VALUE, SECRET_ID = "31337", "0.73105", "prime-secret"
PROBLEM = row_problem().model_copy(
    update={
        "workloads": (
            *row_problem().split("report"),
            *row_problem().split("search"),
            Workload(id=SECRET_ID, split="hidden", axes={"rows": 31337}),
        )
    }
)


def seen(outcome, **changes):
    evaluation = evaluation_of(number_candidate(1), outcome).model_copy(update=changes)
    return verdict_of(evaluation, PROBLEM)


def mismatch(**changes):
    values = {
        "workload_id": "search", "split": "search", "distribution": "heavy", "output": "out",
        "kind": "wrong_value", "matched_ratio": 0.25, "detail": "element 4 is 1, expected 2",
    }  # fmt: skip
    return Mismatch(**(values | changes))


def hidden(**changes):
    secrets = {"matched_ratio": 0.73105, "detail": f"element {SECRET_SIZE} is {SECRET_VALUE}"}
    return mismatch(**({"workload_id": SECRET_ID, "split": "hidden"} | secrets | changes))


LEAKS = [
    WrongResult(mismatches=(hidden(),)),
    WrongResult(mismatches=(hidden(split="search"), mismatch())),
    WrongResult(mismatches=(hidden(workload_id="search"),)),
    Crashed(
        stage="core",
        signal="SIGSEGV",
        detail=f"On a hidden workload (tail): {SECRET_VALUE}\nsizes {SECRET_SIZE}",
    ),
    Crashed(stage="core", signal=None, detail=f"It raised.\n{SECRET_VALUE} {SECRET_SIZE}"),
    Crashed(stage="core", signal=None, detail=f"The device reports {SECRET_VALUE}."),
    Crashed(stage="load", signal=None, detail=f"On a hidden workload: x\n{SECRET_VALUE}"),
    Crashed(stage="sanitize", signal=None, detail=f"ERROR: ASAN {SECRET_VALUE}"),
    Crashed(stage="core", signal=None, detail=f"On workload {SECRET_ID} (rows=3): {SECRET_VALUE}"),
    Crashed(stage="core", signal=None, detail=f"On workload search (rows=3): rows={SECRET_SIZE}"),
    TimedOut(stage="core", limit_s=7.3105),
    Rejected(rule="data_race", evidence=f"On a hidden workload\n{SECRET_VALUE}"),
    Rejected(rule="forged_reply", evidence=f"It said {SECRET_SIZE}, {SECRET_SIZE}."),
    BuildFailed(diagnostics=f"RuntimeError: [{SECRET_SIZE}]"),
    passed(2.0).model_copy(
        update={
            "agreements": (
                Agreement(
                    workload_id=SECRET_ID, split="hidden", cases=1, elements=31337, worst=0.73105
                ),
            )
        }
    ),
]


@pytest.mark.parametrize("outcome", LEAKS, ids=lambda o: o.kind)
def test_nothing_of_a_hidden_workload_is_told(outcome):
    told = seen(
        outcome, log=f"{SECRET_VALUE} {SECRET_SIZE}", not_checked=(f"rows = {SECRET_SIZE}",)
    ).model_dump_json()
    for secret in (SECRET_SIZE, SECRET_VALUE, SECRET_ID, "7.3105"):
        assert secret not in told


def test_of_what_agreed_only_known_workloads_are_left():
    safe = shareable(evaluation_of(number_candidate(1), LEAKS[-1]), PROBLEM)
    assert (safe.outcome.agreements, safe.log, safe.checks) == ((), "", ())


def test_the_class_of_a_hidden_fault_is_told():
    (failure,) = seen(WrongResult(mismatches=(hidden(traits=("tail", "larger")),))).failures
    assert (failure.where, failure.kind, failure.distribution) == (
        "hidden", "wrong_value", "heavy",
    )  # fmt: skip
    assert failure.traits == ("tail", "larger")
    assert failure.sizes is failure.share_right is failure.detail is None


def test_of_what_it_knows_an_agent_is_told_all():
    told = seen(WrongResult(mismatches=(mismatch(), hidden())))
    known = told.failures[0]
    assert (known.sizes, known.share_right) == ({"rows": 3}, 0.25)
    assert known.detail == "element 4 is 1, expected 2"
    assert "25.0% of its elements are right" in told.diagnosis
    died = seen(
        Crashed(stage="core", signal="SIGFPE", detail="On workload search (rows=3): x\nmy words")
    )
    assert "my words" in died.diagnosis
    raised = seen(Crashed(stage="load", signal=None, detail="NameError: name 'tl' is not defined"))
    assert "`tl` is used and never defined" in raised.diagnosis


def test_the_judges_own_words_about_a_hidden_crash_are_told():
    said = "It read or wrote past an output's end."
    died = Crashed(stage="core", signal="SIGSEGV", detail=f"On a hidden workload (tail): {said}")
    safe = shareable(evaluation_of(number_candidate(1), died), PROBLEM).outcome
    assert safe.detail == f"On a hidden workload (tail): {said}"
    assert "no multiple of 8" in seen(died).diagnosis


def test_a_pass_has_its_times_in_both_regimes_and_its_speedup():
    told = seen(passed(2.0))
    assert told.speedup.median == pytest.approx(2.0, rel=0.01)
    assert told.speedup.baseline == "eager"
    assert [t.regime for t in told.timings] == ["returned", "buffer"]
    assert told.timings[0].baselines_ms["eager"] == pytest.approx(1.0, rel=0.01)
    assert "times as fast as eager" in told.summary


def test_sizes_that_are_known_too_stay():
    assert without_sizes(f"rows=4 {SECRET_SIZE} x{SECRET_SIZE} 3.{SECRET_SIZE}", PROBLEM) == (
        f"rows=4 (…) x{SECRET_SIZE} 3.{SECRET_SIZE}"
    )


@given(st.text(alphabet="0123456789 =.,\n()[]", max_size=60))
def test_a_secret_size_never_stands_by_itself(text):
    assert SECRET_SIZE not in without_sizes(f"{text} {SECRET_SIZE} {text}", PROBLEM).split()
