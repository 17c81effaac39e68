"""`judge` without a judge: what is wrong before anything is started. With one: `test_whole`."""

from kernelwright.apps.cli.main import run
from kernelwright.core.evaluation import BuildFailed, Passed
from kernelwright.report.result import judged
from kernelwright.testing.runs import candidate, evaluation, passed


def one_sentence(capsys) -> str:
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    return said.err


def test_a_candidate_that_is_not_there(tmp_path, capsys):
    assert run(["judge", "builtin:softmax", str(tmp_path / "kernel.cpp")]) == 2
    assert "There is no file" in one_sentence(capsys)


def test_a_problem_that_is_not_there(tmp_path, capsys):
    kernel = tmp_path / "kernel.cpp"
    kernel.write_text("int x;")
    assert run(["judge", str(tmp_path / "model.py"), str(kernel)]) == 2
    assert "There is no file" in one_sentence(capsys)
    assert run(["judge", str(tmp_path), str(kernel)]) == 2
    assert "is a folder" in one_sentence(capsys)


def test_what_only_the_self_check_takes_is_refused_without_it(capsys):
    assert run(["judge", "builtin:softmax", "kernel.cpp", "--only", "A2"]) == 2
    assert "Add --self-check" in one_sentence(capsys)
    assert run(["judge", "--corpus", "honest"]) == 2
    assert "Add --self-check" in one_sentence(capsys)


def test_the_self_check_takes_no_problem_of_ones_own(capsys):
    assert run(["judge", "builtin:softmax", "kernel.cpp", "--self-check"]) == 2
    assert "Leave the problem" in one_sentence(capsys)


def test_a_verdict_for_a_program_has_the_outcome_the_reason_and_the_figures():
    made = candidate("x")
    right = judged(evaluation(made, passed(2e6)), "p")
    assert (right.outcome, right.problem) == ("passed", "p")
    assert right.vs_best.baseline == "torch.compile"
    assert right.speedup.keys() == right.baselines.keys()
    assert right.buffer.candidate_ns < right.candidate_ns
    wrong = judged(evaluation(made, BuildFailed(diagnostics="k.cpp:1: error: no\n")), "p")
    assert (wrong.outcome, wrong.reason) == ("build_failed", "k.cpp:1: error: no")
    assert (wrong.vs_best, wrong.candidate_ns, wrong.buffer) == (None, None, None)


def test_a_pass_that_was_not_timed_has_no_figures():
    untimed = Passed(agreements=passed(1e6).agreements)
    said = judged(evaluation(candidate("x"), untimed), "p")
    assert said.outcome == "passed"
    assert "not timed" in said.reason
    assert said.vs_best is None
