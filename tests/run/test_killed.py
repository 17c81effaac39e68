"""A run that is killed at any moment loses at most what was in flight."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("kill_and_resume.py")


def killed(tmp_path, kills, width):
    command = [sys.executable, str(SCRIPT), str(tmp_path), str(kills), str(width)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_killed_fifty_times_a_run_ends_as_if_it_had_been_left_in_peace(tmp_path):
    runs = killed(tmp_path, kills=50, width=1)
    assert sum(run["kills"] for run in runs) >= 50
    for run in runs:
        assert run["breaches"] == []
        assert run["plans"] == run["in_peace"]
        assert len(run["plans"]) == 11


def test_with_several_attempts_at_once_nothing_is_judged_twice_either(tmp_path):
    for run in killed(tmp_path, kills=20, width=3):
        assert run["breaches"] == []
        assert len(run["plans"]) == 11
