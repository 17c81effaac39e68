"""What every sketch promises. Subclass `SketchContract` and provide its fixtures.

Nothing of the contract builds or runs a candidate; that a draft computes the right values is for
the sketch's own tests, and for the judge.
"""

from __future__ import annotations

import re

import pytest

from kernelwright.core.candidate import Candidate
from kernelwright.core.graph import Graph
from kernelwright.core.problem import Problem
from kernelwright.knowledge.sketches import Covered, NotCovered, drafts


class SketchContract:
    """Provide the fixtures `problem` and `graph`, which the sketches of `language` cover.

    `uncovered` is a graph with an operator that no sketch knows, and `operator` its name.
    """

    @pytest.fixture
    def language(self) -> str:
        """The language of the candidates."""
        raise NotImplementedError

    @pytest.fixture
    def drafted(self, problem: Problem, graph: Graph, language: str) -> tuple[Candidate, ...]:
        """The candidates."""
        found = drafts(problem, graph, language)
        assert isinstance(found, Covered), found
        return found.candidates

    def test_the_same_graph_gives_the_same_candidates(
        self, problem: Problem, graph: Graph, language: str, drafted: tuple[Candidate, ...]
    ) -> None:
        """Ids are hashes of the text, so a resumed run finds its candidates again."""
        copy = Graph.model_validate_json(graph.model_dump_json())
        again = drafts(problem, copy, language)
        assert isinstance(again, Covered)
        assert [c.id for c in again.candidates] == [c.id for c in drafted]

    def test_candidates_differ_from_each_other(self, drafted: tuple[Candidate, ...]) -> None:
        """A draft that repeats another wastes an attempt."""
        assert len({c.source.text for c in drafted}) == len(drafted)

    def test_a_candidate_says_what_it_is_for(
        self, problem: Problem, language: str, drafted: tuple[Candidate, ...]
    ) -> None:
        """Its problem and its language."""
        for candidate in drafted:
            assert candidate.problem_id == problem.id
            assert candidate.language == language

    def test_the_entry_point_is_in_the_text(self, drafted: tuple[Candidate, ...]) -> None:
        """A function or a class of that name is defined."""
        for candidate in drafted:
            definition = rf"(?:class|void|def) {candidate.source.name}\b"
            assert re.search(definition, candidate.source.text)

    def test_each_tunable_is_declared_and_used(self, drafted: tuple[Candidate, ...]) -> None:
        """One line declares it, and another one is changed by its value."""
        for candidate in drafted:
            for tunable in candidate.tunables:
                declaring = rf"tunable: {tunable.name} =|#\w+ {tunable.name}\b|^{tunable.name} ="
                lines = candidate.source.text.splitlines()
                declarations = [line for line in lines if re.search(declaring, line)]
                assert any("tunable:" in line for line in declarations)
                uses = [line for line in lines if re.search(rf"\b{tunable.name}\b", line)]
                assert len(uses) > len(declarations), f"{tunable.name} is never used"

    def test_the_first_guess_is_one_of_the_choices(self, drafted: tuple[Candidate, ...]) -> None:
        """And the choices are in order, each once."""
        for tunable in [t for c in drafted for t in c.tunables]:
            assert tunable.default in tunable.choices
            assert list(tunable.choices) == sorted(set(tunable.choices))

    def test_an_unknown_operator_is_named(
        self, problem: Problem, uncovered: Graph, operator: str, language: str
    ) -> None:
        """The reason is a sentence, for whoever wonders why there is no draft."""
        found = drafts(problem, uncovered, language)
        assert isinstance(found, NotCovered)
        assert operator in found.reason
        assert found.reason.endswith(".")
