"""The benchmark of a GPU: its set, its arithmetic, our judge of paper, and KernelBench of paper."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from kernelwright.core.errors import WorkerError
from kernelwright.core.evaluation import Crashed, Fault, Mismatch, Rejected, WrongResult
from kernelwright.core.problem import Problem, Source, TensorSpec, Workload
from kernelwright.evaluate.batch import read_candidate
from kernelwright.languages.cuda import Cuda
from kernelwright.testing.evaluators import evaluation_of, passed, row_problem

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import gpu_mix
import gpu_throughput
import kernelbench_lane
from gpu_throughput import Found, Sample

LANGUAGES = ["triton", "cuda"]
CLASSES = ["fails to build", "fails when run", "wrong", "right"]
WRONG = WrongResult(
    mismatches=(
        Mismatch(workload_id="small", split="search", distribution="normal", output="out",
                 kind="wrong_value", matched_ratio=0.5),
    )
)  # fmt: skip
OUTCOMES = {
    "fails to build": Crashed(stage="load", signal=None, detail="it does not build"),
    "fails when run": Crashed(stage="screen", signal="SIGSEGV", detail="it died"),
    "wrong": WRONG,
    "right": passed(2.0),
}
# The problem of the set, as the reference's file is read.
PROBLEM = Problem(
    id="rmsnorm_silu",
    title="RMSNorm and SiLU",
    origin="tests",
    axes=("batch_size", "dim"),
    inputs=(
        TensorSpec(name="x", shape=("batch_size", "dim"), dtype="float32", role="input"),
        TensorSpec(name="weight", shape=("dim",), dtype="float32", role="weight"),
    ),
    outputs=(TensorSpec(name="out", shape=("batch_size", "dim"), dtype="float32", role="output"),),
    reference=Source(files={"model.py": ""}, entry_point="model.py::Model"),
    workloads=(Workload(id="report", split="report", axes={"batch_size": 4096, "dim": 4096}),),
)


class Paper:
    """A judge that knows the set, and says of each candidate what `verdicts` has for its class."""

    places = 1
    problem = row_problem()

    def __init__(self, language, **verdicts):
        self.kinds = {entry.ours: entry.kind for entry in gpu_mix.SETS[language]()}
        self.verdicts = OUTCOMES | {k.replace("_", " "): v for k, v in verdicts.items()}
        self.texts = []

    def ahead(self, candidate):
        return None

    def judge(self, candidate, effort):
        assert effort == "search"
        self.texts.append(candidate.source.text)
        of_the_set = re.sub(r"[0-9a-f]{32}", gpu_mix._NUMBER, candidate.source.text)
        return evaluation_of(candidate, self.verdicts[self.kinds[of_the_set]], effort)

    def refuse(self, candidate, effort, evidence):
        return evaluation_of(candidate, Rejected(rule="not_a_candidate", evidence=evidence))


def told(language="cuda", **verdicts):
    """What a judge of paper says of the whole set."""
    found = Found(language=language, entries=gpu_mix.SETS[language]())
    judge = Paper(language, **verdicts)
    gpu_throughput.ours(found, contextlib.nullcontext(judge), lambda line: None)
    return found, judge


def samples(*seconds, count=4):
    """`count` of each class, each taking the seconds of its class."""
    return [
        Sample(name=f"{kind} {at}", kind=kind, s=s, said=kind.split()[0], detail="")
        for kind, s in zip(CLASSES, seconds, strict=True)
        for at in range(count)
    ]


def measured(**changes):
    """A language of which everything was measured."""
    given = {
        "one_by_one": samples(0.5, 1.0, 1.0, 2.0), "batch_s": 12.0,
        "batch": samples(0.5, 1.0, 1.0, 2.0), "open_s": 3.0,
        "first_verdict_s": 12.0, "kernelbench": samples(32.0, 48.0, 48.0, 48.0, count=1),
    }  # fmt: skip
    return Found(language="cuda", entries=gpu_mix.cuda(), **(given | changes))


class TestTheSet:
    @pytest.mark.parametrize("language", LANGUAGES)
    def test_has_the_shares_of_a_search(self, language):
        entries = gpu_mix.SETS[language]()
        assert len({e.ours for e in entries}) == len({e.theirs for e in entries}) == 16
        assert gpu_mix.shares(entries) == dict(
            zip(CLASSES, (5 / 16, 3 / 16, 4 / 16, 4 / 16), strict=True)
        )

    @pytest.mark.parametrize("language", LANGUAGES)
    def test_a_text_is_new_each_time_and_inside_the_kernel(self, language):
        for entry in gpu_mix.SETS[language]():
            for text in (entry.fresh_ours, entry.fresh_theirs):
                one, other = text(), text()
                assert one != other
                assert len(re.findall(r"\n    (?:#|//) [0-9a-f]{32}\n.* row = ", one)) == 1

    def test_a_change_that_changes_nothing_is_refused(self):
        with pytest.raises(ValueError, match="not in the kernel"):
            gpu_mix._changed("text", ("other", "new"))

    @pytest.mark.parametrize("language", LANGUAGES)
    def test_is_mixed_always_in_the_same_way(self, language):
        entries = gpu_mix.SETS[language]()
        mixed = gpu_mix.mixed(entries)
        assert mixed == gpu_mix.mixed(entries)
        assert mixed != entries
        assert sorted(e.name for e in mixed) == sorted(e.name for e in entries)

    @pytest.mark.parametrize(
        ("count", "chosen"), [(1, [2]), (2, [1, 3]), (5, [0, 1, 2, 3, 4]), (9, [0, 1, 2, 3, 4])]
    )
    def test_samples_of_a_class_are_spread_over_it(self, count, chosen):
        entries = gpu_mix.cuda()
        assert gpu_mix.some(entries, "fails to build", count) == [entries[at] for at in chosen]

    def test_the_problem_is_the_example_with_more_rows(self, tmp_path):
        text = gpu_throughput.problem(tmp_path).read_text()
        assert "batch_size = 4096" in text
        assert "dim = 4096" in text


class TestOurs:
    @pytest.mark.parametrize("language", LANGUAGES)
    def test_each_is_judged_alone_and_in_a_batch_with_a_text_of_its_own(self, language):
        found, judge = told(language)
        assert [s.name for s in found.one_by_one] == [e.name for e in found.entries]
        assert [s.name for s in found.batch] == 5 * [e.name for e in gpu_mix.mixed(found.entries)]
        assert all(s.expected for s in (*found.one_by_one, *found.batch, found.first))
        assert len(judge.texts) == len(set(judge.texts))
        assert 0 <= found.open_s <= found.first_verdict_s
        assert found.batch_s >= found.batch[-1].s

    def test_a_verdict_has_its_reason_and_its_precision(self):
        found, _ = told()
        by_name = {s.name: s for s in found.one_by_one}
        assert "it died" in by_name["trap"].detail
        assert by_name["256 threads"].half_width_percent is not None
        assert by_name["trap"].half_width_percent is None

    @pytest.mark.parametrize("kind", CLASSES)
    def test_a_failure_of_ours_is_no_verdict(self, kind):
        (entry,) = gpu_mix.some(gpu_mix.cuda(), kind, 1)
        fault = Fault(where="device", step=None, message="no device", retryable=False)
        found = gpu_throughput.of(entry, fault, 1.0)
        assert (found.said, found.detail, found.misjudged) == ("fault", "no device", True)

    def test_a_judge_that_breaks_ends_its_part_alone(self):
        @contextlib.contextmanager
        def broken():
            raise WorkerError("There is no device.")
            yield

        found = Found(language="cuda", entries=gpu_mix.cuda())
        gpu_throughput.ours(found, broken(), lambda line: None)
        assert gpu_throughput.void(found) == ["our judge broke: There is no device."]
        assert "not run" in gpu_throughput.table(found)[-1]


class TestTheTable:
    def test_weights_the_classes_and_gives_the_ratio(self):
        shares = gpu_mix.shares(gpu_mix.cuda())
        found = measured()
        assert gpu_throughput.weighted_s(found.kernelbench, shares) == (
            32 * 5 / 16 + 48 * 3 / 16 + 48 / 4 + 48 / 4
        )
        assert gpu_throughput.weighted_s(found.kernelbench[:-1], shares) is None
        lines = gpu_throughput.table(found)
        rows = {row.partition(" (")[0].partition(",")[0]: row for row in lines}
        assert "0.50 s      32.00 s   64.0x" in rows["fails to build"]
        assert "open after 3.00 s" in rows["cold"]
        assert lines[-1] == (
            "verdicts per minute: 80.0, KernelBench 1.4: 57.3x (target 40x); "
            "with the cold start, over this set: 28.7x"
        )
        assert any("ran 4 of the 16" in line for line in lines)

    def test_says_what_was_not_run(self):
        lines = gpu_throughput.table(measured(kernelbench=[]))
        assert "80.0, KernelBench not run: - (target 40x)" in lines[-1]
        lines = gpu_throughput.table(Found(language="triton", entries=gpu_mix.triton()))
        assert "verdicts per minute: not run" in lines[-1]

    def test_no_ratio_is_given_when_a_right_candidate_was_refused_by_us(self):
        found, _ = told(right=Crashed(stage="core", signal=None, detail="a grid of 0 blocks"))
        found.kernelbench = samples(32.0, 48.0, 48.0, 48.0)
        *lines, last = gpu_throughput.table(found)
        assert "no ratio, since we misjudge '1024 threads'; we misjudge '128 threads'" in last
        assert not re.search(r"[\d.]+x \(target", last)
        assert any("a grid of 0 blocks" in line for line in lines)

    def test_no_ratio_is_given_when_a_wrong_candidate_passes_here(self):
        found, _ = told(wrong=passed(1.0))
        assert len(gpu_throughput.void(found)) == 4

    def test_no_ratio_is_given_when_kernelbench_refuses_what_is_right(self):
        broken = Sample(name="256 threads", kind="right", s=3.0, said="fails", detail="No module")
        found = measured(kernelbench=[*samples(3.0, 3.0, 3.0, 3.0, count=1)[:-1], broken])
        assert "since KernelBench refuses '256 threads'" in gpu_throughput.table(found)[-1]

    def test_how_a_wrong_candidate_is_refused_is_told_and_costs_no_ratio(self):
        found, _ = told(wrong=Crashed(stage="screen", signal="SIGSEGV", detail="beyond"))
        assert gpu_throughput.void(found) == []
        assert sum("which is 'wrong': fails" in s for s in gpu_throughput.disagreements(found)) == 8

    def test_what_kernelbench_lets_pass_is_told(self):
        passing = Sample(name="tail", kind="wrong", s=3.0, said="right", detail="0.1 ms a call")
        found = measured(kernelbench=[passing])
        assert gpu_throughput.void(found) == []
        assert gpu_throughput.disagreements(found) == [
            "KernelBench says of 'tail', which is 'wrong': right. 0.1 ms a call"
        ]


def test_every_sample_is_stored(tmp_path):
    found, _ = told()
    found.kernelbench = samples(1.0, 1.0, 1.0, 1.0, count=1)
    stored = json.loads(json.dumps(found.stored()))
    assert len(stored["one_by_one"]) == len(stored["set"]) == len(stored["batch"]) / 5 == 16
    assert len(stored["kernelbench"]) == 4
    assert stored["first"]["said"] == "right"
    head = gpu_throughput.machine("abc")
    assert {"device", "versions", "commit", "problem"} <= head.keys()
    assert head["commit"] == "abc"


def test_who_is_stopped_goes_on_after_it(capsys):
    with gpu_throughput.ends_after(60):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
    assert "Stopped" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


# KernelBench of paper: the last lines of a candidate say what becomes of it.
EVAL = """
import os, subprocess, time
from types import SimpleNamespace
import litellm, openai, dotenv

