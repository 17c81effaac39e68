"""Making a folder of the library out of a candidate that was promoted."""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import kernelwright
from kernelwright.core.candidate import Candidate
from kernelwright.core.errors import UsageError
from kernelwright.core.evaluation import Evaluation, Passed
from kernelwright.core.problem import Problem
from kernelwright.languages.tunables import parse_tunables
from kernelwright.library.adapting import constant_line
from kernelwright.library.modules import MODEL, RUN
from kernelwright.library.normal.form import NormalForm
from kernelwright.library.records import (
    Certificate,
    Computed,
    Constant,
    Description,
    Judgement,
    Provenance,
    Tuned,
    device_name,
)
from kernelwright.library.shelf import (
    CERTIFICATE,
    ENTRY,
    GRAPH,
    PROBLEM,
    Kernel,
    files_of,
    hashed,
    read_kernel,
)

_SAME = 1e-6  # a float in a text may have seven digits, as in 0.7978846f


@dataclass(frozen=True, kw_only=True)
class Promoted:
    """A candidate with the verdict that it is put into a library for."""

    problem: Problem
    form: NormalForm
    candidate: Candidate
    evaluation: Evaluation
    provenance: Provenance
    commit: str | None = None


def add(library: Path, name: str, promoted: Promoted) -> Path:
    """Write `promoted` into `library` under `name`; the folder.

    If the same kernel is there already, what was found on this device is added to it.

    Raises:
        UsageError: it did not pass on promotion, it cannot be adapted to other problems, or there
            is another kernel of that name.
    """
    _check(name, promoted)
    folder = library / name
    if folder.exists():
        return _joined(read_kernel(folder), promoted)
    about = _description(name, promoted)
    texts = {
        **promoted.candidate.source.files,
        PROBLEM: promoted.problem.reference.text,
        GRAPH: promoted.form.text,
    }
    _write(folder, about, texts, (_judgement(promoted),))
    return folder


def _check(name: str, promoted: Promoted) -> None:
    evaluation, candidate = promoted.evaluation, promoted.candidate
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", name):
        raise UsageError(f"{name!r} is no name for a kernel: small letters, digits, '_', '.', '-'.")
    if not isinstance(evaluation.outcome, Passed) or evaluation.effort != "promotion":
        raise UsageError(
            "Only a kernel that the judge passed on promotion is put into a library. Run the "
            "search to its end, or judge the file again."
        )
    said = {unit.partition("/")[0] for units in promoted.form.axes for unit in units}
    unsaid = [axis for axis in promoted.problem.axes if axis not in said]
    if unsaid:
        raise UsageError(
            f"Nothing that the problem's outputs are made of has its size {unsaid[0]}, so no other "
            "problem could say what that is. Take what has it out of the reference."
        )
    taken = {PROBLEM, GRAPH, ENTRY, CERTIFICATE} & set(candidate.source.files)
    if taken:
        raise UsageError(f"The kernel's file {min(taken)} has the name of one of the library's.")
    if candidate.lane == "module" and f"def {RUN}(" not in candidate.source.text:
        raise UsageError(
            f"The kernel has no function {RUN}. Give it one that takes the problem's tensors in "
            f"their order and returns the outputs, and have {MODEL}.forward call it."
        )


def _description(name: str, promoted: Promoted) -> Description:
    candidate, problem, form = promoted.candidate, promoted.problem, promoted.form
    main = candidate.source.main_file
    return Description(
        name=name,
        language=candidate.language,
        lane=candidate.lane,
        entry_point=candidate.source.entry_point,
        files=(main, *sorted(f for f in candidate.source.files if f != main)),
        build_options=candidate.build_options,
        tunables=candidate.tunables or parse_tunables(candidate.source.text),
        tuned=_tuned(promoted),
        constants=named_constants(candidate.source.text, form),
        computes=Computed(
            title=problem.title,
            origin=Path(problem.origin).name,
            direction=problem.direction,
            reference=f"{PROBLEM}::{problem.reference.name}",
            inputs=problem.inputs,
            written=problem.outputs,
            sizes=problem.axes,
            key=form.key,
            tensors=form.tensors,
            outputs=form.outputs,
            axes=form.axes,
            constants=form.constants,
        ),
        provenance=promoted.provenance,
    )


def named_constants(text: str, form: NormalForm) -> tuple[Constant, ...]:
    """The constants of `form` that `text` gives names to. Two names for one value name nothing:
    which of them stands where cannot be told."""
    found: dict[tuple[int, ...], list[str]] = {}
    for name in dict.fromkeys(re.findall(r"\b[A-Z][A-Z0-9_]*\b", text)):
        said = constant_line(name).findall(text)
        if len(said) != 1:
            continue
        value = float(said[0][1].replace("_", ""))
        places = tuple(
            n for n, c in enumerate(form.constants) if abs(c - value) <= _SAME * abs(value)
        )
        if places:
            found.setdefault(places, []).append(name)
    return tuple(
        Constant(name=names[0], at=places) for places, names in found.items() if len(names) == 1
    )


def _tuned(promoted: Promoted) -> tuple[Tuned, ...]:
    values = promoted.candidate.values
    device = device_name(promoted.evaluation.environment)
    return (Tuned(device=device, settings=values),) if values else ()


def _judgement(promoted: Promoted) -> Judgement:
    """The verdict without what is large and says nothing of the kernel."""
    evaluation = promoted.evaluation
    outcome = evaluation.outcome
    if isinstance(outcome, Passed):
        outcome = outcome.model_copy(update={"profile": None})
    return Judgement(
        device=device_name(evaluation.environment),
        day=promoted.provenance.day,
        version=kernelwright.__version__,
        commit=promoted.commit,
        settings=promoted.candidate.values,
        evaluation=evaluation.model_copy(update={"outcome": outcome, "log": ""}),
    )


def _joined(kernel: Kernel, promoted: Promoted) -> Path:
    """The kernel that is there, with what was found on this device in place of what was known."""
    same = kernel.source.files == promoted.candidate.source.files
    if not same or kernel.form.key != promoted.form.key:
        raise UsageError(
            f"There is another kernel called {kernel.name} in {kernel.folder.parent}. Choose "
            "another name with --name, or take that one away."
        )
    judgement = _judgement(promoted)
    others = [j for j in kernel.certificate.judgements if j.device != judgement.device]
    tuned = [t for t in kernel.about.tuned if t.device != judgement.device]
    about = kernel.about.model_copy(update={"tuned": (*tuned, *_tuned(promoted))})
    texts = {name: (kernel.folder / name).read_text("utf-8") for name in files_of(about)}
    _write(kernel.folder, about, texts, (*others, judgement))
    return kernel.folder


def _write(
    folder: Path, about: Description, texts: dict[str, str], judgements: tuple[Judgement, ...]
) -> None:
    """Write the folder whole, and only if it reads back."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    files = {**texts, ENTRY: about.model_dump_json(indent=1) + "\n"}
    certificate = Certificate(
        files={name: hashed(text) for name, text in files.items()}, judgements=judgements
    )
    files[CERTIFICATE] = certificate.model_dump_json() + "\n"
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as made:
        new = Path(made) / folder.name
        new.mkdir()
        for name, text in files.items():
            (new / name).write_text(text, encoding="utf-8", newline="")
        read_kernel(new)
        if folder.exists():
            shutil.move(folder, Path(made) / "old")
        shutil.move(new, folder)
