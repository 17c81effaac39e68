"""Verdicts per minute on a GPU, ours and those of KernelBench's harness, on the same candidates.

    python benchmarks/gpu_throughput.py --kernelbench PATH [--kernelbench-samples N] [--json FILE]

The set (`gpu_mix`) is that of a search: of 16 candidates eight fail, four are wrong, and four are
right. Each text is new to whoever judges it. The problem is an RMSNorm with SiLU of 4096 by 4096
floats. In one run, for each language:

- *cold*: from nothing to the open judge, and to its first verdict with a timing. Paid once for a
  problem.
- *one by one*: the seconds of a verdict of each class, warm, at the precision of a search.
- *as a batch*: the whole set, mixed, five times over, through `judge_many`, which builds ahead and
  verifies side by side, as a search does. The verdicts per minute are those of the batch.
- *KernelBench*: `eval_kernel_against_ref` in a fresh process with a fresh build folder for each
  candidate, one after the other, as its scripts do on one GPU. A verdict on CUDA takes it most of a
  minute, so N of each class are run, and weighted by the shares of the classes in the set.

Our protocol is the stricter one: another process, a sandbox, a float64 oracle, hidden sizes, timing
against the best baseline. Where somebody says something else than what a candidate is, it is
printed. A right candidate that is refused, or another that passes, leaves no ratio: the time that
such verdicts took is not that of the set.

Each verdict of KernelBench has a limit, ours have those of the judge, and all together `--limit-s`.
Whoever stops it (with that, Ctrl-C or SIGTERM) gets the table of what was measured until then.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import gpu_mix
import kernelbench_lane
from gpu_mix import SETS, Class, Entry
from judge_throughput import half_width

from kernelwright.core.errors import KernelwrightError
from kernelwright.core.evaluation import Evaluation, Fault
from kernelwright.evaluate.batch import ProblemJudge, judge_many, read_candidate
from kernelwright.evaluate.environment import environment
from kernelwright.evaluate.opening import open_judge

EXAMPLE = Path(__file__).parents[1] / "examples" / "rmsnorm_silu.py"
SMALLER, ROWS = "batch_size = 2048", "batch_size = 4096"
TARGETS = {"triton": 10.0, "cuda": 40.0}
_VERDICTS = {"passed": "right", "wrong_result": "wrong"}  # any other outcome is a failure
_LIMIT_S = 560
_ROUNDS = 5  # so that beginning and end, when few are judged side by side, weigh less


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One verdict on a candidate that is `kind`: "right", "wrong", "fails" or "fault", and why.

    `s` is what it took; in a batch, when it came, from the batch's start.
    """

    name: str
    kind: Class
    s: float
    said: str
    detail: str
    stage_s: dict[str, float] = field(default_factory=dict)
    half_width_percent: float | None = None

    @property
    def expected(self) -> bool:
        """Whether that is what the candidate is."""
        return self.kind.partition(" ")[0] == self.said

    @property
    def misjudged(self) -> bool:
        """Whether it was refused and is right, or the reverse, or got no verdict at all.

        How it was refused is free: who reads beyond an input may be stopped before its answer is
        looked at.
        """
        return self.said == "fault" or (self.kind == "right") != (self.said == "right")


@dataclass(kw_only=True)
class Found:
    """What was measured of one language so far; what was not is None or empty."""

    language: str
    entries: list[Entry]
    open_s: float | None = None
    first: Sample | None = None
    first_verdict_s: float | None = None
    one_by_one: list[Sample] = field(default_factory=list)
    batch: list[Sample] = field(default_factory=list)
    batch_s: float | None = None
    kernelbench: list[Sample] = field(default_factory=list)
    broke: str | None = None

    def stored(self) -> dict[str, Any]:
        """Every sample, for a program."""
        whole = asdict(self)
        del whole["entries"]
        return whole | {"set": [{"name": one.name, "kind": one.kind} for one in self.entries]}


Tell = Callable[[str], None]


def problem(folder: Path) -> Path:
    """The example with as many rows as make a GPU work, as a file in `folder`."""
    text = EXAMPLE.read_text()
    if SMALLER not in text:
        raise ValueError(f"{EXAMPLE} does not say {SMALLER!r}")
    made = folder / EXAMPLE.name
    made.write_text(text.replace(SMALLER, ROWS))
    return made


def of(entry: Entry, found: Evaluation | Fault, spent_s: float) -> Sample:
    """What our judge said of `entry`."""
    if isinstance(found, Fault):
        said, detail = "fault", found.message
    else:
        said = _VERDICTS.get(found.outcome.kind, "fails")
        detail = "" if said == "right" else str(found.outcome)[:400]
    return Sample(
        name=entry.name,
        kind=entry.kind,
        s=spent_s,
        said=said,
        detail=detail,
        stage_s={} if isinstance(found, Fault) else found.stage_s,
        half_width_percent=None if isinstance(found, Fault) else half_width(found),
    )


