"""`profile` in front of a judge of paper: what is printed, and the exit code."""

import json

import pytest

from kernelwright.apps.cli.main import run
from kernelwright.apps.cli.profile import Profiled, profile_one
from kernelwright.core.diagnosis import Diagnosis, Figure
from kernelwright.core.errors import SandboxError
from kernelwright.core.evaluation import Passed
from kernelwright.evaluate.profile.counters import Counters, KernelCounters
from kernelwright.evaluate.profile.nsight import NotCounted
from kernelwright.languages.reading import candidate_from_text
from kernelwright.testing.evaluators import row_problem
from kernelwright.testing.judges import FakeJudge, worded


def profiled(word, capsys, judge=None):
    """The exit code, and what is printed for a person and for a program."""
    candidate = candidate_from_text(row_problem(), worded(word), "cpp")
    judge = judge or FakeJudge()
    code = profile_one(judge, candidate, as_json=False)
    words = capsys.readouterr().out
    assert profile_one(judge, candidate, as_json=True) == code
    return code, words, Profiled(**json.loads(capsys.readouterr().out))


class Diagnosing(FakeJudge):
    """Its passes carry a diagnosis of their own."""

    def judge(self, candidate, effort):
        found = super().judge(candidate, effort)
        profile = Diagnosis(
            bottleneck="memory_bound",
            figures=(Figure(name="moves", value=18.26, unit="GB/s"),),
            headroom=1.25,
            hints=("Move less.",),
        )
        return found.model_copy(
            update={"outcome": found.outcome.model_copy(update={"profile": profile})}
        )


def test_a_pass_shows_the_bottleneck_its_figures_the_headroom_and_the_hints(capsys):
    code, words, said = profiled(2, capsys, Diagnosing())
    assert code == 0
    for part in ("memory bound: It moves", "moves: 18.3 GB/s", "1.25×", "hint: Move less."):
        assert part in words
    assert said.diagnosis.bottleneck == "memory_bound"
    assert said.verdict.outcome == "passed"


def test_what_the_compiler_made_of_it_is_shown_beside(capsys):
    _, words, said = profiled(2, capsys, Diagnosing())
    assert "loop in kernel at 0x1000: one element at a time; 4 instructions: 2 scalar" in words
    assert said.facts.loops[0].scalar == 2


class Counting(Diagnosing):
    """It has a device that counts, or says why not."""

    found = Counters(
        kernels=(
            KernelCounters(
                name="rows\x1b[2J",
                ns=60_000,
                read_bytes=5e6,
                written_bytes=1e6,
                memory_percent=81.2,
            ),
            *(KernelCounters(name="short", ns=ns) for ns in range(6)),
        )
    )

    def counters(self, candidate):
        return self.found


def test_what_the_device_counted_is_shown_and_printed(capsys):
    _, words, said = profiled(2, capsys, Counting())
    shown = "launch of rows␛[2J: 60.0 µs, reads 5 MB, writes 1 MB, memory 81% busy"
    for part in (shown, "and 2 shorter ones"):
        assert part in words
    assert said.counters == Counting.found
    assert said.diagnosis.figures[0].name == "moves"


def test_figures_of_the_whole_call_stand_with_the_diagnosis(capsys):
    judge = Counting()
    judge.found = Counters(kernels=Counting.found.kernels[:1])
    _, words, said = profiled(2, capsys, judge)
    assert "  counted: read from memory: 5 MB" in words
    assert "  counted: memory is busy: 81.2 %" in words
    assert said.diagnosis.counters[0].value == 5


def test_why_nothing_was_counted_is_said_and_changes_nothing_else(capsys):
    judge = Counting()
    judge.found = NotCounted("hardware counters: not here")
    code, words, said = profiled(2, capsys, judge)
    assert code == 0
    assert "not known: hardware counters: not here" in words
    assert said.counters is None
    assert said.diagnosis.headroom == 1.25


def test_what_did_not_pass_is_not_counted(capsys):
    judge = Counting()
    judge.judge = lambda candidate, effort: judge.refuse(candidate, effort, "no")
    _, words, said = profiled(2, capsys, judge)
    assert "launch of" not in words
    assert said.counters is None


def test_what_does_not_build_has_its_verdict_and_no_facts(capsys):
    code, words, said = profiled("error", capsys)
    assert code == 1
    assert words.startswith("build failed")
    assert (said.diagnosis, said.facts) == (None, None)
    assert said.verdict.outcome == "build_failed"


def test_what_was_built_and_is_wrong_shows_its_code_all_the_same(capsys):
    judge = FakeJudge()
    judge.judge = lambda candidate, effort: judge.refuse(candidate, effort, "no")
    code, words, said = profiled(2, capsys, judge)
    assert code == 1
    assert words.startswith("rejected")
    assert said.diagnosis.bottleneck == "not_vectorised"
    assert said.diagnosis.headroom is None


def test_what_this_machine_cannot_run_is_looked_at_and_ends_with_1(capsys):
    code, words, said = profiled("unavailable", capsys)
    assert code == 1
    assert words.startswith("not judged: There is no compiler.")
    assert "not vectorised" in words
    assert (said.verdict, said.not_judged) == (None, "There is no compiler.")


def test_our_own_failure_is_not_hidden(capsys):
    with pytest.raises(SandboxError):
        profiled("fault", capsys)


def test_an_evaluation_of_before_has_no_profile_and_is_read():
    assert Passed(agreements=()).profile is None
    assert Passed.model_validate({"kind": "passed", "agreements": []}).profile is None


def test_a_candidate_that_is_not_there_is_one_sentence(tmp_path, capsys):
    assert run(["profile", "builtin:softmax", str(tmp_path / "k.cpp")]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "There is no file" in said.err


def test_a_problem_that_is_not_there_is_one_sentence(tmp_path, capsys):
    kernel = tmp_path / "k.cpp"
    kernel.write_text("int x;")
    assert run(["profile", str(tmp_path / "model.py"), str(kernel)]) == 2
    assert "There is no file" in capsys.readouterr().err
