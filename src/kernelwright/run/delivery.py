"""What a run hands back: the kernel in one file, and a drop-in `ModelNew` that uses it safely.

The code inside ``best_module.py`` lives in `delivered`; here it is put together with the facts of
one problem. Both files work without Kernelwright.
"""

from __future__ import annotations

import ast
import hashlib
import pprint
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from kernelwright.core.candidate import Candidate
from kernelwright.core.evaluation import Evaluation
from kernelwright.core.problem import Problem
from kernelwright.core.protocols import BuildPlan, Language
from kernelwright.run.folder import RunFolder
from kernelwright.run.heading import heading, verified_sizes

MODULE = "best_module.py"
PLAIN = "python"  # the language of a module that finds files beside it
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"')
# Names of what behaves in training otherwise than in evaluation.
_MODES = re.compile(r"^training$|dropout|batch_?norm|instance_?norm|rrelu", re.IGNORECASE)
_ONCE = re.compile(r"^[ \t]*#[ \t]*pragma[ \t]+once\b")


def deliver(
    folder: RunFolder,
    problem: Problem,
    candidate: Candidate,
    evaluation: Evaluation,
    language: Language,
    *,
    device: str,
) -> tuple[Path, ...]:
    """Write ``best.<ext>`` and ``best_module.py`` into `folder`; the paths of what was written.

    There is no module for a kernel that needs more than its one file, or a launcher of its own, and
    none for a file that torch builds when it is imported: that is a module already.

    Raises:
        StoreError: a file could not be written.
    """
    name = f"best{Path(candidate.source.main_file).suffix}"
    lines = heading(problem, candidate, evaluation, name=name, module=MODULE, device=device)
    kernel = kernel_file(
        problem, candidate, evaluation, language, device=device, name=name, heading=lines
    )
    written = [folder.write(name, kernel.text)]
    written += [folder.write(other, text) for other, text in kernel.beside.items()]
    if kernel.form is not None:
        text = module_text(kernel.form, lines, kernel.facts, problem)
        written.append(folder.write(MODULE, text))
    return tuple(written)


@dataclass(frozen=True, kw_only=True)
class KernelFile:
    """A kernel as one file, with `beside` it those that it reads, and the `facts` that the code of
    `delivered` in `form` needs to use it; no form where there is no such code."""

    name: str
    text: str
    form: Literal["native", "module"] | None
    facts: dict[str, Any]
    beside: dict[str, str]


def kernel_file(
    problem: Problem,
    candidate: Candidate,
    evaluation: Evaluation,
    language: Language,
    *,
    device: str,
    name: str,
    heading: Sequence[str] = (),
) -> KernelFile:
    """The candidate as a file called `name` that can be used on its own, below `heading`."""
    plan, source = language.build(candidate, problem), candidate.source
    native = plan.lane == "native"
    text = one_unit(plan) if native else plan.files[source.main_file]
    if heading:
        text = _commented(heading, "//" if native else "#") + "\n" + text
    # A plain module finds the files beside it by itself.
    plain = candidate.language == PLAIN
    beside = {n: t for n, t in source.files.items() if plain and n != source.main_file}
    facts = facts_of(problem, evaluation, device=device)
    facts |= {"file": name, "sha256": _hash(text)}
    form: Literal["native", "module"] | None = None
    if native and device == "cpu" and len(plan.commands) == 1:
        facts |= {"command": _command(plan, name), "artifact": plan.artifact}
        form = "native"
    elif not native and plan.follow is None and (plain or len(source.files) == 1):
        facts |= {"kernel_entry": source.name, "environment": dict(plan.environment)}
        facts |= {"beside": {n: _hash(t) for n, t in beside.items()}} if beside else {}
        form = "module"
    return KernelFile(name=name, text=text, form=form, facts=facts, beside=beside)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def facts_of(problem: Problem, evaluation: Evaluation, *, device: str) -> dict[str, Any]:
    """What the delivered module must know: the tensors, and the sizes that were verified."""
    return {
        "problem": problem.id,
        "entry": problem.reference.name,
        "device": device,
        "direction": problem.direction,
        "cotangents": problem.cotangents,
        "gradients": problem.gradients,
        "inputs": [spec.model_dump(mode="json") for spec in problem.inputs],
        "outputs": [spec.model_dump(mode="json") for spec in problem.outputs],
        "axes": list(problem.axes),
        "sizes": [dict(sizes) for sizes in verified_sizes(problem, evaluation)],
        "own_sizes": dict(problem.report_workload.axes),
        "mode_matters": _mode_matters(problem.reference.text),
    }


