"""The writers that need no model: sketches and the tuner."""

from dataclasses import dataclass, replace

import pytest

from kernelwright.core import names
from kernelwright.core.run import Attempt
from kernelwright.generate.listed_writer import CompilerWriter, LibraryWriter, SketchWriter
from kernelwright.generate.llm_writer import LlmWriter
from kernelwright.generate.outside import Outside
from kernelwright.generate.team import Team
from kernelwright.generate.tool_writer import ToolWriter
from kernelwright.generate.tuner import Tuner
from kernelwright.testing.writers import WriterContract, propose

from .conftest import assignment, attempt, candidate


@dataclass(frozen=True)
class Two:
    candidates = (candidate("one"), candidate("two"))


@dataclass(frozen=True)
class Nothing:
    reason: str


def drafts(language):
    return Two() if language == "cpp" else Nothing(f"No sketch speaks {language}.")


class TestSketchWriter(WriterContract):
    @pytest.fixture
    def writer(self):
        return SketchWriter(drafts=drafts)

    @pytest.fixture
    def assignment(self):
        return assignment()

    @pytest.fixture
    def hopeless(self):
        return assignment(variant=2)


class TestCompilerWriter(WriterContract):
    @pytest.fixture
    def writer(self):
        return CompilerWriter(drafts=drafts)

    @pytest.fixture
    def assignment(self):
        return assignment()

    @pytest.fixture
    def hopeless(self):
        return assignment("refine", parents=[attempt()])


class TestLibraryWriter(WriterContract):
    @pytest.fixture
    def writer(self):
        return LibraryWriter(drafts=drafts)

    @pytest.fixture
    def assignment(self):
        return assignment()

    @pytest.fixture
    def hopeless(self):
        return assignment(variant=2)


class TestTuner(WriterContract):
    @pytest.fixture
    def writer(self):
        return Tuner()

    @pytest.fixture
    def assignment(self):
        return assignment("tune", parents=[attempt()], settings={"TILE": 16})

    @pytest.fixture
    def hopeless(self):
        return assignment("tune", parents=[attempt()], settings={"NONE": 16})


def test_an_agent_that_is_gone_hands_nothing_in():
    proposal = propose(Outside(), assignment())
    assert proposal.candidate is None
    assert "before it handed a candidate in" in proposal.reason


def test_sketches_are_handed_out_in_order_until_there_are_none():
    made = [propose(SketchWriter(drafts=drafts), assignment(variant=n)) for n in range(3)]
    assert [p.candidate and p.candidate.source.text for p in made] == ["one", "two", None]
    assert made[2].reason == "The sketches have 2 drafts of this problem in cpp, and no more."


def test_a_problem_that_no_sketch_covers_gets_the_sketches_own_sentence():
    reason = propose(SketchWriter(drafts=drafts), assignment(language="triton")).reason
    assert reason == "No sketch speaks triton."


def test_sketches_do_not_refine():
    reason = propose(SketchWriter(drafts=drafts), assignment("refine", parents=[attempt()])).reason
    assert "cannot carry out a plan to refine" in reason


def carrying(action, language):
    return Two() if action == "fuse" else Nothing(f"No sketch carries out {action!r}.")


def test_a_sketch_answers_an_action_with_a_draft_that_carries_it_out_and_is_new():
    made = SketchWriter(drafts=drafts, carrying=carrying)
    given = assignment(action="fuse", variant=7)
    one, two = Two.candidates
    assert propose(made, given).candidate == one
    assert propose(made, replace(given, made=frozenset({one.id}))).candidate == two
    reason = propose(made, replace(given, made=frozenset({one.id, two.id}))).reason
    assert reason == "Every draft that carries out 'fuse' was handed out before."


def test_an_action_that_no_sketch_carries_out_is_a_reason():
    made = SketchWriter(drafts=drafts, carrying=carrying)
    assert propose(made, assignment(action="tile")).reason == "No sketch carries out 'tile'."


def test_drafts_that_were_made_are_handed_out_again_where_no_action_is_named():
    """The run says that they were made before; the place in the list is what counts."""
    given = replace(assignment(), made=frozenset({Two.candidates[0].id}))
    assert propose(SketchWriter(drafts=drafts), given).candidate == Two.candidates[0]


def test_the_library_carries_out_no_action():
    reason = propose(LibraryWriter(drafts=drafts), assignment(action="fuse")).reason
    assert reason == "No draft in cpp is known to carry out 'fuse'."


def test_tuning_changes_the_settings_and_nothing_else():
    parent = attempt()
    tuned = propose(Tuner(), assignment("tune", parents=[parent], settings={"TILE": 256})).candidate
    assert tuned.values == {"TILE": 256}
    assert tuned.source == parent.candidate.source
    assert tuned.id != parent.candidate.id


def test_settings_of_the_parent_that_the_plan_does_not_name_are_kept():
    rows = candidate().tunables[0].model_copy(update={"name": "ROWS"})
    two = (*candidate().tunables, rows)
    parent = candidate().model_copy(update={"tunables": two}).tuned({"ROWS": 16})
    given = assignment("tune", parents=[attempt(parent)], settings={"TILE": 256})
    assert propose(Tuner(), given).candidate.values == {"TILE": 256, "ROWS": 16}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"UNROLL": 4}, "no tunable called UNROLL. It has: TILE."),
        ({"TILE": 17}, "TILE = 17 is not among its choices: 16, 64, 256."),
        ({}, "sets no tunable"),
    ],
)
def test_settings_that_the_parent_cannot_have_are_a_reason(settings, sentence):
    given = assignment("tune", parents=[attempt()], settings=settings)
    assert sentence in propose(Tuner(), given).reason


def test_a_parent_without_a_candidate_cannot_be_tuned():
    given = assignment("tune", parents=[attempt()], settings={"TILE": 16})
    empty = Attempt(step=1, plan=given.plan, reason="no program")
    assert "no parent to tune" in propose(Tuner(), replace(given, parents=(empty,))).reason


def test_all_writers_are_in_the_table_of_names():
    found = {name: names.load("writer", name) for name in names.known("writer")}
    assert found == {
        "compiler": CompilerWriter,
        "library": LibraryWriter,
        "llm": LlmWriter,
        "sketch": SketchWriter,
        "team": Team,
        "tools": ToolWriter,
        "tuner": Tuner,
    }