def judged(judge: ProblemJudge, entries: list[Entry], language: str) -> Iterator[Sample]:
    """Our verdicts on `entries`, judged as a batch, as they come."""
    start = time.perf_counter()
    texts = (read_candidate(judge.problem, one.fresh_ours(), language) for one in entries)
    for at, found in judge_many(judge, texts, "search"):
        yield of(entries[at], found, time.perf_counter() - start)


def ours(found: Found, opening: AbstractContextManager[ProblemJudge], tell: Tell) -> None:
    """What we take: cold, one by one, and as a batch. A failure of our own ends it and is told."""
    tell(f"== {found.language}")
    try:
        _ours(found, opening, tell)
    except KernelwrightError as error:
        found.broke = str(error)
        tell(found.broke)


def _ours(found: Found, opening: AbstractContextManager[ProblemJudge], tell: Tell) -> None:
    start = time.perf_counter()
    with opening as judge:
        found.open_s = time.perf_counter() - start
        right = gpu_mix.some(found.entries, "right", 1)
        (found.first,) = judged(judge, right, found.language)
        found.first_verdict_s = time.perf_counter() - start
        tell(f"cold, {found.first_verdict_s:.1f} s after the start: {found.first}")
        for entry in found.entries:
            found.one_by_one += judged(judge, [entry], found.language)
            tell(f"we: {found.one_by_one[-1]}")
        start = time.perf_counter()
        batch = gpu_mix.mixed(found.entries) * _ROUNDS
        found.batch = list(judged(judge, batch, found.language))
        found.batch_s = time.perf_counter() - start
        tell(f"a batch of {len(found.batch)}: {found.batch_s:.1f} s")


def theirs(found: Found, checkout: Path, origin: Path, count: int, tell: Tell) -> None:
    """What KernelBench takes for `count` candidates of each class."""
    for kind in gpu_mix.shares(found.entries):
        for entry in gpu_mix.some(found.entries, kind, count):
            text = entry.fresh_theirs()
            heard = kernelbench_lane.judged(checkout, origin, text, found.language)
            found.kernelbench.append(Sample(name=entry.name, kind=kind, **asdict(heard)))
            tell(f"KernelBench: {found.kernelbench[-1]}")


def class_s(samples: list[Sample]) -> dict[Class, float]:
    """The mean seconds of a verdict of each class that was reached."""
    spent: dict[Class, list[float]] = defaultdict(list)
    for one in samples:
        spent[one.kind].append(one.s)
    return {kind: statistics.fmean(many) for kind, many in spent.items()}


def weighted_s(samples: list[Sample], shares: dict[Class, float]) -> float | None:
    """The seconds of a verdict over the set; None when a class was not reached."""
    means = class_s(samples)
    if means.keys() != shares.keys():
        return None
    return sum(share * means[kind] for kind, share in shares.items())


def void(found: Found) -> list[str]:
    """Why no ratio holds: what was judged is not what is in the set."""
    first = [found.first] if found.first else []
    mine = {s.name for s in (*first, *found.one_by_one, *found.batch) if s.misjudged}
    other = {s.name for s in found.kernelbench if s.kind == "right" and s.said != "right"}
    return [
        *([f"our judge broke: {found.broke}"] if found.broke else []),
        *(f"we misjudge {name!r}" for name in sorted(mine)),
        *(f"KernelBench refuses {name!r}, which is right" for name in sorted(other)),
    ]


def disagreements(found: Found) -> list[str]:
    """Where somebody says something else than what a candidate is."""
    parts = (
        ("we say", found.one_by_one),
        ("we say in the batch", found.batch),
        ("KernelBench says", found.kernelbench),
    )
    said = [
        f"{who} of {one.name!r}, which is {one.kind!r}: {one.said}. {one.detail[:200]}"
        for who, samples in parts
        for one in samples
        if not one.expected
    ]
    return list(dict.fromkeys(said))


