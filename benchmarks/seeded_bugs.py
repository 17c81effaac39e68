"""Which transcription bugs the judge finds: seeded ones, in a correct kernel of each problem.

    python benchmarks/seeded_bugs.py [--json] [--only CLASS] [--problems NAME,...] [--most N]
                                     [--effort search|promotion] [--out FOLDER] [--again]

Each bug goes through the judge's screen and core and, if it passes, through what promotion adds:
other numbers of threads, and the sanitizers; see `verifying`. What
passes both is compared with the correct kernel's machine code; the rest was examined by hand, and
`seeded_bugs_examined.json` beside this file says why each is no bug or why the judge misses it.

`--again` starts from the results that are in the folder, and judges only what they lack and what
was missed then.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from seeded_bugs_report import FULL_SIZE, Row, explained, markdown, report
from verifying import Found, Verifier

from kernelwright.core.candidate import Candidate
from kernelwright.core.evaluation import BuildFailed, Crashed, Effort, TimedOut, WrongResult
from kernelwright.core.problem import Problem
from kernelwright.languages.cpp import Cpp
from kernelwright.languages.reading import candidate_from_text
from kernelwright.problems.reference import Reference
from kernelwright.seeding.bug import CLASSES, Bug
from kernelwright.seeding.mutations import bugs, sample

KERNELS = Path(__file__).parents[1] / "tests" / "seeded" / "kernels"
# Classes that few kernels have a place for, and how many times as many are taken from these.
FEW_PLACES = {
    "wrong_epsilon": 2, "integer_division": 2, "unguarded_max": 2, "missing_sync": 2,
    "missing_clamp": 2, "wrong_comparison": 3,
}  # fmt: skip


def seeded(name: str, most: int, only: str | None) -> list[Bug]:
    """The bugs of the kernel for problem `name`: `most` of a class, more where places are few.

    Classes that have few places come first, the others in an order that depends on the problem.
    """
    found = [one for one in bugs(_text(name)) if only in (None, one.kind)]
    rest = [kind for kind in CLASSES if kind not in FEW_PLACES]
    random.Random(name).shuffle(rest)
    return [
        one
        for kind in [*FEW_PLACES, *rest]
        for one in sample((b for b in found if b.kind == kind), most * FEW_PLACES.get(kind, 1))
    ]


class WrongKernel(Exception):
    """The judge does not pass the correct kernel, so nothing can be said about bugs in it."""


@dataclass(frozen=True)
class Opened:
    """A problem whose correct kernel passed, and what verifies others for it."""

    name: str
    problem: Problem
    verifier: Verifier
    stack: contextlib.ExitStack


def opened(name: str, effort: Effort) -> Opened:
    """Open the built-in problem `name`, with its cases drawn.

    Raises:
        WrongKernel: its correct kernel does not pass.
    """
    with contextlib.ExitStack() as stack:
        reference = stack.enter_context(Reference.open(f"builtin:{name}"))
        problem = reference.load()
        verifier = stack.enter_context(Verifier(problem, reference))
        wrong = verifier.verify(_candidate(problem, _text(name)), effort)
        if wrong is not None:
            raise WrongKernel(f"The correct kernel for {name} did not pass: {wrong}")
        return Opened(name, problem, verifier, stack.pop_all())


def judged(at: Opened, chosen: Sequence[Bug], effort: Effort) -> list[Row]:
    """One row for each of the bugs `chosen`; the next ones are built meanwhile."""
    rows = []
    for place, one in enumerate(chosen):
        for later in chosen[place + 1 : place + 3]:
            at.verifier.ahead(_candidate(at.problem, later.text))
        rows.append(_judged(at, one, effort))
    return rows


def _settled(row: Row | None) -> bool:
    """Whether judging that bug again could tell nothing new."""
    return row is not None and row["verdict"] in ("detected", "not_compiled")


def _judged(at: Opened, one: Bug, effort: Effort) -> Row:
    problem, started = at.problem, time.perf_counter()
    candidate, reason = _candidate(problem, one.text), None
    if one.kind == FULL_SIZE:
        # A sanitized build says nothing about what takes 2^31 elements to show.
        said: Found | str | None = at.verifier.verify(candidate, "search")
        if said is None and effort == "promotion":
            said = at.verifier.far(candidate)
        found, reason = (None, said) if isinstance(said, str) else (said, None)
    else:
        found = at.verifier.verify(candidate, effort)
    verdict, by = _verdict(found)
    row: Row = {
        "problem": at.name,
        "class": one.kind,
        "summary": one.summary,
        "text": _key(one),
        "verdict": verdict,
        "by": by,
        "wall_s": round(time.perf_counter() - started, 2),
    }
    if reason is not None:
        return row | {"reason": f"more than 2^31 elements would show it: {reason}"}
    same = verdict == "missed" and _machine_code(problem, one.text) == _machine_code(
        problem, _text(at.name)
    )
    if same:
        row |= {"verdict": "equivalent", "reason": "g++ makes the same machine code of both"}
    return row


def _verdict(found: Found | None) -> tuple[str, str | None]:
    """What became of a bug, and which step found it by what."""
    if found is None:
        return "missed", None
    match found.outcome:
        case BuildFailed():
            return "not_compiled", None
        case WrongResult(mismatches=mismatches):
            return "detected", f"{found.step}: {mismatches[0].kind}"
        case Crashed(signal=name):
            return "detected", f"{found.step}: {name or 'ended'}"
        case TimedOut():
            return "detected", f"{found.step}: too slow"
        case rejected:
            return "detected", f"{found.step}: {rejected.rule}"


def _candidate(problem: Problem, text: str) -> Candidate:
    return candidate_from_text(problem, text, "cpp")


def _machine_code(problem: Problem, text: str) -> bytes | None:
    """What g++ makes of `text` with the judge's own options: instructions and constants."""
    plan = Cpp().build(_candidate(problem, text), problem)
    sections = ("--only-section=.text", "--only-section=.rodata*", "--only-section=.data*")
    copy = ("objcopy", "-O", "binary", *sections, plan.artifact, "code")
    with tempfile.TemporaryDirectory() as folder:
        for file, content in plan.files.items():
            Path(folder, file).write_text(content)
        for command in (*plan.commands, copy):
            subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120)
        return Path(folder, "code").read_bytes()


