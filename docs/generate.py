"""Writes docs/reference from the command line's own help and from the source of the types.

Run it after changing a command or a record: `python docs/generate.py`. A test compares.
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import kernelwright
from kernelwright.apps.cli.main import COMMANDS, DEBUG_VARIABLE, run

FOLDER = Path(__file__).parent / "reference"
_PACKAGE = Path(kernelwright.__file__).parent
_NOTE = "<!-- Written by docs/generate.py; change the source and run it again. -->"
_SUBCOMMANDS = {
    "problems": ("list", "show", "admit"),
    "agent": (
        "init", "run", "judge", "build", "profile", "tune", "attempts", "lookup", "promote",
        "report", "skill",
    ),
}  # fmt: skip
_PAGES = {
    "settings.md": (
        "Settings of a run",
        "What `--config FILE` may hold, in TOML, and what `run.optimize` takes. A flag on the "
        "command line goes before the file.",
        ["core/run.py:RunSpec,Budget,ModelSettings"],
    ),
    "result.md": (
        "result.json and --json",
        "`optimize`, `resume` and `report` print `Result`, which is also `result.json`; `judge` "
        "prints `Judged`, or for many files a line each, `JudgedFile` or `FileNotJudged`; "
        "`profile` prints `Profiled`, `show` prints `Overview` or `AttemptDetail`, `doctor` prints "
        "`Findings`. Every figure is worked out from the stored samples. What was not measured is "
        "null.",
        [
            "report/result.py:Result,Judged,Best,Figures,VersusBest,Control",
            "report/ratios.py:Ratio",
            "report/cost.py:Cost,Expense",
            "report/ablation.py:Ablated,Worth",
            "core/run.py:Edit",
            "report/attempts.py:Overview,AttemptRow,AttemptDetail",
            "apps/cli/judging.py:JudgedFile,FileNotJudged",
            "apps/cli/profile.py:Profiled",
            "evaluate/profile/disassembly.py:Facts",
            "evaluate/profile/x86.py:Loop",
            "evaluate/profile/sass.py:GpuKernel",
            "evaluate/profile/counters.py:Counters,KernelCounters",
            "apps/cli/doctor.py:Findings,LanguageReport",
            "core/evaluation.py:Performed,Environment,Gpu,Clock",
        ],
    ),
    "types.md": (
        "Types",
        "The records that are stored or cross a process. All are frozen and refuse unknown fields, "
        "NaN and infinity.",
        [
            "core/problem.py",
            "core/candidate.py",
            "core/evaluation.py",
            "core/diagnosis.py",
            "core/graph.py",
            "core/cut.py",
        ],
    ),
    "service.md": (
        "The service",
        "What `kernelwright serve` takes and answers; `/openapi.json` has the same for programs.",
        ["serve/records.py"],
    ),
    "batches.md": (
        "Batches",
        "What `kernelwright judge --batch` reads in `batch.toml` and writes for each file, and "
        "what `kernelwright import --json` prints.",
        [
            "evaluate/batches.py:Manifest,ProblemEntry,BatchResult",
            "run/importing.py:Imported",
        ],
    ),
}


def pages() -> dict[str, str]:
    """Every page of the reference by file name."""
    made = {
        name: "\n".join([_NOTE, f"# {title}", "", text, "", *_sections(places)]).rstrip() + "\n"
        for name, (title, text, places) in _PAGES.items()
    }
    return {"commands.md": _commands(), "errors.md": _errors(), "tools.md": _tools(), **made}


def _commands() -> str:
    parts = [
        _NOTE,
        "# Commands",
        "",
        "Results go to stdout and conversation to stderr; with `--json` stdout holds one JSON "
        "value and nothing else, or one on each line where there are many.",
        "",
        _help([]),
    ]
    for command in COMMANDS:
        parts += ["", f"## kernelwright {command}", "", _help([command])]
        for subcommand in _SUBCOMMANDS.get(command, ()):
            parts += [
                "", f"### kernelwright {command} {subcommand}", "", _help([command, subcommand]),
            ]  # fmt: skip
    return "\n".join(parts) + "\n"


def _help(words: list[str]) -> str:
    said = io.StringIO()
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"
    try:
        with contextlib.redirect_stdout(said):
            run([*words, "--help"])
    finally:
        del os.environ["COLUMNS"]
        if before is not None:
            os.environ["COLUMNS"] = before
    return f"```text\n{said.getvalue().strip()}\n```"


def _errors() -> str:
    tree = ast.get_docstring(_parsed("core/errors.py")) or ""
    return f"""{_NOTE}
# Errors and exit codes

| code | meaning |
|---|---|
| 0 | done: a candidate passed, and for `optimize` it is faster than the best baseline |
| 1 | the verdict failed, or nothing better was found; the results are there all the same |
| 2 | it could not be done: one sentence on stderr says what happened and what to do next |
| 3 | a bug in Kernelwright; `{DEBUG_VARIABLE}=1` shows where |
| 130 | stopped from the keyboard; `kernelwright resume` goes on with a run |

Every exception that is raised on purpose is one of these, and ends with exit code 2:

```text
{tree.strip()}
```
"""


def _tools() -> str:
    """The tools of the MCP server, and the records that they answer with."""
    found = [
        n for n in ast.walk(_parsed("apps/mcp/tools.py")) if isinstance(n, ast.AsyncFunctionDef)
    ]
    tools = [(n, " ".join((ast.get_docstring(n) or "").split())) for n in found]
    rows = [
        f"| `{tool.name}` | `{_cell(tool.returns)}` | {said} |"
        for tool, said in tools
        if tool.decorator_list and tool.returns and not tool.name.startswith("_")
    ]
    parts = [
        _NOTE,
        "# Tools for agents",
        "",
        "What `kernelwright mcp` offers. Each answers with one of the records below, as structured "
        "content; `kernelwright agent …` prints the same ones with `--json`. An error says what to "
        "do next.",
        "",
        "| tool | answers with | what it does |",
        "|---|---|---|",
        *rows,
        "",
        *_sections(
            [
                "agents/records.py",
                "agents/submission.py:Submission",
                "generate/looking_up.py:Found",
                "core/protocols.py:Passage",
            ]
        ),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _sections(places: list[str]) -> Iterator[str]:
    for place in places:
        path, _, wanted = place.partition(":")
        found = {c.name: c for c in _parsed(path).body if isinstance(c, ast.ClassDef)}
        for name in wanted.split(",") if wanted else found:
            yield from _record(found[name])


def _record(record: ast.ClassDef) -> Iterator[str]:
    """A heading, the docstring, and a table of the fields as they are written in the source."""
    yield from (f"## {record.name}", "", ast.get_docstring(record) or "", "")
    fields = [item for item in record.body if isinstance(item, ast.AnnAssign)]
    bases = [ast.unparse(base) for base in record.bases if ast.unparse(base) != "Record"]
    if bases:
        yield from (f"It has the fields of {', '.join(bases)}, and:", "")
    if not fields:
        return
    yield from ("| field | type | default |", "|---|---|---|")
    for field in fields:
        default = "" if field.value is None else f"`{_cell(field.value)}`"
        yield f"| `{_cell(field.target)}` | `{_cell(field.annotation)}` | {default} |"
    yield ""


def _cell(node: ast.expr) -> str:
    return ast.unparse(node).replace("|", "\\|")


def _parsed(path: str) -> ast.Module:
    return ast.parse((_PACKAGE / path).read_text(encoding="utf-8"))


def main() -> None:
    """Write every page."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
