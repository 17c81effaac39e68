"""What every writer promises. Subclass `WriterContract` and provide its three fixtures."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from kernelwright.core.candidate import Plan, Proposal
from kernelwright.core.protocols import Assignment, Writer


def propose(writer: Writer, assignment: Assignment) -> Proposal:
    """What `writer` makes of `assignment`."""
    return asyncio.run(writer.propose(assignment))


class WriterContract:
    """Provide `writer`, an `assignment` that it can carry out, and a `hopeless` one."""

    @pytest.fixture
    def writer(self) -> Writer:
        """A writer that answers any number of assignments."""
        raise NotImplementedError

    @pytest.fixture
    def assignment(self) -> Assignment:
        """One that it makes a candidate of."""
        raise NotImplementedError

    @pytest.fixture
    def hopeless(self) -> Assignment:
        """One that it cannot make a candidate of."""
        raise NotImplementedError

    def test_a_proposal_repeats_the_step_and_the_plan(
        self, writer: Writer, assignment: Assignment
    ) -> None:
        """The run's log joins plans and proposals by them."""
        proposal = propose(writer, replace(assignment, step=41))
        assert (proposal.step, proposal.plan) == (41, assignment.plan)

    def test_a_candidate_is_for_the_problem_and_in_the_language_of_the_plan(
        self, writer: Writer, assignment: Assignment
    ) -> None:
        """And its main file is there."""
        proposal = propose(writer, assignment)
        assert proposal.candidate is not None, proposal.reason
        assert proposal.reason is None
        assert proposal.candidate.problem_id == assignment.problem.id
        assert proposal.candidate.language == assignment.plan.language
        assert proposal.candidate.source.main_file in proposal.candidate.source.files

    def test_what_cannot_be_done_is_a_reason_and_no_exception(
        self, writer: Writer, hopeless: Assignment
    ) -> None:
        """The reason is a sentence for the run's log."""
        proposal = propose(writer, hopeless)
        assert proposal.candidate is None
        assert proposal.reason is not None
        assert " " in proposal.reason

    def test_a_language_that_nobody_speaks_is_a_reason(
        self, writer: Writer, assignment: Assignment
    ) -> None:
        """Such a plan comes from a log of another version."""
        plan = Plan(kind="draft", language="klingon", writer=assignment.plan.writer)
        proposal = propose(writer, replace(assignment, plan=plan, parents=()))
        assert proposal.candidate is None
        assert proposal.reason

    def test_a_plan_whose_parents_are_gone_breaks_nothing(
        self, writer: Writer, assignment: Assignment
    ) -> None:
        """Whatever the kind of plan: a candidate or a reason, and never both."""
        for kind in ("draft", "refine", "combine", "port", "tune"):
            plan = assignment.plan.model_copy(update={"kind": kind, "parents": ("no-such-id",)})
            proposal = propose(writer, replace(assignment, plan=plan, parents=()))
            assert (proposal.candidate is None) != (proposal.reason is None)

    def test_every_call_of_a_model_is_accounted_for(
        self, writer: Writer, assignment: Assignment
    ) -> None:
        """Its request and its reply are blobs, which are named by 64 hexadecimal digits."""
        for call in propose(writer, assignment).model_calls:
            assert len(call.request) == 64
            assert call.reply is None or len(call.reply) == 64
