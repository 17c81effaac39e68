"""The writer that is a team: who is asked what, and what becomes of what they say."""

import pytest

from kernelwright.core.candidate import Usage
from kernelwright.core.diagnosis import Diagnosis
from kernelwright.core.errors import ModelError
from kernelwright.core.evaluation import BuildFailed, Passed
from kernelwright.core.protocols import ModelReply
from kernelwright.generate.asking import Asking
from kernelwright.generate.briefing import Briefing
from kernelwright.generate.remarks import Choice, choice_in, critique_in
from kernelwright.generate.team import Team
from kernelwright.knowledge.actions import ACTIONS, page
from kernelwright.llm.recording import RecordedModel, Replies
from kernelwright.llm.scripted import ScriptedModel
from kernelwright.testing.writers import WriterContract, propose

from .conftest import KERNEL, Blobs, Plain, assignment, attempt, candidate

REPLY = f"```cpp\n{KERNEL}```"
PLAN = "Action: fuse\nReason: The row is read twice, before and after the sum."
CRITIQUE = "Keep: the loop order.\nBlame: the division in the inner loop."
SLOW = Passed(agreements=(), profile=Diagnosis(bottleneck="memory_bound"))
NAMES = [action.name for action in ACTIONS]


def team(planner=PLAN, coder=REPLY, critic=CRITIQUE, **options):
    def model(role, said):
        script = said if callable(said) or isinstance(said, list) else lambda request: said
        return ScriptedModel(script=script, name=f"scripted:{role}")

    return Team(
        planner=model("planner", planner),
        coder=model("coder", coder),
        critic=model("critic", critic),
        languages={"cpp": Plain(), "cuda": Plain("cuda", "kernel.cu::kernel")},
        asking=Asking(put=Blobs().put, **options),
        briefing=Briefing(page=page),
        actions=ACTIONS,
    )


def refinement(outcome=SLOW, **plan):
    return assignment("refine", parents=[attempt(outcome=outcome)], **plan)


def roles(proposal):
    return [(call.role, call.model.partition(":")[2]) for call in proposal.model_calls]


def told(model):
    """The user's message of the last request to `model`."""
    return model.requests[-1].messages[-1].text


class TestTeam(WriterContract):
    @pytest.fixture
    def writer(self):
        return team(coder=lambda request: "nothing" if "hopeless" in str(request) else REPLY)

    @pytest.fixture
    def assignment(self):
        return refinement()

    @pytest.fixture
    def hopeless(self):
        return assignment(hints=("hopeless",))


def test_a_refinement_goes_from_the_critic_to_the_planner_to_the_coder():
    made = team()
    proposal = propose(made, refinement())
    assert roles(proposal) == [
        ("critic", "critic"), ("planner", "planner"), ("coder", "coder"),
    ]  # fmt: skip
    for model in (made.critic, made.planner, made.coder):
        assert KERNEL.strip() in told(model)
        assert "memory bound" in told(model)
    assert "To blame: the division in the inner loop." in told(made.planner)
    coder = told(made.coder)
    for part in ("Keep: the loop order.", "To blame: the division", "Why fuse: The row is read"):
        assert part in coder
    assert page("fuse", "cpp").strip() in coder


def test_a_draft_is_planned_and_has_nothing_to_criticise():
    made = team()
    assert [role for role, _ in roles(propose(made, assignment()))] == ["planner", "coder"]
    assert page("fuse", "cpp").strip() in told(made.coder)


def test_a_parent_that_was_not_judged_is_not_criticised():
    made = team()
    propose(made, refinement(outcome=None))
    assert made.critic.requests == []


def test_an_action_that_the_plan_names_is_not_asked_for():
    made = team()
    proposal = propose(made, refinement(action="unroll"))
    assert [role for role, _ in roles(proposal)] == ["critic", "coder"]
    assert page("unroll", "cpp").strip() in told(made.coder)


def test_the_planner_is_shown_the_actions_of_the_language_and_no_others():
    made = team()
    propose(made, refinement())
    listed = [line for line in told(made.planner).splitlines() if line.startswith("- ")]
    shown = {name for name in NAMES if any(line.startswith(f"- {name}:") for line in listed)}
    assert shown == {action.name for action in ACTIONS if "cpp" in action.languages}
    assert "go-persistent" not in shown


