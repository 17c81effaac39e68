"""Judging the library again: what holds, what does not, and what is not for this device."""

from dataclasses import replace

import pytest

from kernelwright.core.errors import WorkerError
from kernelwright.core.evaluation import BuildFailed, Mismatch, Passed, WrongResult
from kernelwright.library.adding import add
from kernelwright.library.normal.form import normal_form
from kernelwright.library.shelf import read_kernel
from kernelwright.library.verifying import Again, verify
from kernelwright.testing.evaluators import evaluation_of, passed
from kernelwright.testing.library import norm, promoted


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """A kernel that was 1.5 times faster on this machine, whichever it is."""
    made = promoted()
    monkeypatch.setattr(
        "kernelwright.library.verifying.environment", lambda _: made.evaluation.environment
    )
    return read_kernel(add(tmp_path, "norm-cpp", made))


def judging(outcome, **other):
    problem, graph = norm(**other)
    asked = []

    def again(kernel, device, require_isolation):
        asked.append((kernel.name, device, require_isolation))
        candidate = kernel.candidate(problem)
        return Again(
            evaluation=evaluation_of(candidate, outcome, "promotion"),
            form=normal_form(problem, graph),
        )

    again.asked = asked
    return again


def test_one_that_holds_says_how_fast_it_is_now_and_was(kernel):
    found = verify(kernel, "cpu", again=judging(passed(1.25)))
    assert (found.outcome, found.good, found.baseline) == ("holds", True, "eager")
    assert found.speedup[0] == pytest.approx(1.25, rel=1e-3)
    assert found.was[0] == pytest.approx(1.5, rel=1e-3)


def test_one_that_was_not_timed_says_so(kernel):
    found = verify(kernel, "cpu", again=judging(Passed(agreements=())))
    assert (found.outcome, found.speedup) == ("holds", None)
    assert found.reason == "Right on fresh inputs, and not timed here."


def test_one_that_is_wrong_does_not_hold(kernel):
    found = verify(kernel, "cpu", again=judging(BuildFailed(diagnostics="no")))
    assert (found.outcome, found.good, found.speedup) == ("wrong", False, None)
    assert found.reason == "The judge says build failed."


def test_a_wrong_result_says_on_which_inputs(kernel):
    seen = Mismatch(workload_id="odd", split="hidden", distribution="far", output="out",
                    kind="wrong_value", matched_ratio=0.5)  # fmt: skip
    found = verify(kernel, "cpu", again=judging(WrongResult(mismatches=(seen,))))
    assert found.reason == (
        "The judge says wrong result on far inputs of the hidden workload odd: 50.0% of out agree."
    )


def test_one_that_was_faster_here_and_is_slower_does_not_hold(kernel):
    found = verify(kernel, "cpu", again=judging(passed(0.5)))
    assert (found.outcome, found.good) == ("slower", False)


def test_one_that_was_slower_all_along_holds(tmp_path, monkeypatch):
    made = promoted(speedup=0.8)
    monkeypatch.setattr(
        "kernelwright.library.verifying.environment", lambda _: made.evaluation.environment
    )
    slow = read_kernel(add(tmp_path, "slow", made))
    assert verify(slow, "cpu", again=judging(passed(0.7))).outcome == "holds"


def test_one_whose_problem_traces_to_something_else_is_stale(kernel):
    found = verify(kernel, "cpu", again=judging(passed(1.5), dtype="float64"))
    assert (found.outcome, found.good) == ("stale", False)


def test_one_for_another_device_is_skipped_and_not_judged(kernel):
    again = judging(passed(1.5))
    found = verify(kernel, "cuda", again=again)
    assert (found.outcome, found.good, again.asked) == ("skipped", True, [])
    assert found.reason == "cpp does not run on cuda."


def test_one_that_was_judged_on_another_kind_of_device_is_skipped(kernel):
    """Triton runs on a CPU too, in its interpreter, but its kernels are not made for that."""
    (judgement,) = kernel.certificate.judgements
    gpu = judgement.evaluation.environment.model_copy(update={"device": "NVIDIA H100"})
    evaluation = judgement.evaluation.model_copy(update={"environment": gpu})
    judgements = (judgement.model_copy(update={"evaluation": evaluation}),)
    certificate = kernel.certificate.model_copy(update={"judgements": judgements})
    about = kernel.about.model_copy(update={"language": "triton"})
    again = judging(passed(1.5))
    found = verify(replace(kernel, about=about, certificate=certificate), "cpu", again=again)
    assert (found.outcome, found.good, again.asked) == ("skipped", True, [])
    assert found.reason == "It was judged on cuda, and never on cpu."


def test_a_judge_that_breaks_is_said_and_is_no_success(kernel):
    def broken(*_):
        raise WorkerError("The process ended.")

    found = verify(kernel, "cpu", again=broken)
    assert (found.outcome, found.good, found.reason) == ("not_judged", False, "The process ended.")


def test_the_isolation_that_is_asked_for_is_passed_on(kernel):
    again = judging(passed(1.5))
    verify(kernel, "cpu", require_isolation="landlock+seccomp", again=again)
    assert again.asked == [("norm-cpp", "cpu", "landlock+seccomp")]
