"""The search itself: ask for plans, have them written and judged, within the budget.

Everything that happens goes through the log first, so this can be killed at any instant. What it
begins with is whatever the log holds: nothing, or the attempts that a killed process left behind.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager

from kernelwright.core.candidate import Candidate, Plan, Proposal
from kernelwright.core.errors import JudgeBroken, KernelwrightError, UnknownName
from kernelwright.core.evaluation import Evaluation, Fault
from kernelwright.core.problem import Problem
from kernelwright.core.protocols import Assignment, Evaluator, ReadsHints, Strategy, Writer
from kernelwright.core.run import Budget
from kernelwright.run.budgets import why_end
from kernelwright.run.hints import Told, nothing_told
from kernelwright.run.log import RunLog
from kernelwright.run.patience import USUAL, GaveUp, Retries, patiently
from kernelwright.run.verdicts import evaluated, record_verdict, taking_back

# A strategy for the writers that are left, given those that were dropped.
StrategyFor = Callable[[frozenset[str]], Strategy]

WRITER_GIVES_UP_AFTER = 2
JUDGE_GIVES_UP_AFTER = 3

INTERRUPTED = "it was interrupted"  # why a search ended that somebody stopped


class Search:
    """One search over one problem.

    A writer that gives up `WRITER_GIVES_UP_AFTER` times in a row is dropped; the search goes on
    with the others. When the judge gives up `JUDGE_GIVES_UP_AFTER` times in a row it ends.

    `hints` is asked before each plan for a writer that reads hints. They become part of the plan
    here, so that a strategy, which sees only the history, asks for the same with and without them.
    """

    def __init__(
        self,
        log: RunLog,
        problem: Problem,
        *,
        strategy_for: StrategyFor,
        writers: Mapping[str, Writer],
        evaluator: Evaluator,
        budget: Budget,
        width: int = 1,
        retries: Retries = USUAL,
        hints: Callable[[], Told] = nothing_told,
    ) -> None:
        self._log = log
        self._problem = problem
        self._strategy_for = strategy_for
        self._writers = writers
        self._evaluator = evaluator
        self._budget = budget
        self._width = width
        self._retries = retries
        self._hints = hints
        self._hints_problem: str | None = None
        self._strategy = strategy_for(frozenset())
        self._gave_up: Counter[str] = Counter()
        self._dropped: set[str] = set()
        self._judge_gave_up = 0
        self._writing: set[asyncio.Task[Proposal]] = set()
        self._voided: set[int] = set()

    async def run(self, stop: asyncio.Event) -> str:
        """Search until the budget or the ideas are used up, or `stop` is set; why it ended.

        After `stop` no writer is waited for; a candidate that is being judged is finished.

        Raises:
            StoreError: the log could not be written.
            UsageError: a writer or the judge cannot work on this machine at all.
        """
        try:
            async with asyncio.TaskGroup() as group:
                return await self._run(group, stop)
        except BaseExceptionGroup as several:
            raise _first(several) from several

    async def _run(self, group: asyncio.TaskGroup, stop: asyncio.Event) -> str:
        stopped = group.create_task(_wait(stop))
        running = {
            group.create_task(self._attempt(step.number)) for step in self._log.state.unfinished
        }
        while True:
            running = {task for task in running if not task.done()}
            while self._voided and not stop.is_set():
                running.add(group.create_task(self._attempt(self._voided.pop())))
            why = INTERRUPTED if stop.is_set() else self._why_end()
            for plan in [] if why else self._plans(self._width - len(running)):
                running.add(group.create_task(self._attempt(self._begin(plan))))
            if not running:
                stopped.cancel()
                return why or "nothing is left to try"
            if stop.is_set():
                for task in self._writing:
                    task.cancel()
                await asyncio.wait(running)
            else:
                await asyncio.wait({*running, stopped}, return_when=asyncio.FIRST_COMPLETED)

    def _why_end(self) -> str | None:
        """Why no further attempt is made; None when one may be."""
        if self._judge_gave_up >= JUDGE_GIVES_UP_AFTER:
            return f"the judge failed {JUDGE_GIVES_UP_AFTER} times in a row"
        return why_end(self._budget, self._log.state, self._log.elapsed_s)

    def _plans(self, free: int) -> Iterable[Plan]:
        state = self._log.state
        if self._budget.max_attempts is not None:
            free = min(free, self._budget.max_attempts - len(state.steps))
        if free <= 0:
            return []
        plans = self._strategy.ask(state.history, free)[:free]
        return [plan for plan in plans if plan.writer not in self._dropped]

    def _begin(self, plan: Plan) -> int:
        plan = self._hinted(plan)
        step = max(self._log.state.steps, default=0) + 1
        self._log.record("plan", {"step": step, "plan": plan.model_dump(mode="json")})
        return step

    def _hinted(self, plan: Plan) -> Plan:
        """`plan` with what people have to say, if its writer reads that. That they cannot be read
        is said once, until it is for another reason."""
        writer = self._writers.get(plan.writer)
        if not isinstance(writer, ReadsHints) or not writer.reads_hints:
            return plan
        told = self._hints()
        if told.problem is not None and told.problem != self._hints_problem:
            fault = Fault(where="ours", step=None, message=told.problem, retryable=False)
            self._log.record("fault", fault)
        self._hints_problem = told.problem
        return plan.model_copy(update={"hints": (*plan.hints, *told.hints)})

    async def _attempt(self, number: int) -> None:
        """Carry a step from where it is to its end."""
        step = self._log.state.steps[number]
        try:
            proposal = step.proposal or await self._unless_stopped(self._write(number, step.plan))
            if proposal.candidate is not None and proposal.reason is None:
                await self._judge(number, proposal.candidate)
        except GaveUp:
            # The fault is in the log; the search goes on.
            return

    async def _unless_stopped(self, writing: Coroutine[None, None, Proposal]) -> Proposal:
        """`writing`, in a task that `stop` may cancel."""
        task = asyncio.create_task(writing)
        self._writing.add(task)
        try:
            return await task
        finally:
            self._writing.discard(task)

    async def _write(self, number: int, plan: Plan) -> Proposal:
        writer = self._writers.get(plan.writer)
        if writer is None:
            raise UnknownName.of("writer", plan.writer, self._writers)
        history = self._log.state.history
        parents = tuple(a for p in plan.parents if (a := history.attempt_of(p)) is not None)
        steps = self._log.state.steps.values()
        assignment = Assignment(
            step=number,
            plan=plan,
            problem=self._problem,
            parents=parents,
            made=frozenset(step.candidate.id for step in steps if step.candidate),
        )
        try:
            made = await patiently(
                lambda: self._proposed(writer, assignment), self._log, number, self._retries
            )
        except GaveUp as error:
            self._count_against(plan.writer, error)
            raise
        self._gave_up[plan.writer] = 0
        proposal = self._checked(number, plan, made)
        self._log.record("proposal", proposal)
        return proposal

    def _checked(self, number: int, plan: Plan, made: Proposal) -> Proposal:
        """`made` under its own step and plan, declined when its candidate was made before."""
        reason, candidate = made.reason, made.candidate
        if candidate is not None:
            earlier = self._log.state.step_of(candidate.id)
            reason = (
                f"It is the same as the candidate of step {earlier.number}." if earlier else None
            )
        elif reason is None:
            reason = f"The writer {plan.writer!r} gave neither a candidate nor a reason."
        return Proposal(
            step=number,
            plan=plan,
            candidate=candidate,
            reason=reason,
            model_calls=made.model_calls,
        )

    def _count_against(self, writer: str, error: GaveUp) -> None:
        self._gave_up[writer] += 1
        if self._gave_up[writer] < WRITER_GIVES_UP_AFTER or writer in self._dropped:
            return
        self._dropped.add(writer)
        self._strategy = self._strategy_for(frozenset(self._dropped))
        message = (
            f"The writer {writer!r} failed {WRITER_GIVES_UP_AFTER} times in a row and is not asked "
            f"again. The last time: {error}"
        )
        self._log.record("fault", Fault(where="ours", step=None, message=message, retryable=False))

    async def _judge(self, number: int, candidate: Candidate) -> None:
        try:
            evaluation = await patiently(
                lambda: self._evaluated(candidate), self._log, number, self._retries
            )
        except GaveUp:
            self._judge_gave_up += 1
            raise
        self._judge_gave_up = 0
        record_verdict(self._log, "evaluation", number, evaluation)

    async def _evaluated(self, candidate: Candidate) -> Evaluation:
        with self._judging_again():
            return await evaluated(self._log, self._evaluator, candidate)

    async def _proposed(self, writer: Writer, assignment: Assignment) -> Proposal:
        """What `writer` makes of it; it may ask the judge on the way."""
        with self._judging_again(), taking_back(self._log):
            return await writer.propose(assignment)

    @contextmanager
    def _judging_again(self) -> Iterator[None]:
        """When the judge fails its own test, what it said lately is taken back, and those steps are
        judged again."""
        before = {n for n, step in self._log.state.steps.items() if step.evaluation}
        try:
            yield
        except JudgeBroken:
            after = {n for n, step in self._log.state.steps.items() if step.evaluation}
            self._voided |= before - after
            raise


async def _wait(stop: asyncio.Event) -> None:
    await stop.wait()


def _first(several: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one exception of a group that says most: ours before anybody's."""
    leaves = list(_leaves(several))
    return next((e for e in leaves if isinstance(e, KernelwrightError)), leaves[0])


def _leaves(several: BaseExceptionGroup[BaseException]) -> Iterable[BaseException]:
    for error in several.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
