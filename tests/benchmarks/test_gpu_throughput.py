"""The benchmark of a GPU: its set, its arithmetic, and what KernelBench is heard to say."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import gpu_mix
import gpu_throughput
import kernelbench_lane


@pytest.mark.parametrize("language", ["triton", "cuda"])
def test_the_set_has_the_shares_of_a_search(language):
    entries = gpu_throughput.SETS[language]()
    assert len({entry.ours for entry in entries}) == len({entry.theirs for entry in entries}) == 16
    for kind, share in gpu_mix.SHARES.items():
        assert sum(entry.kind == kind for entry in entries) == 16 * share


def test_a_change_that_changes_nothing_is_refused():
    with pytest.raises(ValueError, match="not in the kernel"):
        gpu_mix._changed("text", ("other", "new"))


def test_a_text_is_new_each_time():
    one, other = (gpu_throughput.fresh("x", "cuda") for _ in range(2))
    assert one != other
    assert one.startswith("// ")


def test_the_table_weights_the_classes_and_gives_the_ratio():
    def samples(fails, wrong, right):
        found = {"fails": fails, "wrong": wrong, "right": right}
        return {k: [{"name": k, "s": s, "said": k} for _ in range(4)] for k, s in found.items()}

    theirs = samples(40.0, 60.0, 80.0)
    assert gpu_throughput.mean_s(theirs) == 0.5 * 40 + 0.25 * 60 + 0.25 * 80
    found = {
        "target": 40.0,
        "ours": {"samples": samples(0.5, 1.0, 2.0), "batch_s": 12.0, "cold_s": 12.0},
        "theirs": theirs,
    }
    lines = gpu_throughput.table(found)
    assert lines[-1] == "verdicts per minute: 60, KernelBench 1.1: 55.0 times; target 40 times"
    assert any("fails" in line and "80.0x" in line for line in lines)
    assert any("cold" in line and "27.5x" in line for line in lines)
    assert "target 40" in gpu_throughput.table({**found, "theirs": None})[-1]


def test_other_verdicts_are_named():
    one = {"name": "tail", "s": 1.0, "said": "right"}
    found = {"ours": {"samples": {"wrong": []}}, "theirs": {"wrong": [one]}}
    assert gpu_throughput.disagreements(found) == [
        "KernelBench say that 'tail', which is wrong, is: right"
    ]


@pytest.mark.parametrize(
    ("line", "heard"),
    [
        (json.dumps({"compiled": True, "correct": True, "why": "wrong"}), "right"),
        (json.dumps({"compiled": True, "correct": False, "why": "wrong"}), "wrong"),
        (json.dumps({"compiled": True, "correct": False, "why": "fails"}), "fails"),
        (json.dumps({"compiled": False, "correct": False, "why": "wrong"}), "fails"),
        ("Segmentation fault", "fails: Segmentation fault"),
    ],
)
def test_what_kernelbench_says_is_put_into_a_class(line, heard):
    assert kernelbench_lane._said(line) == heard


def test_a_candidate_goes_through_a_process_of_its_own(tmp_path, monkeypatch):
    checkout = tmp_path / "src" / "kernelbench"
    checkout.mkdir(parents=True)
    (checkout / "__init__.py").touch()
    (checkout / "eval.py").write_text(
        "from types import SimpleNamespace\nimport litellm\n"
        "def eval_kernel_against_ref(reference, custom, *, backend, num_correct_trials, **given):\n"
        "    right = 'right' in custom and backend == 'cuda' and num_correct_trials == 5\n"
        "    return SimpleNamespace(compiled=True, correctness=right, metadata={})\n"
    )
    reference = tmp_path / "reference.py"
    reference.write_text("")
    assert kernelbench_lane.judged(tmp_path, reference, "right", "cuda")[1] == "right"
    assert kernelbench_lane.judged(tmp_path, reference, "other", "cuda")[1] == "wrong"
    (checkout / "eval.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setattr(kernelbench_lane, "_LIMIT_S", 1.0)
    assert kernelbench_lane.judged(tmp_path, reference, "", "cuda") == (1.0, "it took too long")


def test_no_checkout_is_said(tmp_path):
    assert "is no checkout" in kernelbench_lane.why_not(tmp_path)
