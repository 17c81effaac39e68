"""Which disassembler looks at what, and what is said where one is missing or fails."""

import shutil
import subprocess

import pytest

from kernelwright.core.protocols import BuildPlan
from kernelwright.evaluate.building.builder import Built
from kernelwright.evaluate.profile import disassembly
from kernelwright.evaluate.profile.disassembly import Facts, cuobjdump, look

PLAN = BuildPlan(files={}, commands=(), artifact="kernel.so", lane="native")
TEXT = """
extern "C" void kernel(const float* x, float* y, long n) {
    for (long i = 0; i < n; i++) y[i] = x[i] / 3.0f;
}
"""
needs_objdump = pytest.mark.skipif(
    shutil.which("objdump") is None, reason="objdump is not installed (Debian: binutils)"
)
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")


def built(folder, content):
    (folder / "kernel.so").write_bytes(content)
    return Built(folder, folder / "kernel.so", "")


@needs_objdump
@needs_compiler
def test_a_shared_object_has_its_loops(tmp_path):
    (tmp_path / "k.cpp").write_text(TEXT)
    made = tmp_path / "made"
    subprocess.run(["g++", "-O2", "-fPIC", "-shared", tmp_path / "k.cpp", "-o", made], check=True)
    facts = look(PLAN, built(tmp_path, made.read_bytes()), "process")
    assert facts.not_known == () or "only x86-64" in facts.not_known[0]
    assert facts.not_known or [loop.kinds for loop in facts.loops] == [("div",)]


@needs_objdump
def test_a_file_that_is_no_program_has_no_facts_and_says_why(tmp_path):
    facts = look(PLAN, built(tmp_path, b"not a program"), "process")
    assert facts.loops == ()
    assert "objdump ended with status 1" in facts.not_known[0]


def test_a_missing_disassembler_is_named_with_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    (why,) = look(PLAN, built(tmp_path, b""), "process").not_known
    assert "objdump is not installed" in why
    monkeypatch.setattr(disassembly, "cuobjdump", lambda: None)
    (why,) = look(PLAN, built(tmp_path, b".. .nv_fatbin .."), "process").not_known
    assert "cuobjdump is not here" in why


def test_a_module_has_no_code_before_it_is_called(tmp_path):
    module = BuildPlan(files={}, commands=(), artifact="kernel.py", lane="module")
    facts = look(module, built(tmp_path, b""), "process")
    assert facts == Facts(not_known=facts.not_known)
    assert "Python module" in facts.not_known[0]


def test_a_tool_behind_a_link_is_named_by_its_own_place(tmp_path, monkeypatch):
    real = tmp_path / "cuda-13.0" / "bin"
    real.mkdir(parents=True)
    (real / "cuobjdump").write_text("")
    (tmp_path / "cuda").symlink_to(tmp_path / "cuda-13.0")
    linked = str(tmp_path / "cuda" / "bin" / "cuobjdump")
    monkeypatch.setattr(shutil, "which", lambda _: linked)
    assert cuobjdump() == real / "cuobjdump"