def eval_kernel_against_ref(
    reference, custom, *, backend, build_dir, measure_performance, num_correct_trials, **trials
):
    given = (reference, backend, num_correct_trials, trials, measure_performance)
    assert given == ("reference", "cuda", 5, {"num_perf_trials": 100}, True), given
    assert os.environ["TRITON_CACHE_DIR"] == build_dir == os.environ["TORCH_EXTENSIONS_DIR"]
    assert os.listdir(build_dir) == []
    print("the last line of what is printed is no answer")
    return eval(custom)
"""


@pytest.fixture
def checkout(tmp_path):
    module = tmp_path / "src" / "kernelbench"
    module.mkdir(parents=True)
    (module / "__init__.py").touch()
    (module / "eval.py").write_text(EVAL)
    (tmp_path / "reference.py").write_text("reference")
    return tmp_path


class TestKernelBench:
    @staticmethod
    def heard(checkout, text):
        return kernelbench_lane.judged(checkout, checkout / "reference.py", text, "cuda")

    @pytest.mark.parametrize(
        ("text", "said", "detail"),
        [
            (
                "SimpleNamespace(compiled=True, correctness=True, runtime=0.05, metadata={})",
                "right", "0.05 ms a call",
            ),
            ("1 / 0", "fails", "ZeroDivisionError: division by zero"),
            ("os.abort()", "fails", "it ended with -6"),
        ],
    )  # fmt: skip
    def test_is_asked_in_a_process_of_its_own(self, checkout, text, said, detail):
        found = self.heard(checkout, text)
        assert found.said == said
        assert detail in found.detail
        assert found.s > 0

    def test_is_ended_with_its_compilers_when_it_takes_too_long(self, checkout, monkeypatch):
        monkeypatch.setattr(kernelbench_lane, "_LIMIT_S", 2.0)
        note = checkout / "compiler"
        text = f"subprocess.call('echo $$ > {note}; exec sleep 60', shell=True)"
        found = self.heard(checkout, text)
        assert (found.s, found.said, found.detail) == (2.0, "fails", "longer than 2 s")
        compiler = int(note.read_text())
        for _ in range(100):
            if not Path(f"/proc/{compiler}/cmdline").exists():
                return
            if not Path(f"/proc/{compiler}/cmdline").read_bytes():
                return  # it is over, and nobody has asked for its status yet
            time.sleep(0.05)
        pytest.fail("the compiler goes on")

    @pytest.mark.parametrize(
        ("compiled", "correct", "metadata", "said"),
        [
            (False, False, {"compilation_error": "nvcc"}, "fails"),
            (True, False, {"runtime_error": "illegal address"}, "fails"),
            (True, False, {"max_difference": ["0.3"]}, "wrong"),
        ],
    )
    def test_what_it_says_is_put_into_a_class(self, compiled, correct, metadata, said):
        result = SimpleNamespace(compiled=compiled, correctness=correct, metadata=metadata)
        assert kernelbench_lane._said(result)["said"] == said

    def test_no_result_is_a_failure(self):
        assert kernelbench_lane._said(None)["said"] == "fails"

    def test_its_samples_are_those_of_each_class(self, checkout):
        right = "SimpleNamespace(compiled=True, correctness=True, runtime=0.05, metadata={})"
        entries = [
            gpu_mix.Entry(name=f"{kind} {at}", kind=kind, ours="", theirs=right)
            for kind in ("wrong", "right")
            for at in range(3)
        ]
        found, lines = Found(language="cuda", entries=entries), []
        gpu_throughput.theirs(found, checkout, checkout / "reference.py", 1, lines.append)
        assert [(s.name, s.said) for s in found.kernelbench] == [
            ("wrong 1", "right"),
            ("right 1", "right"),
        ]
        assert len(lines) == 2

    def test_no_checkout_is_said(self, tmp_path):
        assert "is no checkout" in kernelbench_lane.why_not(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(Cuda().missing("build") is not None, reason=str(Cuda().missing("build")))
@pytest.mark.parametrize("entry", gpu_mix.cuda(), ids=lambda entry: entry.name)
def test_what_fails_to_build_does_and_what_must_build_builds(entry, tmp_path):
    candidate = read_candidate(PROBLEM, entry.fresh_ours(), "cuda")
    plan = Cuda().build(candidate, PROBLEM)
    for name, text in plan.files.items():
        (tmp_path / name).write_text(text)
    (command,) = plan.commands
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120, check=False)
    assert (done.returncode != 0) == (entry.kind == "fails to build"), done.stderr.decode()
