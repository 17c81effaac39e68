"""A compiler reads what a candidate names. In the sandbox there is nothing of value to name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kernelwright.core.evaluation import BuildFailed, Isolation
from kernelwright.core.protocols import BuildPlan
from kernelwright.evaluate.building.builder import Builder, Built

SECRET = "int not_for_you = 20261122;"


@pytest.fixture(params=["landlock+seccomp", "bubblewrap+landlock+seccomp"])
def level(request: pytest.FixtureRequest, needs_level: Callable[[Isolation], None]) -> Isolation:
    needs_level(request.param)
    chosen: Isolation = request.param
    return chosen


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "elsewhere" / "secret.h"
    file.parent.mkdir()
    file.write_text(SECRET)
    return file


@pytest.fixture
def builder(level: Isolation, tmp_path: Path) -> Iterator[Builder]:
    folder = tmp_path / "builds"
    folder.mkdir()
    made = Builder(folder, level)
    yield made
    made.close()


def compile(source: str, *options: str) -> BuildPlan:
    command = ("g++", "-shared", "-fPIC", *options, "kernel.cpp", "-o", "kernel.so")
    return BuildPlan(
        files={"kernel.cpp": source}, commands=(command,), artifact="kernel.so", lane="native"
    )


def test_an_ordinary_source_builds(builder):
    assert isinstance(builder.build(compile("#include <cmath>\nint f() { return 1; }")), Built)


READS = {
    "include": '#include "{path}"\n',
    "include by name": "#include </proc/self/cwd/../../elsewhere/secret.h>\n",
    "assembler": 'asm(".incbin \\"{path}\\"");\n',
    "assembler include": 'asm(".include \\"{path}\\"");\n',
    "home": '#include "{home}/.bashrc"\n',
    "passwords": 'asm(".incbin \\"/etc/passwd\\"");\n',
}


@pytest.mark.parametrize("name", READS)
def test_a_source_cannot_read_a_file_of_the_host(builder, secret, name):
    built = builder.build(compile(READS[name].format(path=secret, home=Path.home())))
    assert isinstance(built, BuildFailed), built
    assert "not_for_you" not in built.diagnostics


def test_asking_whether_a_file_is_there_tells_nothing(builder, secret):
    source = f'#if __has_include("{secret}")\n#error it is there\n#endif\n'
    built = builder.build(compile(source))
    assert "it is there" not in (built.diagnostics if isinstance(built, BuildFailed) else "")


def test_a_plugin_of_the_compiler_cannot_be_brought_in(builder, tmp_path):
    plugin = tmp_path / "elsewhere.so"
    plugin.write_bytes(b"\x7fELF")
    built = builder.build(compile("int f();", f"-fplugin={plugin}"))
    assert isinstance(built, BuildFailed)


def test_what_a_build_runs_has_the_same_walls(builder, secret):
    """A plan that runs a program that it has just built: the same as a plugin that got in."""
    source = (
        f'#include <fstream>\nint main() {{ return std::ifstream("{secret}").good() ? 7 : 0; }}'
    )
    # By the loader: without namespaces nothing can be made executable.
    run = """for loader in /lib64/ld-linux-*.so.* /lib/ld-linux-*.so.*
    do [ -e "$loader" ] && exec "$loader" ./spy; done; exit 9"""
    plan = BuildPlan(
        files={"spy.cpp": source},
        commands=(("g++", "spy.cpp", "-o", "spy"), ("/bin/sh", "-c", run)),
        artifact="spy",
        lane="native",
    )
    assert isinstance(builder.build(plan), Built)
