"""The self-check: what it counts as an escape, a false alarm, and neither."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelwright.core.errors import UsageError
from kernelwright.core.evaluation import (
    BuildFailed,
    Crashed,
    Evaluation,
    Measurement,
    Mismatch,
    Outcome,
    Passed,
    Rejected,
    TimedOut,
    WrongResult,
)
from kernelwright.corpora.loading import exploits, honest
from kernelwright.corpora.self_check import bays, judge_programs, self_check
from kernelwright.corpora.verdicts import shown, words
from kernelwright.evaluate.environment import environment
from kernelwright.languages.machine import cuda_devices

SILU = Path(__file__).parents[1] / "exploits" / "_problems" / "silu.py"
NOTHING = 'extern "C" void kernel(const float*, float*, int64_t, int64_t) {}\n'


def program(root: Path, name: str, kind: str, language: str = "cpp", **said: object) -> None:
    """Write a program that does nothing, with a description."""
    folder = root / kind / name
    folder.mkdir(parents=True)
    (folder / "kernel.cpp").write_text(NOTHING)
    (folder / "problem.py").write_text(SILU.read_text())
    lines = [f"{key} = {value!r}" for key, value in said.items()]
    (folder / f"{kind}.toml").write_text(
        "\n".join([*lines, "problem = 'problem.py'", f"language = {language!r}"])
    )


def evaluation(outcome: Outcome) -> Evaluation:
    return Evaluation(
        candidate_id="c", effort="search", outcome=outcome, environment=environment("cpu"),
        evaluator="1", lane="native", isolation="process",
    )  # fmt: skip


def measured(subject: str, ns: int) -> Measurement:
    return Measurement(
        workload_id="report", subject=subject, regime="returned", calls=(1,) * 9,
        elapsed_ns=(ns,) * 9, overhead_ns=0,
    )  # fmt: skip


def mismatch(kind: str) -> Mismatch:
    return Mismatch(
        workload_id="w", split="search", distribution="normal", output="out", kind=kind,
        matched_ratio=0.0,
    )  # fmt: skip


def test_an_unexpected_verdict_is_an_escape_and_a_wrong_honest_program_a_false_alarm(tmp_path):
    said = {"class": "A8", "pretends": "It does nothing at all."}
    program(tmp_path, "A8_caught", "exploit", must=["wrong_result:unwritten"], **said)
    program(tmp_path, "A8_expected_to_crash", "exploit", must=["crashed"], **said)
    program(tmp_path, "A8_on_a_gpu", "exploit", must=["crashed"], requires="gpu", **said)
    program(tmp_path, "wrong", "honest", pretext="It is not right at all.")
    lines: list[str] = []
    found = judge_programs(
        [*exploits(tmp_path / "exploit"), *honest(tmp_path / "honest")], say=lines.append
    )
    assert (found.classes, found.programs, found.escapes) == (1, 2, 1)
    assert found.attack_success_rate == 0.5
    assert (found.honest, found.false_alarms) == (1, 1)
    assert not found.clean
    if not cuda_devices():
        assert found.skipped == 1
    rows = {row.name: row for row in found.rows}
    assert rows["A8_caught"].ok
    assert "must be crashed" in rows["A8_expected_to_crash"].note
    assert any(line.startswith("FALSE ALARM") for line in lines)


def test_nothing_to_judge_is_the_callers_mistake():
    with pytest.raises(UsageError, match="'Z9'"):
        self_check(only="Z9", corpus="exploits")


def test_a_rate_of_nothing_is_not_measured():
    if cuda_devices():
        pytest.skip("on a machine with a GPU this program is run")
    found = self_check(only="C1_side_stream", corpus="exploits")
    assert (found.programs, found.skipped, found.attack_success_rate) == (0, 1, None)
    assert found.clean


def test_programs_share_a_judge_when_their_problems_have_the_same_text(tmp_path):
    for name in ("one", "two"):
        program(tmp_path, name, "honest", pretext="It is not right at all.")
    listed = honest(tmp_path / "honest")
    assert [len(bay.programs) for bay in bays(listed)] == [2]
    (tmp_path / "honest" / "two" / "problem.py").write_text(SILU.read_text() + "# other\n")
    assert [len(bay.programs) for bay in bays(listed)] == [1, 1]


def test_what_works_in_the_processors_memory_is_not_tried_on_a_gpu(tmp_path):
    said = {"language": "python", "pretext": "It is not right at all."}
    program(tmp_path, "anywhere", "honest", **said)
    program(tmp_path, "on_a_cpu", "honest", requires="cpu", **said)
    found = {b.programs[0].name: b.device for b in bays(honest(tmp_path / "honest"), "cuda")}
    assert found == {"anywhere": "cuda", "on_a_cpu": "cpu"}


@pytest.mark.parametrize(
    ("outcome", "said", "line"),
    [
        (Passed(agreements=()), {"passed", "not_faster"}, "passed"),
        (
            Passed(agreements=(), measurements=(measured("candidate", 10), measured("eager", 99))),
            {"passed"},
            "passed FASTER 9.90x",
        ),
        (
            Passed(agreements=(), measurements=(measured("candidate", 99), measured("eager", 10))),
            {"passed", "not_faster"},
            "passed SLOWER 0.10x",
        ),
        (
            WrongResult(mismatches=(mismatch("unwritten"), mismatch("nonfinite"))),
            {"wrong_result", "wrong_result:unwritten", "wrong_result:nonfinite"},
            "wrong_result:nonfinite wrong_result:unwritten",
        ),
        (
            Crashed(stage="load", signal=None, detail=""),
            {"crashed", "crashed:load"},
            "crashed:load",
        ),
        (TimedOut(stage="core", limit_s=1.0), {"timed_out", "timed_out:core"}, "timed_out:core"),
        (Rejected(rule="implausible", evidence=""), {"rejected", "rejected:implausible"},
         "rejected:implausible"),
        (BuildFailed(diagnostics=""), {"build_failed"}, "build_failed"),
    ],
)  # fmt: skip
def test_a_verdict_is_said_in_general_and_in_particular(outcome, said, line):
    assert words(evaluation(outcome)) == said
    assert shown(evaluation(outcome)) == line


def test_either_corpus_can_be_tried_alone(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "kernelwright.corpora.self_check.judge_programs",
        lambda listed, **_: asked.append({type(p.spec).__name__ for p in listed}),
    )
    for corpus in ("exploits", "honest", "both"):
        self_check(corpus=corpus)
    assert asked == [{"Exploit"}, {"Honest"}, {"Exploit", "Honest"}]
