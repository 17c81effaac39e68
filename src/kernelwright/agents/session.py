"""One agent's work on one problem: everything that it may do, recorded in an ordinary run's log.

Each attempt is in the log before anything depends on it, so a process that is killed loses at most
the verdicts under way, and the next session in the same folder has them judged. The log knows all;
what an agent is told goes through `agents.view`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import kernelwright
from kernelwright.agents.aside import Carried
from kernelwright.agents.attempts import best_of
from kernelwright.agents.benches import Benches
from kernelwright.agents.describing import description
from kernelwright.agents.judging import Judging, Progress, say_nothing, watched
from kernelwright.agents.limits import LONGEST_IDEA, Rate, Refused, plain
from kernelwright.agents.next_steps import after_attempt, after_promotion
from kernelwright.agents.reading import Reading
from kernelwright.agents.records import (
    Attempt,
    Attempts,
    BuildResult,
    Description,
    Diff,
    NotPromoted,
    Profile,
    Promoted,
    Shown,
    Submitted,
    Tuned,
)
from kernelwright.agents.submission import Submission, idea_of, model_call, read
from kernelwright.agents.view import shareable_outcome
from kernelwright.core import names
from kernelwright.core.candidate import Candidate, Plan, PlanKind, Proposal
from kernelwright.core.diagnosis import Diagnosis
from kernelwright.core.evaluation import Passed
from kernelwright.core.protocols import Language
from kernelwright.core.run import History
from kernelwright.evaluate.environment import environment
from kernelwright.evaluate.profile.counters import Counters
from kernelwright.evaluate.profile.disassembly import Facts
from kernelwright.generate.feedback import in_words
from kernelwright.generate.looking_up import Found, Task, look_up
from kernelwright.knowledge import actions
from kernelwright.run.equipment import Equipment, same_problem
from kernelwright.run.folder import RunFolder
from kernelwright.run.handing_back import hand_back
from kernelwright.run.log import RunLog
from kernelwright.run.promotion import promote
from kernelwright.run.spec import BATCH
from kernelwright.search.tuning import next_tune
from kernelwright.store.fold import RunState, Step

_CALLS_A_MINUTE, _BUILDS_A_MINUTE = 240, 30
_MOST_TRIALS = 64
_MOST_BUILDS = 2  # at once
_BUILT = "It builds. Submit it to have it judged."
PROMOTED = "the agent had its best candidate promoted"


class Session(Reading):
    """What one agent may do in the run of `folder`. For one event loop; ended by `aclose`.

    Made by `agents.opening`. Every method raises `Refused` for what is not allowed or not now, with
    a sentence that says what to do next, and `StoreError` when the log cannot be written.
    """

    def __init__(
        self, *, folder: RunFolder, log: RunLog, benches: Benches, held: ExitStack, new: bool
    ):
        """`held` is let go of at the end: the lock of the folder, and the store. A run that is not
        `new` goes on where it was."""
        super().__init__(log.state, folder.name)
        self.folder = folder
        self.log = log
        self._begun_here = new
        self._benches = benches
        self._held = held
        self._judging: Judging | Carried = (
            Carried(folder, log, self.spec, self.problem)
            if self.spec.judge == BATCH
            else Judging(log, self._lent, benches.turns)
        )
        self._calls = Rate(_CALLS_A_MINUTE, "requests")
        self._builds = Rate(_BUILDS_A_MINUTE, "builds")
        self._building = asyncio.Semaphore(_MOST_BUILDS)
        self._promoting: asyncio.Task[Promoted] | None = None
        if log.state.unfinished:
            self._go_on()
            self._judging.take_up()

    @property
    def state(self) -> RunState:
        """Everything that the log says."""
        return self.log.state

    @property
    def elapsed_s(self) -> float:
        """Seconds that the run has taken, in all its sessions."""
        return self.log.elapsed_s if self._begun_here else super().elapsed_s

    @property
    def writer(self) -> str:
        """Who the attempts are by: ``agent:<name>``."""
        return self.spec.writers[0]

    @property
    def language(self) -> Language:
        """What is written in, unless a candidate says another."""
        made: Language = names.load("language", self.spec.languages[0])()
        return made

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        promoting = self._promoting is not None and not self._promoting.done()
        return not promoting and not self._judging.under_way

    # What there is to know. None of it spends anything.

    def describe(self) -> Description:
        """The task."""
        self._calls.take()
        here = self.spec.judge is None
        machine = environment("cpu" if self.spec.device == "cpu" else "cuda") if here else None
        return description(self.name, self.problem, self.language, self.budget(), machine)

    def attempts(self) -> Attempts:
        """Every attempt so far."""
        self._calls.take()
        return super().attempts()

    def show(self, number: int) -> Shown:
        """One attempt in full."""
        self._calls.take()
        return super().show(number)

    def diff(self, old: int, new: int) -> Diff:
        """What attempt `new` has otherwise than `old`."""
        self._calls.take()
        return super().diff(old, new)

    async def look_up(self, query: str) -> Found:
        """What is known about `query`: guides, notes, and sketches of this problem."""
        self._calls.take()
        query = plain(query, LONGEST_IDEA, "The question")
        async with self._lent() as equipment:
            task = Task(
                problem=self.problem,
                language=self.language,
                sketches=equipment.sketches,
                examples=equipment.examples,
                actions=actions.ACTIONS,
                page=actions.page,
                device=equipment.about_device,
                sources=equipment.sources,
            )
            return await asyncio.to_thread(look_up, query, task)

    # Trying.

    async def build(self, submission: Submission) -> BuildResult:
        """Whether it compiles. It is no attempt, and nothing of it is run."""
        self._builds.take()
        candidate = read(submission, self.problem, self.spec.languages)
        async with self._lent() as equipment, self._building:
            if equipment.build is None:
                raise Refused(
                    "The judge is on another machine, and builds there. Submit the candidate."
                )
            outcome = await asyncio.to_thread(equipment.build, candidate)
        if outcome is None:
            return BuildResult(builds=True, said=_BUILT)
        safe = shareable_outcome(outcome, self.problem)
        return BuildResult(builds=False, said=in_words(safe, self.problem))

    async def submit(self, submission: Submission, progress: Progress = say_nothing) -> Submitted:
        """Have a candidate judged: one attempt, unless the same was judged before."""
        self._calls.take()
        candidate = read(submission, self.problem, self.spec.languages)
        parent = None if submission.parent is None else self.candidate(submission.parent)
        earlier = self._earlier(candidate)
        if earlier is not None:
            await self._judging.wait(earlier.number, progress)
            return self._submitted(earlier.number, repeated=earlier.number)
        plan = Plan(
            kind=_kind(parent, candidate),
            language=candidate.language,
            writer=self.writer,
            parents=() if parent is None else (parent.id,),
            hints=idea_of(submission),
        )
        number = self._begin(plan, candidate, submission)
        await self._judging.wait(number, progress)
        return self._submitted(number)

    async def tune(self, number: int, trials: int, progress: Progress = say_nothing) -> Tuned:
        """Let the tuner try at most `trials` settings of the tunables of attempt `number`."""
        self._calls.take()
        candidate = self.candidate(number)
        if self._judging.carry:
            raise Refused(
                "Tuning needs a judge that answers, and the verdicts of this run are carried to "
                "it. Submit the values to try as defaults."
            )
        if not 1 <= trials <= _MOST_TRIALS:
            raise Refused(f"Ask for 1 to {_MOST_TRIALS} trials, and not for {trials}.")
        if not candidate.tunables:
            raise Refused(
                f"Attempt {number} declares no tunables. Name the numbers to try, one line each: "
                "`// tunable: TILE = 64 in {16, 64, 256}`, and submit that."
            )
        if self.line(self.step(number)).speedup is None:
            raise Refused(f"Attempt {number} did not pass with times, so there is nothing to tune.")
        made: list[int] = []
        ended = None
        while len(made) < trials and ended is None:
            plan = next_tune(self._family(candidate), seed=self.spec.seed)
            ended = self.budget().exhausted or (None if plan else "no setting is left to try")
            if plan is not None and ended is None:
                tuned = candidate.tuned(candidate.values | plan.settings)
                made.append(self._begin(plan, tuned, None))
                await self._judging.wait(made[-1], progress)
        lines = tuple(self.line(self.step(n)) for n in made)
        return Tuned(trials=lines, ended=ended, best=best_of(self.state), left=self.budget())

    async def profile(self, number: int) -> Profile:
        """What limits the candidate of attempt `number`."""
        self._builds.take()
        step, candidate = self.step(number), self.candidate(number)
        evaluation = step.evaluation
        if evaluation is None:
            raise Refused(f"Attempt {number} has no verdict yet. Ask again when it has.")
        async with self._lent() as equipment:
            if equipment.profile is None:
                outcome = evaluation.outcome
                known = outcome.profile if isinstance(outcome, Passed) else None
                return _profile(number, known, self.line(step), None, None)
            async with self._benches.turns.taken():
                seen = await asyncio.to_thread(equipment.profile, candidate, evaluation)
        return _profile(number, seen.diagnosis, self.line(step), seen.facts, seen.counters)

    # The end.

    async def promote(self, progress: Progress = say_nothing) -> Promoted:
        """Judge the best attempts again, on fresh samples, and hand back the first that holds."""
        self._calls.take()
        if best_of(self.state) is None and not self._passed():
            raise Refused("No attempt has passed yet, so there is nothing to promote.")
        if self._promoting is None or self._promoting.done():
            # It goes on when nobody waits for it any more: what it finds is in the log.
            self._promoting = asyncio.create_task(self._promote())
        await watched(self._promoting, progress, lambda: "judged again, on fresh samples")
        return self._promoting.result()

    async def _promote(self) -> Promoted:
        self._go_on()
        log = self.log
        async with self._lent() as equipment, self._benches.turns.taken():
            if log.state.admission is None:
                log.record("admission", await asyncio.to_thread(equipment.admit))
            number = await promote(log, equipment.evaluator, equipment.retries)
            files: tuple[Path, ...] = ()
            if number is not None:
                files = await hand_back(log, number, self.folder, equipment)
        log.record("finished", {"reason": PROMOTED, "step": number})
        return self._promoted(number, files)

    async def aclose(self, grace_s: float = 60.0) -> None:
        """Let go of the run. What the judge has is waited for; what waits is left for later."""
        try:
            await self._judging.close(grace_s)
            if self._promoting is not None:
                await asyncio.wait([self._promoting], timeout=grace_s)
        finally:
            self._held.close()

    # What the above are made of.

    @asynccontextmanager
    async def _lent(self) -> AsyncIterator[Equipment]:
        async with self._benches.lent(self.spec, self.problem.reference) as equipment:
            same_problem(equipment.problem, self.problem)
            yield equipment

    def _check(self, candidate: Candidate, submission: Submission | None) -> None:
        """Whether one more attempt may be begun, and this one."""
        left = self.budget()
        if left.exhausted:
            raise Refused(
                f"No more attempts: {left.exhausted}. You may still ask for: "
                f"{', '.join(left.allowed)}. Promote the best attempt, then ask for the report."
            )
        if left.dollars is not None and submission is not None and submission.cost_usd is None:
            raise Refused(
                "This run has a budget in dollars. Say what the attempt cost you, as cost_usd."
            )
        self._judging.check_room(candidate)

    def _begin(self, plan: Plan, candidate: Candidate, submission: Submission | None) -> int:
        """Write an attempt down, and start on the way to its verdict."""
        self._check(candidate, submission)
        self._go_on()
        number = max(self.state.steps, default=0) + 1
        self.log.record("plan", {"step": number, "plan": plan.model_dump(mode="json")})
        calls = (model_call(submission, self.writer),) if submission else ()
        made = Proposal(step=number, plan=plan, candidate=candidate, model_calls=calls)
        self.log.record("proposal", made)
        self._judging.begin(number, candidate)
        return number

    def _go_on(self) -> None:
        """Say in the log that work goes on, where it had ended or another session had it."""
        if self.state.finish is not None or not self._begun_here:
            self.log.record("resumed", {"version": kernelwright.__version__})
            self._begun_here = True

    def _family(self, candidate: Candidate) -> History:
        """The attempts with the text of `candidate`, whatever their settings."""
        text = candidate.tuned({}).id
        tried = self.state.history.attempts
        return History(
            attempts=tuple(a for a in tried if a.candidate and a.candidate.tuned({}).id == text)
        )

    def _earlier(self, candidate: Candidate) -> Step | None:
        """The step that this candidate has its verdict from, or will have. One that failed for a
        reason of ours, or was withdrawn, has none."""
        made = [
            s for s in self.state.steps.values() if s.candidate and s.candidate.id == candidate.id
        ]
        judged = (s for s in made if s.evaluation is not None)
        return next(judged, None) or next((s for s in made if not s.finished), None)

    def _passed(self) -> bool:
        steps = self.state.steps.values()
        return any(s.evaluation and isinstance(s.evaluation.outcome, Passed) for s in steps)

    def _submitted(self, number: int, *, repeated: int | None = None) -> Submitted:
        step = self.step(number)
        verdict = self._verdicts.of(step.evaluation) if step.evaluation else None
        line, best, left = self.line(step), best_of(self.state), self.budget()
        return Submitted(
            attempt=line,
            verdict=verdict,
            repeated=repeated,
            best=best,
            left=left,
            next=after_attempt(line, verdict, best, left, self._judging.carry),
        )

    def _promoted(self, number: int | None, files: tuple[Path, ...]) -> Promoted:
        state = self.state
        again = {p.step: p.evaluation for p in state.promotions}
        modules = {d.step: d.evaluation for d in state.deliveries}
        failed = {n: e for n, e in again.items() if not isinstance(e.outcome, Passed)}
        return Promoted(
            step=number,
            verdict=self._verdicts.of(again[number]) if number in again else None,
            drop_in=self._verdicts.of(modules[number]) if number in modules else None,
            not_promoted=tuple(
                NotPromoted(step=n, verdict=self._verdicts.of(e)) for n, e in failed.items()
            ),
            folder=str(self.folder.path),
            files=tuple(path.name for path in files),
            next=after_promotion(number, self.budget()),
        )


def _kind(parent: Candidate | None, candidate: Candidate) -> PlanKind:
    if parent is None:
        return "draft"
    return "refine" if parent.language == candidate.language else "port"


def _profile(
    number: int,
    said: Diagnosis | None,
    attempt: Attempt,
    facts: Facts | None,
    counters: Counters | None,
) -> Profile:
    """What is known; where there is no diagnosis, the attempt's summary says why."""
    if said is None:
        return Profile(step=number, bottleneck=None, meaning=attempt.summary)
    return Profile(
        step=number,
        bottleneck=said.bottleneck,
        meaning=said.meaning,
        figures=(*said.figures, *said.counters),
        headroom=said.headroom,
        hints=said.hints,
        not_known=said.not_known,
        facts=facts,
        counters=counters,
    )