def table(found: Found) -> list[str]:
    """The figures of one language for a person."""
    shares, size = gpu_mix.shares(found.entries), len(found.entries)
    counts = Counter(one.kind for one in found.entries)
    here, there = class_s(found.one_by_one), class_s(found.kernelbench)
    there_s = weighted_s(found.kernelbench, shares)
    batch_s = None if found.batch_s is None else found.batch_s / len(found.batch)
    cold_s = None
    if batch_s is not None and found.first_verdict_s is not None:
        cold_s = batch_s + found.first_verdict_s / size
    rows = [(f"{kind} ({counts[kind]})", here.get(kind), there.get(kind)) for kind in shares]
    rows += [
        ("the set, one by one", weighted_s(found.one_by_one, shares), there_s),
        ("the set, as a batch", batch_s, there_s),
        ("the same and the cold start", cold_s, there_s),
    ]
    lines = [
        f"== {found.language}: {size} candidates",
        f"{'seconds per verdict':28} {'ours':>9} {'KernelBench':>12} {'ratio':>7}",
        *(f"{name:28} {_s(a):>9} {_s(b):>12} {_times(b, a):>7}" for name, a, b in rows),
        f"cold, once: the judge is open after {_s(found.open_s)}, its first verdict with a timing "
        f"comes after {_s(found.first_verdict_s)}",
        f"KernelBench ran {len(found.kernelbench)} of the {size}; its means are weighted by the "
        "numbers in brackets",
        *disagreements(found),
    ]
    rates = f"verdicts per minute: {_rate(batch_s)}, KernelBench {_rate(there_s)}"
    if why := void(found):
        return [*lines, f"{rates}; no ratio, since {'; '.join(why)}"]
    target = TARGETS[found.language]
    return [
        *lines,
        f"{rates}: {_times(there_s, batch_s)} (target {target:g}x); with the cold start, over this "
        f"set: {_times(there_s, cold_s)}",
    ]


def _s(seconds: float | None) -> str:
    return "not run" if seconds is None else f"{seconds:.2f} s"


def _times(there_s: float | None, here_s: float | None) -> str:
    return "-" if there_s is None or here_s is None else f"{there_s / here_s:.1f}x"


def _rate(seconds: float | None) -> str:
    return "not run" if seconds is None else f"{60 / seconds:.1f}"


def machine(commit: str | None) -> dict[str, Any]:
    """Where this ran, and what of."""
    here = environment("cuda")
    nvcc = _first_match(["nvcc", "--version"], "release")
    own = _first_match(["git", "-C", str(EXAMPLE.parent), "describe", "--always", "--dirty"], "")
    return {
        "device": here.device,
        "cpu": here.cpu,
        "processors": here.cores,
        "versions": here.versions | {"nvcc": nvcc or "unknown"},
        "commit": commit or own or "unknown",
        "problem": f"{EXAMPLE.name} with {ROWS}",
    }


def _first_match(command: list[str], word: str) -> str | None:
    """The first line with `word` that `command` prints; None when there is none."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return next((line.strip() for line in done.stdout.splitlines() if word in line), None)


@contextlib.contextmanager
def ends_after(limit_s: int) -> Iterator[None]:
    """An interrupt, as of Ctrl-C, after `limit_s` or on SIGTERM; it ends what is inside."""
    handler = signal.default_int_handler
    before = {one: signal.signal(one, handler) for one in (signal.SIGALRM, signal.SIGTERM)}
    signal.alarm(limit_s)
    try:
        yield
    except KeyboardInterrupt:
        print("Stopped; what follows is what there is.", file=sys.stderr, flush=True)
    finally:
        signal.alarm(0)
        for one, was in before.items():
            signal.signal(one, was)


def main() -> int:
    """Print the table of each language; 1 when a right candidate was refused or another passed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kernelbench", type=Path, help="a checkout of it; without, ours alone")
    parser.add_argument("--kernelbench-samples", "--samples", type=int, default=1, metavar="N")
    parser.add_argument("--language", choices=sorted(SETS), action="append", help="default: both")
    parser.add_argument("--json", "--out", type=Path, metavar="FILE", help="every sample, there")
    parser.add_argument("--limit-s", type=int, default=_LIMIT_S, help="for everything together")
    parser.add_argument("--commit", help="what this is, where it is no checkout of git")
    arguments = parser.parse_args()
    why_not = "not asked for"
    if arguments.kernelbench:
        why_not = kernelbench_lane.why_not(arguments.kernelbench) or ""
    found = [Found(language=name, entries=SETS[name]()) for name in arguments.language or SETS]
    head = machine(arguments.commit) | {"kernelbench": why_not or "run"}

    def tell(line: str) -> None:
        print(line, file=sys.stderr, flush=True)
        if arguments.json:  # anew each time, so that what stops this loses nothing
            whole = head | {"languages": [one.stored() for one in found]}
            arguments.json.write_text(json.dumps(whole, indent=1))

    with tempfile.TemporaryDirectory() as folder, ends_after(arguments.limit_s):
        origin = problem(Path(folder))
        for one in found:
            ours(one, open_judge(origin, device="cuda"), tell)
            if not why_not:
                count = arguments.kernelbench_samples
                theirs(one, arguments.kernelbench, origin, count, tell)
    print(f"{head['device']}, commit {head['commit']}, {head['problem']}")
    for one in found:
        print("\n".join(table(one)))
    if why_not:
        print(f"KernelBench was not run: {why_not}")
    return 1 if any(void(one) for one in found) else 0


if __name__ == "__main__":
    sys.exit(main())