def test_where_no_action_is_told_nobody_plans():
    made = Team(**{**vars(team()), "actions": ()})
    assert [role for role, _ in roles(propose(made, refinement()))] == ["critic", "coder"]


@pytest.mark.parametrize(
    "reply", ["", "I like turtles.", "Action: make it fast", "Action:", "```\nAction\n```", "\x00"]
)
def test_what_cannot_be_read_of_the_others_leaves_the_coder_alone(reply):
    made = team(planner=reply, critic=reply)
    proposal = propose(made, refinement())
    assert proposal.candidate.source.text == KERNEL
    assert [role for role, _ in roles(proposal)] == ["critic", "planner", "coder"]
    assert "of your team" not in told(made.coder)
    assert "One optimisation is asked for" not in told(made.coder)


def test_a_planner_may_want_none_and_say_why():
    made = team(planner="Action: none\nReason: It must be right first.")
    propose(made, refinement(BuildFailed(diagnostics="k.cpp:1:1: error: no")))
    assert "Why no optimisation by name: It must be right first." in told(made.coder)
    assert "One optimisation is asked for" not in told(made.coder)


def test_a_coder_without_a_program_is_a_reason_and_all_three_are_paid_for():
    paid = [ModelReply(text=t, cost_usd=0.5) for t in (CRITIQUE, PLAN, "I would rather not.")]
    made = team(critic=[paid[0]], planner=[paid[1]], coder=[paid[2]])
    proposal = propose(made, refinement())
    assert "holds no program" in proposal.reason
    assert sum(call.cost_usd for call in proposal.model_calls) == 1.5


def test_what_was_paid_before_a_fault_is_known_and_not_paid_twice(tmp_path):
    def paid(text):
        return ModelReply(text=text, cost_usd=0.5, usage=Usage(input_tokens=9))

    made = team(
        critic=[paid(CRITIQUE)], planner=[ModelError("on strike."), paid(PLAN)], coder=[paid(REPLY)]
    )
    recorded = {
        role: RecordedModel(model=getattr(made, role), replies=Replies(folder=tmp_path))
        for role in ("planner", "coder", "critic")
    }
    made = Team(**{**vars(made), **recorded})
    with pytest.raises(ModelError, match="on strike") as failure:
        propose(made, refinement())
    proposal = propose(made, refinement())
    calls = [*failure.value.model_calls, *proposal.model_calls]
    assert [(c.role, c.cost_usd, c.cached) for c in calls] == [
        ("critic", 0.5, False),
        ("critic", 0.0, True), ("planner", 0.5, False), ("coder", 0.5, False),
    ]  # fmt: skip


def test_a_combination_is_criticised_whole():
    made = team()
    parents = [attempt(candidate(f"// number {n}\n{KERNEL}"), SLOW, n) for n in (1, 2)]
    propose(made, assignment("combine", parents=parents))
    for model in (made.critic, made.planner, made.coder):
        assert all(f"// number {n}" in told(model) for n in (1, 2))


def test_hidden_sizes_reach_nobody():
    made = team()
    propose(made, refinement())
    assert not any(
        "31337" in message.text
        for model in (made.critic, made.planner, made.coder)
        for request in model.requests
        for message in request.messages
    )


@pytest.mark.parametrize(
    ("reply", "choice"),
    [
        ("Action: fuse\nReason: why not", Choice(action="fuse", reason="why not")),
        ("**Action:** `Fuse`.\n\n- **Reason**: so", Choice(action="fuse", reason="so")),
        ("## Action: change_the_layout", Choice(action="change-the-layout", reason="")),
        ("action: Split the reduction, as", Choice(action="split-the-reduction", reason="")),
        ("Action:\ntile\nReason: r", Choice(action="tile", reason="r")),
        ("Action: tile\nNo, wait.\nAction: unroll", Choice(action="unroll", reason="")),
        ("<think>\nAction: tile\n</think>\nAction: fuse", Choice(action="fuse", reason="")),
        ("Action: none", Choice(action=None, reason="")),
        ("Action: refuse to work", None),
        ("We should take action: fuse", None),
        ("Reason: fuse", None),
    ],
)
def test_a_choice_is_read_in_whatever_form(reply, choice):
    assert choice_in(reply, NAMES) == choice


def test_remarks_are_shortened_and_one_is_enough():
    assert critique_in("Blame: the loop") == "To blame: the loop"
    assert len(critique_in(f"Keep: {'x' * 99_000}")) < 2000
