"""What every language promises, a language for tests, and a problem that uses every kind of tensor.

Subclass `LanguageContract` and provide the `language` fixture and a `candidate` for `PROBLEM`.
Nothing of the contract runs a compiler or needs a device.
"""

from __future__ import annotations

import re
from typing import Literal, get_args

import pytest

from kernelwright.core.candidate import Candidate, Lane, Tunable
from kernelwright.core.errors import BuildRefused
from kernelwright.core.problem import Problem, Source, TensorSpec, Workload
from kernelwright.core.protocols import BuildPlan, Language

Purpose = Literal["build", "run", "time"]

# Scaled rows with a shift, a mask and an index: a name with dots, one that is a word of C++, two
# axes and a fixed size, a scalar of each dtype, and two outputs.
PROBLEM = Problem(
    id="scaled_rows",
    title="Rows scaled, shifted and masked",
    origin="tests",
    axes=("rows", "width"),
    inputs=(
        TensorSpec(name="x", shape=("rows", "width"), dtype="float32", role="input"),
        TensorSpec(name="double", shape=("rows", "width"), dtype="bfloat16", role="input"),
        TensorSpec(name="shift", shape=(), dtype="float64", role="scalar"),
        TensorSpec(name="flip", shape=(), dtype="bool", role="scalar"),
        TensorSpec(name="layers.0.weight", shape=("width",), dtype="float16", role="weight"),
        TensorSpec(name="mask", shape=("rows", 4), dtype="bool", role="input"),
    ),
    outputs=(
        TensorSpec(name="out", shape=("rows", "width"), dtype="float32", role="output"),
        TensorSpec(name="best", shape=("rows",), dtype="int64", role="output"),
    ),
    reference=Source(
        files={"model.py": "class Model(nn.Module):\n    SECRET_OF_THE_REFERENCE = 1\n"},
        entry_point="model.py::Model",
    ),
    workloads=(Workload(id="report", split="report", axes={"rows": 48, "width": 1021}),),
)

ROWS = Tunable(name="ROWS", choices=(1, 4, 16), default=4)


class NullLanguage:
    """A language for tests of whatever handles one: its candidates are built by doing nothing."""

    name = "null"
    entry_point = "null.txt::main"
    devices: tuple[Literal["cpu", "cuda"], ...] = ("cpu", "cuda")

    def __init__(self, *, lane: Lane = "module", lacks: dict[Purpose, str] | None = None):
        self._lane = lane
        self._lacks = lacks or {}

    @property
    def lane(self) -> Lane:
        """What the test asked for."""
        return self._lane

    def missing(self, purpose: Purpose) -> str | None:
        """What the test said is missing."""
        return self._lacks.get(purpose)

    def guide(self, problem: Problem) -> str:
        """The names of everything, in a line each."""
        tensors = [spec.name for spec in (*problem.inputs, *problem.outputs)]
        return "\n".join(["main", problem.id, problem.reference.text, *tensors, *problem.axes])

    def build(self, candidate: Candidate, problem: Problem, *, sanitize: bool = False) -> BuildPlan:  # noqa: ARG002
        """The candidate's files and its settings, with no command.

        Raises:
            BuildRefused: a file name that is a path, or the text ``refuse me``.
        """
        if any("/" in name or ".." in name for name in candidate.source.files):
            raise BuildRefused("A file name is not plain.")
        if "refuse me" in candidate.source.text:
            raise BuildRefused("It asked to be refused.")
        settings = "".join(f"{name}={value}\n" for name, value in candidate.values.items())
        return BuildPlan(
            files={**candidate.source.files, "settings.txt": settings},
            commands=(),
            artifact=candidate.source.main_file,
            lane=self._lane,
        )


class LanguageContract:
    """A name, sentences, a guide that leaves nothing out, and plans that are pure text."""

    def test_what_is_missing_is_a_sentence(self, language: Language) -> None:
        """None, or a sentence that a person can act on."""
        for purpose in get_args(Purpose):
            said = language.missing(purpose)
            assert said is None or re.fullmatch(r"\S.*\.", said, re.DOTALL), said

    def test_the_guide_names_every_tensor_and_shows_the_reference(self, language: Language) -> None:
        """A writer is given the whole problem, with the sizes that are timed."""
        guide = language.guide(PROBLEM)
        for spec in (*PROBLEM.inputs, *PROBLEM.outputs):
            assert spec.name in guide
        for axis in PROBLEM.axes:
            assert axis in guide
        assert PROBLEM.reference.text.strip() in guide

    def test_the_guide_asks_for_the_entry_point(self, language: Language) -> None:
        """A writer's candidate starts where the language says."""
        file, _, name = language.entry_point.partition("::")
        assert re.fullmatch(r"[\w-]+\.\w+", file)
        assert re.search(rf"\b{name}\b", language.guide(PROBLEM))

    def test_the_guide_has_no_trace_of_its_template(self, language: Language) -> None:
        """Nothing unrendered, and no gaps where a part was left out."""
        guide = language.guide(PROBLEM)
        assert "{{" not in guide
        assert "{%" not in guide
        assert "\n\n\n\n" not in guide

    def test_a_plan_is_the_same_each_time(self, language: Language, candidate: Candidate) -> None:
        """Builds are kept by what their plan says."""
        assert language.build(candidate, PROBLEM) == language.build(candidate, PROBLEM)

    def test_the_candidate_is_built_as_it_was_written(
        self, language: Language, candidate: Candidate
    ) -> None:
        """Its text is in the plan, in the candidate's lane, and the artifact has a plain name."""
        plan = language.build(candidate, PROBLEM)
        assert set(candidate.source.files) <= set(plan.files)
        assert plan.lane == candidate.lane == language.lane
        assert re.fullmatch(r"[\w.-]+", plan.artifact)
        assert plan.artifact in plan.files or any(plan.artifact in c for c in plan.commands)

    def test_settings_change_the_plan(self, language: Language, candidate: Candidate) -> None:
        """A tuner that sets a value gets another build."""
        for tunable in candidate.tunables:
            other = next(c for c in tunable.choices if c != tunable.default)
            tuned = candidate.tuned({tunable.name: other})
            assert language.build(tuned, PROBLEM) != language.build(candidate, PROBLEM)

    def test_the_sanitized_plan_makes_the_same_artifact(
        self, language: Language, candidate: Candidate
    ) -> None:
        """Only how it is built and run differs."""
        plain = language.build(candidate, PROBLEM)
        assert language.build(candidate, PROBLEM, sanitize=True).artifact == plain.artifact

    @pytest.mark.parametrize("name", ["../up.h", "a/b.h", "/abs.h"])
    def test_a_file_name_that_is_a_path_is_refused(
        self, language: Language, candidate: Candidate, name: str
    ) -> None:
        """The plan's files are written into one folder."""
        files = {**candidate.source.files, name: ""}
        source = candidate.source.model_copy(update={"files": files})
        with pytest.raises(BuildRefused):
            language.build(candidate.model_copy(update={"source": source}), PROBLEM)
