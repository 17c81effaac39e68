"""The benchmark itself, on two problems, with the real judge."""

import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "seeded_bugs.py"


def run(*arguments):
    command = [sys.executable, str(BENCHMARK), "--json", "--effort", "search", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_the_judge_finds_twenty_bugs_of_two_problems(tmp_path):
    done = run("--problems", "swiglu,gather_rows", "--out", str(tmp_path))
    said = json.loads(done.stdout)
    rows = [
        row
        for row in said["rows"]
        # What these change shows to the promotion's sanitizers, or at sizes beyond memory.
        if row["class"] not in ("race", "index_overflow_32")
    ]
    assert len(rows) >= 20
    assert [row for row in rows if row["verdict"] not in ("detected", "equivalent")] == []
    assert json.loads((tmp_path / "seeded-bugs.json").read_text()) == said
    assert "| off-by-one bound |" in (tmp_path / "seeded-bugs.md").read_text()


def test_a_problem_without_a_kernel_is_refused():
    done = run("--problems", "swiglu,no_such_problem")
    assert done.returncode == 2
    assert "No kernel for no_such_problem" in done.stderr
