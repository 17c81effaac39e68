"""What a run works with: the reference's process, the judge, the writers, and the delivery.

This is where the parts that do not know each other are joined. A test, or someone with parts of
their own, hands `optimize` another `Equip`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kernelwright.core import names
from kernelwright.core.candidate import Candidate
from kernelwright.core.cards import only_card, visible_cards
from kernelwright.core.cut import Cut
from kernelwright.core.diagnosis import Diagnosis
from kernelwright.core.errors import SpecError, UsageError
from kernelwright.core.evaluation import (
    BuildFailed,
    Environment,
    Evaluation,
    Rejected,
    TimedOut,
)
from kernelwright.core.problem import Problem, Source
from kernelwright.core.protocols import (
    Evaluator,
    Example,
    Language,
    Passage,
    Store,
    Writer,
)
from kernelwright.core.record import Record
from kernelwright.core.run import RunSpec
from kernelwright.evaluate.environment import environment
from kernelwright.evaluate.judge import Judge
from kernelwright.evaluate.opening import open_judges
from kernelwright.generate.briefing import Briefing, no_examples
from kernelwright.generate.listed_writer import CompilerWriter, LibraryWriter, SketchWriter
from kernelwright.generate.looking_up import Source as PassageSource
from kernelwright.generate.looking_up import Task, look_up, told
from kernelwright.generate.outside import Outside
from kernelwright.generate.toolbox import Toolbox
from kernelwright.knowledge import actions
from kernelwright.knowledge.compiled import LANGUAGES as COMPILED
from kernelwright.knowledge.lessons.lesson import Lesson
from kernelwright.knowledge.sketches.drafts import Covered, NotCovered
from kernelwright.library.finding import Shelves
from kernelwright.library.records import device_name
from kernelwright.library.shelf import Broken, Kernel, folders_of, read_library
from kernelwright.problems.reference import Reference
from kernelwright.run.compiler_seeds import CompilerSeeds
from kernelwright.run.delivery import PLAIN, deliver
from kernelwright.run.folder import RunFolder
from kernelwright.run.knowing import about_device, sources_of
from kernelwright.run.lessons import lessons_of, not_drawn_from, told_by, told_to_models
from kernelwright.run.memory import runs_in
from kernelwright.run.model_writers import check_models, model_writers
from kernelwright.run.patience import USUAL, Retries
from kernelwright.run.profiling import Profiled, profiled
from kernelwright.run.regions.finding import find_cut
from kernelwright.run.sketching import Sketches
from kernelwright.run.spec import (
    AGENT,
    COMPILER,
    LIBRARY,
    ROLES,
    SKETCH,
    TUNER,
    device_of,
    reads_library,
)
from kernelwright.search.drafting import Drafter

Library = tuple[Sequence[Kernel], Sequence[Broken]]

# Drafts of a writer that is sampled; one with a list is asked until the list ends.
SAMPLED_DRAFTS = 4
# What may help where no sketch drafts a problem and no model is asked.
_ADVICE = "`optimize --regions` searches for the parts of it that sketches cover."


@dataclass(frozen=True, kw_only=True)
class Equipment:
    """The parts of one run. `writers` needs the run's store and folder, which come later.
    `library_drafts` says how many kernels of the library serve the problem, in a language;
    `remarks` are sentences on what was left out.

    What a coding agent may ask for besides a verdict is None where it cannot be had, as where the
    judge is on another machine: `build` compiles a candidate and says what came of it, `profile`
    looks at its code, and counts on a GPU, and `sketches` has the drafts in a language. `examples`
    are verified kernels to read, in a language. `about_device` is on what the candidates run on,
    and `sources` have what else is known. `heeded` are the lessons that writers make use of
    so far. `cut` finds the problem's regions.
    """

    problem: Problem
    evaluator: Evaluator
    admit: Callable[[], Record]
    writers: Callable[[Store, RunFolder], Mapping[str, Writer]]
    deliver: Callable[[RunFolder, Candidate, Evaluation], tuple[Path, ...]]
    retries: Retries = USUAL
    library_drafts: Callable[[str], int] = lambda _language: 0
    remarks: tuple[str, ...] = ()
    build: Callable[[Candidate], BuildFailed | TimedOut | Rejected | None] | None = None
    profile: Callable[[Candidate, Evaluation], Profiled] | None = None
    sketches: Callable[[str], Covered | NotCovered] | None = None
    judges_modules: bool = True  # the delivered module is more than one file
    examples: Callable[[str], Sequence[Example]] = no_examples
    heeded: Callable[[], tuple[Lesson, ...]] = tuple
    cut: Callable[[], Cut] | None = None
    about_device: Passage | None = None
    sources: Sequence[PassageSource] = ()


class Equip(Protocol):
    """Sets up the parts for a spec, and takes them down again."""

    def __call__(
        self, spec: RunSpec, origin: str | Source, known: Problem | None
    ) -> AbstractContextManager[Equipment]:
        """`known` is the problem of the log, when the run is resumed.

        Raises:
            UsageError: the problem, a model or this machine does not allow the run.
        """
        ...


@contextmanager
def equip(spec: RunSpec, origin: str | Source, known: Problem | None = None) -> Iterator[Equipment]:
    """The real parts on this machine, for a spec that is complete. See `Equip`."""
    if spec.judge is not None:
        raise SpecError(
            f"The judge of this run is {spec.judge}. Leave it out of the settings to judge here."
        )
    device = device_of(spec)
    check_models(spec)  # before anything is started
    library, lessons = library_of(spec), lessons_of(spec)
    runs_in(spec.memory)
    # The problem of the log has its direction, whatever its file says by itself.
    direction = known.direction if known else spec.direction
    with (
        only_card(spec.device),
        Reference.open(origin, device=device, direction=direction) as reference,
    ):
        problem = same_problem(reference.load(), known)
        with _judging(spec, origin, problem, reference) as judge:
            here = environment(device)
            yield furnished(spec, problem, reference, judge, library, here=here, lessons=lessons)


def library_of(spec: RunSpec) -> Library:
    """The kernels that `spec` may use, and the folders that are none.

    Raises:
        UsageError: a library is not there.
    """
    return read_library(folders_of(spec.library) if reads_library(spec) else ())


def furnished(
    spec: RunSpec,
    problem: Problem,
    reference: Reference,
    evaluator: Evaluator,
    library: Library,
    *,
    here: Environment | None = None,
    lessons: Sequence[Lesson] = (),
) -> Equipment:
    """The parts of a run for `spec` whose verdicts come from `evaluator`; `reference` stays the
    caller's. `here` is what is judged on, None where that is not known: kernels of the library get
    the values that were the best there, of `lessons` those are used that are for it, and models are
    told of it.

    Raises:
        UsageError: a folder that is to be remembered holds no run.
    """
    used = (*spec.languages, *((PLAIN,) if spec.regions else ()))
    languages: dict[str, Language] = {n: names.load("language", n)() for n in used}
    kernels, broken = library
    trace = functools.cache(reference.trace)
    on = device_name(here) if here else None
    heard = not_drawn_from(problem, lessons) if spec.decontaminate else lessons
    advice = "" if spec.models or spec.regions else _ADVICE
    sketches = Sketches(problem, trace, on, heard, advice)
    shelves = Shelves(kernels, problem, trace, on, decontaminate=spec.decontaminate)
    compiler_seeds = CompilerSeeds(problem, lambda: reference.compiled())
    alone = evaluator if isinstance(evaluator, Judge) else None
    device, sources = about_device(here), (*sources_of(spec, shelves), told_by(heard, on))

    def task(language: str) -> Task:
        return Task(
            problem=problem,
            language=languages[language],
            sketches=sketches,
            examples=shelves.to_read,
            actions=actions.ACTIONS,
            page=actions.page,
            device=device,
            sources=sources,
        )

    toolbox = _toolbox(task, evaluator)
    return Equipment(
        problem=problem,
        evaluator=evaluator,
        admit=lambda: reference.admit(spec.seed),
        writers=lambda store, folder: writers_for(
            spec, sketches, shelves, compiler_seeds, languages, store, folder, toolbox, task
        ),
        library_drafts=shelves.count,
        examples=shelves.to_read,
        about_device=device,
        sources=sources,
        remarks=tuple(each.reason for each in broken),
        deliver=lambda folder, candidate, evaluation: deliver(
            folder,
            problem,
            candidate,
            evaluation,
            languages[candidate.language],
            device=device_of(spec),
        ),
        build=alone.try_build if alone else None,
        profile=functools.partial(profiled, alone) if alone else None,
        sketches=sketches,
        judges_modules=spec.judge is None,
        cut=lambda: find_cut(problem, reference.outline(), reference.trace_of, spec.languages),
        heeded=lambda: (*sketches.heeded, *told_to_models(spec, heard, on)),
    )


def _toolbox(task: Callable[[str], Task], evaluator: Evaluator) -> Toolbox:
    """What a model may be lent. Where the judge is elsewhere nothing is built or profiled."""
    alone = evaluator if isinstance(evaluator, Judge) else None
    return Toolbox(
        judge=lambda candidate: evaluator.evaluate(candidate, "search"),
        look_up=lambda words, language: look_up(words, task(language)),
        build=alone.try_build if alone else None,
        profile=functools.partial(_limits, alone) if alone else None,
    )


@contextmanager
def _judging(
    spec: RunSpec, origin: str | Source, problem: Problem, reference: Reference
) -> Iterator[Evaluator]:
    """The judge that shares the reference's process; where several attempts go on at once and
    there are several GPUs, one on each."""
    device = device_of(spec)
    if device == "cuda" and min(spec.width, len(visible_cards())) > 1:
        with open_judges(
            origin, direction=problem.direction, device=device, known=problem, most=spec.width,
            require_isolation=spec.require_isolation,
        ) as judges:  # fmt: skip
            yield judges
    else:
        with Judge(
            problem, reference, device=device, require_isolation=spec.require_isolation
        ) as judge:
            yield judge


def drafters(
    spec: RunSpec,
    dropped: frozenset[str],
    library_drafts: Callable[[str], int],
    sketches: Callable[[str], Covered | NotCovered] | None = None,
) -> tuple[Drafter, ...]:
    """The writers of `spec`, in each language, as a strategy sees them. One that has nothing for
    the problem is left out. Where sketches have nothing, what torch.compile generates is a draft,
    whether or not it was asked for."""
    asked = [
        (writer, language)
        for writer in spec.writers
        if not writer.startswith(AGENT)
        for language in spec.languages
    ]
    asked += [
        (COMPILER, language)
        for writer, language in asked
        if writer == SKETCH
        and (COMPILER, language) not in asked
        and language in COMPILED
        and sketches is not None
        and not isinstance(sketches(language), Covered)
    ]
    made = (
        _drafter(writer, language, library_drafts, sketches)
        for writer, language in asked
        if writer not in dropped
    )
    return tuple(drafter for drafter in made if drafter.limit != 0)


def _drafter(
    writer: str,
    language: str,
    library_drafts: Callable[[str], int],
    sketches: Callable[[str], Covered | NotCovered] | None,
) -> Drafter:
    if writer == LIBRARY:
        count = library_drafts(language)
        return Drafter(writer=writer, language=language, limit=count, listed=True)
    if writer == SKETCH:
        found = sketches(language) if sketches else None
        if not isinstance(found, Covered):
            # Asked once, it says why it has nothing.
            return Drafter(writer=writer, language=language)
        # The first is what it drafts when no action is named.
        carried = actions.carried_out(found.sketches[1:])
        count = len(found.candidates)
        return Drafter(writer=writer, language=language, limit=count, listed=True, actions=carried)
    if writer == COMPILER:
        return Drafter(writer=writer, language=language, limit=1)
    told = tuple(action for action in actions.ACTIONS if language in action.languages)
    return Drafter(
        writer=writer, language=language, limit=SAMPLED_DRAFTS, refines=True, actions=told
    )


def _limits(judge: Judge, candidate: Candidate, evaluation: Evaluation) -> Diagnosis | None:
    return profiled(judge, candidate, evaluation).diagnosis


def writers_for(
    spec: RunSpec,
    sketches: Sketches,
    shelves: Shelves,
    compiler_seeds: CompilerSeeds,
    languages: Mapping[str, Language],
    store: Store,
    folder: RunFolder,
    toolbox: Toolbox,
    task: Callable[[str], Task],
) -> dict[str, Writer]:
    """The writers of `spec`, and those that may always be needed, by name. `task` is what is looked
    up for in a language."""
    briefing = Briefing(
        examples=shelves.examples if LIBRARY in spec.writers else no_examples,
        page=actions.page,
        passages=lambda words, language, action: told(words, task(language), action),
    )
    made: dict[str, Writer] = {
        TUNER: names.load("writer", TUNER)(),
        COMPILER: CompilerWriter(drafts=compiler_seeds),
        **model_writers(spec, languages, store, folder, briefing, toolbox),
    }
    for name in spec.writers:
        if name == SKETCH:
            made[name] = SketchWriter(drafts=sketches, carrying=sketches.carrying)
        elif name == LIBRARY:
            made[name] = LibraryWriter(drafts=shelves.drafts)
        elif name.startswith(AGENT):
            made[name] = Outside()
        elif name not in ROLES and name not in made:
            made[name] = names.load("writer", name)()
    return made


def same_problem(loaded: Problem, known: Problem | None) -> Problem:
    """The problem of the log, when the file still means the same here.

    Raises:
        UsageError: it does not.
    """
    if known is None:
        return loaded
    alike = ("direction", "inputs", "outputs", "axes", "workloads")
    if any(getattr(loaded, field) != getattr(known, field) for field in alike):
        raise UsageError(
            f"The problem {known.id!r} has other tensors or sizes here than when the run was "
            "started, perhaps under another version of torch. Start a new run."
        )
    return known