def _text(name: str) -> str:
    return (KERNELS / f"{name}.cpp").read_text(encoding="utf-8")


def _key(one: Bug) -> str:
    return hashlib.blake2b(one.text.encode(), digest_size=12).hexdigest()


def _known(folder: Path | None, again: bool) -> dict[str, Row]:
    file = folder / "seeded-bugs.json" if folder else None
    if not again or file is None or not file.exists():
        return {}
    return {row["text"]: row for row in json.loads(file.read_text(encoding="utf-8"))["rows"]}


def _one_ahead(names: Sequence[str], effort: Effort) -> Iterator[tuple[str, Opened | WrongKernel]]:
    """Each problem, opened while the one before it is worked on."""
    with ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(opened, name, effort) for name in names[:1]]
        for place, name in enumerate(names):
            try:
                found: Opened | WrongKernel = waiting.pop().result()
            except WrongKernel as error:
                found = error
            if place + 1 < len(names):
                waiting.append(pool.submit(opened, names[place + 1], effort))
            yield name, found


def _store(said: Row, folder: Path) -> None:
    (folder / "seeded-bugs.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    (folder / "seeded-bugs.md").write_text(markdown(said), encoding="utf-8")


def main() -> int:
    """Run, print and store; 1 when a miss has no reason, or a correct kernel does not pass."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", choices=list(CLASSES))
    parser.add_argument("--problems", help="names, with commas between")
    parser.add_argument("--most", type=int, default=1, help="bugs of a class and problem")
    parser.add_argument("--per-problem", type=int, help="at most so many, spread over the classes")
    parser.add_argument("--effort", choices=["search", "promotion"], default="promotion")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--again", action="store_true")
    arguments = parser.parse_args()
    names = sorted(p.stem for p in KERNELS.glob("*.cpp"))
    chosen = arguments.problems.split(",") if arguments.problems else names
    if unknown := set(chosen) - set(names):
        parser.error(f"No kernel for {', '.join(sorted(unknown))} in {KERNELS}.")
    known, started = _known(arguments.out, arguments.again), time.perf_counter()
    rows = [
        row
        for row in known.values()
        if row["problem"] not in chosen or arguments.only not in (None, row["class"])
    ]
    todo: dict[str, list[Bug]] = {}
    for name in chosen:
        found = seeded(name, arguments.most, arguments.only)[: arguments.per_problem]
        todo[name] = [b for b in found if not _settled(known.get(_key(b)))]
        rows += [known[_key(b)] for b in found if b not in todo[name]]
    wrong, said = 0, report(explained(rows), 0.0)
    for name, at in _one_ahead([name for name in chosen if todo[name]], arguments.effort):
        if isinstance(at, WrongKernel):
            print(at, file=sys.stderr)
            wrong += 1
            continue
        with at.stack:
            rows += judged(at, todo[name], arguments.effort)
        said = report(explained(rows), time.perf_counter() - started)
        print(f"{name}: {len(rows)} bugs so far, rate {said['rate']}", file=sys.stderr)
        if arguments.out:
            _store(said, arguments.out)
    print(json.dumps(said, indent=1) if arguments.json else markdown(said))
    return int(
        wrong > 0 or any(r["verdict"] == "missed" and "reason" not in r for r in said["rows"])
    )


if __name__ == "__main__":
    raise SystemExit(main())
