"""The parts of an agent's run as fakes: a session in milliseconds, with no torch and no compiler.

A candidate's first comment is its verdict: a speedup, a word of `WORDS`, or the compiler's
complaint. Some plant what nobody may be told: `SECRETS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kernelwright.core.candidate import Candidate
from kernelwright.core.diagnosis import Diagnosis
from kernelwright.core.errors import FaultError
from kernelwright.core.evaluation import (
    Agreement,
    BuildFailed,
    Crashed,
    Effort,
    Evaluation,
    Mismatch,
    Outcome,
    Passed,
    Rejected,
    WrongResult,
)
from kernelwright.core.problem import Problem, Source, Workload
from kernelwright.core.record import Record
from kernelwright.core.run import RunSpec
from kernelwright.knowledge.sketches.drafts import Covered
from kernelwright.problems.admission import Admission
from kernelwright.run.equipment import Equipment
from kernelwright.run.folder import RunFolder
from kernelwright.run.patience import Retries
from kernelwright.run.profiling import Profiled
from kernelwright.testing.evaluators import (
    ScriptedEvaluator,
    number_candidate,
    row_problem,
    verdict,
)

SECRET_SIZE, SECRET_VALUE = 31337, "0.7310585"
SECRETS = (str(SECRET_SIZE), SECRET_VALUE, "prime-secret")
_KERNEL = 'extern "C" void kernel(const float* x, float* out, int64_t rows) {}'
_TUNABLE = "// tunable: TILE = 1 in {1, 2, 4, 8, 16}"
_PRINTED = f"rows={SECRET_SIZE} x={SECRET_VALUE}"


def problem() -> Problem:
    """`row_problem` with a hidden workload whose size is a secret."""
    known = [w for w in row_problem().workloads if w.split != "hidden"]
    hidden = Workload(id=SECRETS[2], split="hidden", axes={"rows": SECRET_SIZE})
    return row_problem().model_copy(update={"workloads": (*known, hidden)})


def text(word: float | str, *, tunable: bool = False, note: str = "") -> str:
    """A candidate whose verdict is `word`; `note` makes it another one."""
    lines = [f"// {word} {note}".rstrip(), *([_TUNABLE] if tunable else []), _KERNEL]
    return "\n".join(lines) + "\n"


def _hidden(**changes: object) -> Mismatch:
    values: dict[str, object] = {
        "workload_id": SECRETS[2], "split": "hidden", "distribution": "heavy", "output": "out",
        "kind": "wrong_value", "matched_ratio": 0.5, "detail": _PRINTED, "traits": ("tail",),
    }  # fmt: skip
    return Mismatch.model_validate(values | changes)


_KNOWN = _hidden(
    workload_id="search", split="search", detail="element 4 is 1, expected 2", traits=()
)
WORDS: Mapping[str, Outcome] = {
    "wrong": WrongResult(mismatches=(_KNOWN, _hidden())),
    "hidden": WrongResult(mismatches=(_hidden(),)),
    "crash": Crashed(
        stage="core", signal="SIGSEGV", detail=f"On a hidden workload (tail): x\n{_PRINTED}"
    ),
    "prints": Crashed(stage="core", signal=None, detail=f"It raised.\n{_PRINTED}"),
    "reject": Rejected(rule="forged_reply", evidence=f"On a hidden workload.\n{_PRINTED}"),
}


def outcome_of(candidate: Candidate) -> Outcome:
    """What a candidate of `text` says of itself."""
    word = candidate.source.text.split()[1]
    if word in WORDS:
        return WORDS[word]
    made = verdict(number_candidate(word, tunables=candidate.tunables).tuned(candidate.settings))
    if isinstance(made, Passed):
        hidden = Agreement(
            workload_id=SECRETS[2], split="hidden", cases=1, elements=SECRET_SIZE, worst=0.1
        )
        limits = Diagnosis(bottleneck="memory_bound", headroom=1.5, hints=("Move less.",))
        return made.model_copy(update={"agreements": (*made.agreements, hidden), "profile": limits})
    return made


class SecretiveEvaluator(ScriptedEvaluator):
    """A `ScriptedEvaluator` whose evaluations tell secrets wherever there is room for them."""

    async def evaluate(self, candidate: Candidate, effort: Effort) -> Evaluation:
        """The verdict on `candidate`."""
        found = await super().evaluate(candidate, effort)
        return found.model_copy(update={"log": _PRINTED, "not_checked": (f"rows = {SECRET_SIZE}",)})


@dataclass(kw_only=True)
class AgentEquip:
    """An `Equip` over words, for the problem `asks`. `opened` has the origins that it was asked
    for, `closed` counts."""

    delay_s: float = 0.0
    faults: list[FaultError] = field(default_factory=list)
    opened: list[str | Source] = field(default_factory=list)
    closed: int = 0
    asks: Problem = field(default_factory=problem)
    evaluator: SecretiveEvaluator = field(init=False)
    build: Callable[[Candidate], BuildFailed | None] | None = field(init=False)

    def __post_init__(self) -> None:
        self.evaluator = SecretiveEvaluator(
            outcome_of=outcome_of, delay_s=self.delay_s, faults=self.faults
        )
        self.build = _build

    @contextmanager
    def __call__(
        self,
        spec: RunSpec,  # noqa: ARG002
        origin: str | Source,
        known: Problem | None,
    ) -> Iterator[Equipment]:
        """The parts, whatever is asked for."""
        self.opened.append(origin)
        try:
            yield Equipment(
                problem=known or self.asks,
                evaluator=self.evaluator,
                admit=_admitted,
                writers=lambda _store, _folder: {},
                deliver=_deliver,
                retries=Retries(pause_s=0.0),
                build=self.build,
                profile=_profile,
                sketches=lambda _language: Covered(
                    candidates=(number_candidate(text(1.5, note="a sketch")),), sketches=("fake",)
                ),
            )
        finally:
            self.closed += 1


def _build(candidate: Candidate) -> BuildFailed | None:
    made = outcome_of(candidate)
    return made if isinstance(made, BuildFailed) else None


def _profile(_candidate: Candidate, evaluation: Evaluation) -> Profiled:
    outcome = evaluation.outcome
    known = outcome.profile if isinstance(outcome, Passed) else None
    return Profiled(diagnosis=known, facts=None, counters=None)


def _admitted() -> Record:
    return Admission(problem_id=problem().id, mutants=())


def _deliver(folder: RunFolder, candidate: Candidate, _evaluation: Evaluation) -> tuple[Path, ...]:
    return (folder.write("best.cpp", candidate.source.text),)
