"""The documentation is executed: its Python, its commands, and its links.

Every ``python`` block runs in a process of its own. The commands of ``console`` blocks run in order
in one folder for each page, and the lines below a command are its output, where ``...`` stands for
anything. ``norun`` behind ``console`` is for what takes minutes or a model; ``exit=2`` says which
status is right.
"""

import doctest
import importlib
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_FENCE = re.compile(r"^```(\w*)[ \t]*(.*?)\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_OUTPUT = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True)
class Block:
    line: int
    kind: str
    info: str
    text: str


@dataclass(frozen=True)
class Command:
    text: str
    output: str


def blocks(page):
    return [
        Block(page.count("\n", 0, found.start()) + 1, *found.groups())
        for found in _FENCE.finditer(page)
    ]


def commands(text):
    """What a reader would type (behind ``$ ``, continued behind ``> ``) and see."""
    made = []
    for line in text.splitlines():
        if line.startswith("$ "):
            made.append(Command(line[2:], ""))
        elif made and not made[-1].output and re.match(r"> |>$", line):
            made[-1] = Command(f"{made[-1].text}\n{line[2:]}", "")
        elif made:
            made[-1] = Command(made[-1].text, f"{made[-1].output}{line}\n")
        else:
            raise ValueError(f"a console block begins with a command, not with {line!r}")
    return made


def run(argv, folder):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        argv, cwd=folder, env={**os.environ, "PATH": path, "COLUMNS": "100"},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def problems_of(block, folder):
    """What is not as the block says, one line each."""
    if block.kind == "python":
        done = run([sys.executable, "-W", "error", "-c", block.text], folder)
        return [done.stderr] if done.returncode else []
    expected_status = int((re.search(r"exit=(\d+)", block.info) or [0, 0])[1])
    found = []
    for command in commands(block.text):
        done = run(["bash", "-c", command.text], folder)
        if done.returncode != expected_status:
            found.append(
                f"{command.text}\nended with {done.returncode}\n{done.stdout}{done.stderr}"
            )
        elif command.output and not doctest.OutputChecker().check_output(
            command.output, done.stdout, _OUTPUT
        ):
            found.append(f"{command.text}\nprinted\n{done.stdout}instead of\n{command.output}")
    return found


def runs(block):
    return block.kind == "python" or (block.kind == "console" and "norun" not in block.info)


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(runs(b) for b in blocks(page.read_text()))],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_a_pages_blocks_do_what_it_says(page, tmp_path):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    wrong = [
        f"{page.name}:{block.line}: {said}"
        for block in blocks(page.read_text())
        if runs(block)
        for said in problems_of(block, tmp_path)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_is_of_a_kind_that_is_known(page):
    known = {"python", "console", "text", "toml", "json", "cpp", "cuda", "html", "yaml"}
    assert [b for b in blocks(page.read_text()) if b.kind not in known] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_within_the_project_lead_somewhere(page):
    local = [t for t in _LINK.findall(page.read_text()) if not re.match(r"\w+:|#", t)]
    assert [t for t in local if not (page.parent / t.partition("#")[0]).exists()] == []


def test_contracts_that_are_named_exist():
    text = "\n".join(page.read_text() for page in PAGES)
    named = set(re.findall(r"(?:kernelwright\.)?(testing\.\w+)\.(\w+Contract)", text))
    assert named
    for module, contract in named:
        assert hasattr(importlib.import_module(f"kernelwright.{module}"), contract)


def test_folders_that_contributing_names_exist():
    named = re.findall(
        r"`((?:src|tests|benchmarks)/[\w/]*)", (ROOT / "CONTRIBUTING.md").read_text()
    )
    assert named
    assert [folder for folder in named if not (ROOT / folder).is_dir()] == []


def test_a_wrong_block_is_found(tmp_path):
    page = (
        "```console\n$ cat > a <<'END'\n> one\n>\n> two\n> END\n$ cat a\none\n\ntwo\n```\n"
        "```console\n$ echo said it\nsaid ...\n$ echo 3\n4\n$ false\n```\n"
        "```console exit=2\n$ exit 2\n```\n"
        "```python\nprint(open('a').read())\n```\n"
        "```python\nassert 1 == 2\n```\n"
    )
    found = [problems_of(block, tmp_path) for block in blocks(page)]
    assert [len(said) for said in found] == [0, 2, 0, 0, 1]
    assert "instead of\n4" in found[1][0]
    assert "ended with 1" in found[1][1]
    assert "AssertionError" in found[4][0]
