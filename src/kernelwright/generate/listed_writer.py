"""Writers without a model: they have their drafts ready, and hand them out in order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from kernelwright.core.candidate import Candidate, Proposal
from kernelwright.core.protocols import Assignment


@runtime_checkable
class Drafts(Protocol):
    """The drafts of a problem, structurally different, the most promising first."""

    @property
    def candidates(self) -> Sequence[Candidate]:
        """At least one."""
        ...


@runtime_checkable
class NoDrafts(Protocol):
    """There is none."""

    @property
    def reason(self) -> str:
        """Why, as a sentence."""
        ...


@dataclass(frozen=True, kw_only=True)
class NothingWith:
    """There is no draft for an action; `reason` says so."""

    reason: str


def no_action(action: str, language: str) -> NoDrafts:
    """What a writer says whose drafts carry out no action that has a name."""
    return NothingWith(reason=f"No draft in {language} is known to carry out {action!r}.")


@dataclass(frozen=True, kw_only=True)
class ListedWriter(ABC):
    """Answers the n-th draft with the n-th of ``drafts(language)``, and a draft with an action with
    the first of ``carrying(action, language)`` that the run has not got. Those who inherit say in
    words of their own what it cannot do."""

    drafts: Callable[[str], Drafts | NoDrafts]
    carrying: Callable[[str, str], Drafts | NoDrafts] = no_action

    async def propose(self, assignment: Assignment) -> Proposal:
        """The draft that `plan.variant` counts to, or the reason why there is none."""
        plan = assignment.plan
        found = self._find(assignment)
        if isinstance(found, Candidate):
            return Proposal(step=assignment.step, plan=plan, candidate=found)
        return Proposal(step=assignment.step, plan=plan, reason=found)

    @abstractmethod
    def only_drafts(self, kind: str) -> str:
        """That a plan of another `kind` than a draft cannot be carried out, as a sentence."""

    @abstractmethod
    def no_more(self, count: int, language: str) -> str:
        """That there are `count` drafts in `language` and no more, as a sentence."""

    def _find(self, assignment: Assignment) -> Candidate | str:
        plan = assignment.plan
        if plan.kind not in ("draft", "port"):
            return self.only_drafts(plan.kind)
        if plan.action is not None:
            return self._with(plan.action, assignment)
        drafts = self.drafts(plan.language)
        if not isinstance(drafts, Drafts):
            return drafts.reason
        if plan.variant >= len(drafts.candidates):
            return self.no_more(len(drafts.candidates), plan.language)
        return drafts.candidates[plan.variant]

    def _with(self, action: str, assignment: Assignment) -> Candidate | str:
        drafts = self.carrying(action, assignment.plan.language)
        if not isinstance(drafts, Drafts):
            return drafts.reason
        left = (draft for draft in drafts.candidates if draft.id not in assignment.made)
        said = f"Every draft that carries out {action!r} was handed out before."
        return next(left, said)


class SketchWriter(ListedWriter):
    """Hands out what sketches make of a problem."""

    def only_drafts(self, kind: str) -> str:
        """See `ListedWriter`."""
        return f"Sketches only draft; they cannot carry out a plan to {kind}."

    def no_more(self, count: int, language: str) -> str:
        """See `ListedWriter`."""
        some = "1 draft" if count == 1 else f"{count} drafts"
        return f"The sketches have {some} of this problem in {language}, and no more."


class LibraryWriter(ListedWriter):
    """Hands out the kernels of the library that compute a problem, adapted to it. They are judged
    and tuned here like any other draft."""

    def only_drafts(self, kind: str) -> str:
        """See `ListedWriter`."""
        return f"The library only has drafts; it cannot carry out a plan to {kind}."

    def no_more(self, count: int, language: str) -> str:
        """See `ListedWriter`."""
        some = "1 kernel" if count == 1 else f"{count} kernels"
        return f"The library has {some} for this problem in {language}, and no more."


class CompilerWriter(ListedWriter):
    """Hands out what torch.compile generates for a problem, made to stand alone."""

    def only_drafts(self, kind: str) -> str:
        """See `ListedWriter`."""
        return f"torch.compile only has a draft; it cannot carry out a plan to {kind}."

    def no_more(self, count: int, language: str) -> str:
        """See `ListedWriter`."""
        some = "1 draft" if count == 1 else f"{count} drafts"
        return f"torch.compile has {some} of this problem in {language}, and no more."
