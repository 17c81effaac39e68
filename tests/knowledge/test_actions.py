"""The table of actions: its pages, its sketches, and that the code on the pages is code."""

import ast
import re
import shutil
import subprocess
from importlib.resources import files
from typing import get_args

import pytest

from kernelwright.core.diagnosis import Bottleneck
from kernelwright.knowledge import actions
from kernelwright.knowledge.actions import ACTIONS, carried_out, page, sketches_of
from kernelwright.knowledge.sketches.drafts import SKETCHES

LANGUAGES = ("cpp", "triton", "cuda")
INFO = {"cpp": "cpp", "triton": "python", "cuda": "cuda"}
PAGES = [(action.name, language) for action in ACTIONS for language in action.languages]
HEADERS = ("algorithm", "cmath", "cstdint", "cstring", "limits", "vector")


def fragments(action, language):
    return re.findall(rf"```{INFO[language]}\n(.*?)```", page(action, language), re.DOTALL)


def in_namespaces(language):
    """All fragments of a language in one file."""
    return "\n".join(
        f"namespace {name.replace('-', '_')} {{\n{''.join(fragments(name, language))}\n}}"
        for name, its in PAGES
        if its == language
    )


def test_each_name_is_used_once():
    assert len({action.name for action in ACTIONS}) == len(ACTIONS)


def test_no_page_is_without_a_row_of_the_table():
    there = {each.name for each in files(actions).joinpath("pages").iterdir()}
    assert there == {f"{action}.{language}.md" for action, language in PAGES}


@pytest.mark.parametrize(("action", "language"), PAGES)
def test_a_page_says_when_how_what_goes_wrong_and_how_it_shows(action, language):
    text = page(action, language)
    assert text.startswith("### ")
    for part in ("pays where", "What goes wrong", "The profile "):
        assert part in text
    assert len(fragments(action, language)) == 1
    assert text.count("```") == 2
    assert 8 <= sum(bool(line.strip()) for line in text.splitlines()) <= 25
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize(
    ("action", "language"),
    [("vectorise", "klingon"), ("go-persistent", "cpp"), ("unheard-of", "cpp"), ("../table", "py")],
)
def test_what_the_table_does_not_name_has_no_page(action, language):
    assert page(action, language) is None


def test_every_sketch_carries_an_action_out_and_every_sketch_named_is_there():
    named = [sketch for action in ACTIONS for sketch in action.sketches]
    assert sorted(named) == sorted(sketch.name for sketch in SKETCHES)


def test_actions_and_sketches_name_each_other():
    assert [action.name for action in carried_out(("packed", "unsplit"))] == [
        "tile", "synchronise-less",
    ]  # fmt: skip
    assert carried_out(()) == ()
    assert sketches_of("keep-on-chip") == ("stored", "resident")
    assert sketches_of("unheard-of") == ()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("bottleneck", get_args(Bottleneck))
def test_there_is_a_choice_against_each_bottleneck(bottleneck, language):
    able = [a for a in ACTIONS if a.suits(bottleneck) and language in a.languages]
    assert len(able) >= 2


def test_the_fragments_in_triton_are_python():
    for action, language in PAGES:
        if language == "triton":
            ast.parse("".join(fragments(action, language)))


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not here")
def test_the_fragments_in_cpp_compile(tmp_path):
    source = tmp_path / "pages.cpp"
    includes = "".join(f"#include <{name}>\n" for name in HEADERS)
    source.write_text(includes + in_namespaces("cpp"), encoding="utf-8")
    command = ["g++", "-std=c++17", "-fopenmp", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
    done = subprocess.run([*command, source], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not here")
def test_the_fragments_in_cuda_compile(tmp_path):
    source = tmp_path / "pages.cu"
    includes = "".join(f"#include <{name}>\n" for name in HEADERS)
    source.write_text(includes + in_namespaces("cuda"), encoding="utf-8")
    command = ["nvcc", "-std=c++17", "-arch=sm_90", "-cubin", "-o", tmp_path / "pages.cubin"]
    done = subprocess.run([*command, source], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
