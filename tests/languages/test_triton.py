"""Triton candidates: constants set, the interpreter asked for, and what is missing in words."""

import os
import subprocess
import sys

import pytest

from kernelwright.core.errors import BuildRefused
from kernelwright.languages import triton
from kernelwright.languages.reading import candidate_from_text
from kernelwright.languages.triton import Triton
from kernelwright.testing.languages import PROBLEM

CANDIDATE = """import triton
# tunable: BLOCK = 4 in {4, 8}
BLOCK = 4


class ModelNew:
    pass
"""


@pytest.fixture
def no_device(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.fixture
def versions(monkeypatch):
    """Packages as the test says they are installed."""
    installed: dict[str, tuple[int, ...]] = {}
    monkeypatch.setattr(triton, "_version", installed.get)
    return installed


def candidate(text=CANDIDATE, **changes):
    return candidate_from_text(PROBLEM, text, "triton").model_copy(update=changes)


def test_a_setting_is_written_into_the_module():
    plan = Triton().build(candidate(settings={"BLOCK": 8}), PROBLEM)
    assert "\nBLOCK = 8\n" in plan.files[plan.artifact]


def test_without_a_device_the_interpreter_runs_it(no_device):
    assert Triton().build(candidate(), PROBLEM).environment == {"TRITON_INTERPRET": "1"}


def test_with_a_device_it_runs_there(monkeypatch):
    monkeypatch.setattr(triton, "cuda_devices", lambda: 1)
    assert Triton().build(candidate(), PROBLEM).environment == {}
    assert Triton().missing("time") == Triton().missing("run")


def test_timing_is_refused_without_a_device(no_device, versions):
    versions |= {"triton": (3, 7, 1), "numpy": (2, 4, 6)}
    assert Triton().missing("run") is None
    assert "no CUDA device" in Triton().missing("time")


def test_a_missing_package_is_told_with_the_command(no_device, versions):
    assert "pip install" in Triton().missing("run")
    assert Triton().missing("build") is None


@pytest.mark.parametrize(
    ("found", "numpy", "works"),
    [
        ((3, 6, 0), (2, 4, 0), False),
        ((3, 6, 0), (2, 3, 9), True),
        ((3, 7, 1), (2, 4, 0), True),
        ((3, 10, 0), (2, 5, 0), True),
    ],
)
def test_an_interpreter_that_fails_with_this_numpy_is_told(
    no_device, versions, found, numpy, works
):
    versions |= {"triton": found, "numpy": numpy}
    said = Triton().missing("run")
    assert (said is None) == works
    if said is not None:
        assert "The interpreter of triton 3.6.0 fails with numpy 2.4.0" in said


def test_the_old_interpreter_is_no_matter_where_there_is_a_device(monkeypatch, versions):
    monkeypatch.setattr(triton, "cuda_devices", lambda: 1)
    versions |= {"triton": (3, 6, 0), "numpy": (2, 4, 0)}
    assert Triton().missing("run") is None


def test_build_options_are_refused():
    with pytest.raises(BuildRefused, match="none are taken"):
        Triton().build(candidate(build_options=("-O3",)), PROBLEM)


def test_a_module_that_parses_builds(carry_out):
    assert carry_out(Triton().build(candidate(), PROBLEM)).status == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("class ModelNew:\n    x = = 3\n", "kernel.py:2: invalid syntax"),
        ("class ModelNew:\nx = 3\n", "kernel.py:2: expected an indented block"),
        (
            "# class ModelNew\nclass Model: ...\nx = 'class ModelNew'\n",
            "there is no class ModelNew",
        ),
        ("class ModelNew: ...\nx = " + "(" * 5000 + ")" * 5000, "too many nested parentheses"),
        ("class ModelNew: ...\nx = " + "-" * 100_000 + "1", "cannot be parsed"),
        ("# coding: nonsense\nclass ModelNew: ...\n", "unknown encoding"),
    ],
)
def test_a_module_that_cannot_be_one_fails_the_build_with_the_reason(carry_out, text, said):
    source = candidate().source.model_copy(update={"files": {"kernel.py": text}})
    built = carry_out(Triton().build(candidate(source=source, tunables=()), PROBLEM))
    assert built.status == 1
    assert said in built.said
    assert "Traceback" not in built.said


def test_the_build_never_runs_the_module(carry_out, tmp_path):
    text = f"open({str(tmp_path / 'ran')!r}, 'w')\n{CANDIDATE}"
    assert carry_out(Triton().build(candidate(text), PROBLEM)).status == 0
    assert not (tmp_path / "ran").exists()


def test_the_guides_example_is_right_in_the_interpreter(no_device, tmp_path):
    missing = Triton().missing("run")
    if missing is not None:
        pytest.skip(missing)
    example = Triton().guide(PROBLEM).split("```python\n")[-1].split("```")[0]
    plan = Triton().build(candidate(example), PROBLEM)
    (tmp_path / "kernel.py").write_text(plan.files["kernel.py"])
    (tmp_path / "use.py").write_text(
        "import torch, kernel\nmodel = kernel.ModelNew()\nmodel.scale.data.fill_(3.0)\n"
        "x = torch.arange(6.0).reshape(2, 3)\nassert torch.equal(model(x), 3 * x)\n"
    )
    done = subprocess.run(
        [sys.executable, "use.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120,
        env={**os.environ, **plan.environment}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
