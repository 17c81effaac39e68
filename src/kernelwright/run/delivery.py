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
from importlib.resources import files
from pathlib import Path
from typing import Any

from kernelwright.core.candidate import Candidate
from kernelwright.core.evaluation import Evaluation, Passed
from kernelwright.core.problem import Problem
from kernelwright.core.protocols import BuildPlan, Language
from kernelwright.core.statistics import CANDIDATE, Estimate, baselines, by_subject, speedup
from kernelwright.run.folder import RunFolder

MODULE = "best_module.py"
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"')
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

    There is no module for a kernel that needs more than its one file, or a launcher of its own.

    Raises:
        StoreError: a file could not be written.
    """
    plan = language.build(candidate, problem)
    name = f"best{Path(candidate.source.main_file).suffix}"
    facts = facts_of(problem, evaluation, device=device)
    lines = header(problem, candidate, evaluation, name, device=device)
    if plan.lane == "native":
        text, form = one_unit(plan), "native"
        facts |= {"command": _command(plan, name), "artifact": plan.artifact}
        alone = plan.commands[0][0] != "nvcc" and device == "cpu" and len(plan.commands) == 1
    else:
        text, form = plan.files[plan.artifact], "module"
        facts |= {"kernel_entry": candidate.source.name, "environment": dict(plan.environment)}
        alone = len(candidate.source.files) == 1
    mark = "// " if plan.lane == "native" else "# "
    text = "".join(f"{mark}{line}".rstrip() + "\n" for line in lines) + "\n" + text
    written = [folder.write(name, text)]
    if alone:
        digest = hashlib.sha256(text.encode()).hexdigest()
        module = module_text(form, lines, facts | {"file": name, "sha256": digest}, problem)
        written.append(folder.write(MODULE, module))
    return tuple(written)


def facts_of(problem: Problem, evaluation: Evaluation, *, device: str) -> dict[str, Any]:
    """What the delivered module must know: the tensors, and the sizes that were verified."""
    return {
        "problem": problem.id,
        "entry": problem.reference.name,
        "device": device,
        "inputs": [spec.model_dump(mode="json") for spec in problem.inputs],
        "outputs": [spec.model_dump(mode="json") for spec in problem.outputs],
        "axes": list(problem.axes),
        "sizes": [dict(sizes) for sizes in _verified_sizes(problem, evaluation)],
        "own_sizes": dict(problem.report_workload.axes),
    }


def _verified_sizes(problem: Problem, evaluation: Evaluation) -> list[Mapping[str, int]]:
    """The sizes of every workload on which the candidate agreed."""
    outcome = evaluation.outcome
    agreed = {a.workload_id for a in outcome.agreements} if isinstance(outcome, Passed) else set()
    return [workload.axes for workload in problem.workloads if workload.id in agreed]


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
    imports, code = _code("checks", form)
    head = "".join(f"# {line}".rstrip() + "\n" for line in lines)
    return "\n".join(
        [
            head,
            "from __future__ import annotations\n",
            *imports,
            "\n",
            f"_FACTS = {pprint.pformat(dict(facts), width=96, sort_dicts=False)}\n",
            "# The reference as it was given. It runs whenever the kernel may not.",
            f"_REFERENCE = {_literal(problem.reference.text)}\n\n",
            code,
            "",
            "ModelNew = make_model(_FACTS, _REFERENCE, Path(__file__).resolve().parent, __name__)",
            "",
        ]
    )


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


def _literal(text: str) -> str:
    """`text` as a Python literal that reads like the file, where it can."""
    awkward = '"""' in text or "\r" in text or text.endswith(('"', "\\")) or "\0" in text
    return repr(text) if awkward else f'r"""{text}"""'


def header(
    problem: Problem, candidate: Candidate, evaluation: Evaluation, name: str, *, device: str
) -> list[str]:
    """What a reader of the files is told: the problem, the speedup, and what was checked."""
    where = evaluation.environment
    checked = ", ".join(f"{check.name} ({check.count})" for check in evaluation.checks)
    rows = [
        ("Problem", f"{problem.id}: {problem.title}"),
        ("Kernel", f"{name}, candidate {candidate.id} in {candidate.language}"),
        *(("Speedup", line) for line in _speedups(evaluation)),
        ("Timed on", f"{where.cpu}, {where.threads} threads, at {_sizes(problem)}"),
        ("Sizes", _allowed_sizes(problem, evaluation)),
        ("Checked", checked or "nothing is recorded"),
        *(("Not checked", line) for line in evaluation.not_checked),
    ]
    return [
        f"{problem.reference.name} of {problem.id}, made faster by Kernelwright.",
        "",
        *(f"{label:<12} {_one_line(text)}" for label, text in rows),
        "",
        f"Keep {name} and {MODULE} together. ModelNew has the arguments and the state_dict of",
        f"{problem.reference.name}; it runs the kernel on {device} tensors for what was verified,",
        "without gradients, and the reference, with a warning, for everything else.",
        "",
    ]


def _speedups(evaluation: Evaluation) -> Iterator[str]:
    outcome = evaluation.outcome
    if not isinstance(outcome, Passed) or not outcome.measurements:
        yield "not timed"
        return
    for regime, words in (("returned", "a new output each call"), ("buffer", "into a buffer")):
        subjects = by_subject(
            outcome.measurements, "returned" if regime == "returned" else "buffer"
        )
        for rival, measured in baselines(subjects).items():
            if CANDIDATE in subjects:
                yield f"{_ratio(speedup(subjects[CANDIDATE], measured))} over {rival}, {words}"


def _ratio(estimate: Estimate) -> str:
    return f"{estimate.median:.2f}x [{estimate.ci_low:.2f}, {estimate.ci_high:.2f}]"


def _sizes(problem: Problem) -> str:
    return ", ".join(f"{axis}={size}" for axis, size in problem.report_workload.axes.items())


def _allowed_sizes(problem: Problem, evaluation: Evaluation) -> str:
    seen = _verified_sizes(problem, evaluation)
    words = []
    for axis in problem.axes:
        sizes = sorted({one[axis] for one in seen})
        words.append(f"{axis} = {sizes[0]} only" if len(sizes) == 1 else f"any {axis}")
    return ", ".join(words) or "as they are"


def _one_line(text: str) -> str:
    """`text` in one line that cannot end a comment or go on in the next."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).replace("\\", "/").split())