def _mode_matters(text: str) -> bool:
    """Whether a reference may compute something else after `model.eval()`."""
    names = (
        getattr(node, "attr", getattr(node, "id", getattr(node, "name", None)))
        for node in ast.walk(ast.parse(text))
    )
    return any(isinstance(name, str) and _MODES.search(name) for name in names)


def one_unit(plan: BuildPlan) -> str:
    """The plan's translation unit with its own headers and files written into it.

    System headers stay as they are. A file that is included twice is written once: those of ours
    say so, and a candidate is included by ours alone.
    """
    return "\n".join(_inlined(_main_of(plan), plan.files, set())) + "\n"


def _main_of(plan: BuildPlan) -> str:
    """The file that the build's command compiles."""
    return next(word for word in plan.commands[0] if word in plan.files)


def _inlined(name: str, texts: Mapping[str, str], seen: set[str]) -> Iterator[str]:
    seen.add(name)
    for line in texts[name].splitlines():
        found = _INCLUDE.match(line)
        if found and found[1] in texts:
            if found[1] not in seen:
                yield f"// ---- {found[1]}"
                yield from _inlined(found[1], texts, seen)
                yield f"// ---- end of {found[1]}"
        elif not _ONCE.match(line):
            yield line


def _command(plan: BuildPlan, name: str) -> list[str]:
    main = _main_of(plan)
    return [name if word == main else word for word in plan.commands[0]]


def module_text(form: str, lines: Sequence[str], facts: Mapping[str, Any], problem: Problem) -> str:
    """The text of ``best_module.py``: what it is, the code of `delivered`, and the facts."""
    imports, code = _code("checks", "gradients", form)
    return "\n".join(
        [
            _commented(lines, "#"),
            "from __future__ import annotations\n",
            *imports,
            "\n",
            f"_FACTS = {facts_text(facts)}\n",
            "# The reference as it was given. It runs whenever the kernel may not.",
            f"_REFERENCE = {literal(problem.reference.text)}\n\n",
            code,
            "",
            "ModelNew = make_model(_FACTS, _REFERENCE, Path(__file__).resolve().parent, __name__)",
            "",
        ]
    )


def code_text(form: str) -> str:
    """The code of `delivered` for kernels of this form, as a file that others import."""
    imports, code = _code("checks", "gradients", form)
    return "\n".join(["from __future__ import annotations\n", *imports, "\n", code])


def facts_text(facts: Mapping[str, Any]) -> str:
    """The facts as Python."""
    return pprint.pformat(dict(facts), width=96, sort_dicts=False)


def _commented(lines: Sequence[str], mark: str) -> str:
    return "".join(f"{mark} {line}".rstrip() + "\n" for line in lines)


def _code(*names: str) -> tuple[list[str], str]:
    """The imports of the parts of `delivered`, and the rest of their text without docstrings."""
    imports, rest = set(), []
    for name in names:
        text = files("kernelwright.run.delivered").joinpath(f"{name}.py").read_text("utf-8")
        lines = text.splitlines()
        dropped: set[int] = set()
        for node in ast.parse(text).body:
            is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            if is_text or isinstance(node, ast.Import | ast.ImportFrom):
                dropped |= set(range(node.lineno - 1, node.end_lineno or node.lineno))
            if isinstance(node, ast.Import | ast.ImportFrom):
                imports |= set(_outside(node))
        rest += [line for at, line in enumerate(lines) if at not in dropped]
        rest += ["", ""]
    plain = sorted(line for line in imports if line.startswith("import "))
    return plain + sorted(imports - set(plain)), "\n".join(rest).strip("\n") + "\n"


def _outside(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """The import, name by name, unless it is of Kernelwright or of the future."""
    if isinstance(node, ast.Import):
        yield from (f"import {alias.name}" for alias in node.names)
    elif node.module and not node.module.startswith(("kernelwright", "__future__")):
        yield from (f"from {node.module} import {alias.name}" for alias in node.names)


def literal(text: str) -> str:
    """`text` as a Python literal that reads like the file, where it can."""
    plain = "\r" not in text and "\0" not in text
    for quotes in ('"""', "'''"):
        if plain and quotes not in text and not text.endswith((quotes[0], "\\")):
            return f"r{quotes}{text}{quotes}"
    return repr(text)
