"""Whole runs with models that fail at a known rate: none of it breaks a run, or is lost, or is
charged twice."""

import json

import pytest

from kernelwright.core.errors import ModelError
from kernelwright.core.evaluation import (
    BuildFailed,
    Mismatch,
    Passed,
    WrongResult,
)
from kernelwright.core.protocols import ModelReply
from kernelwright.core.run import Budget, RunSpec, ToolBudget
from kernelwright.generate.asking import Asking
from kernelwright.generate.llm_writer import LlmWriter
from kernelwright.generate.looking_up import Found
from kernelwright.generate.team import Team
from kernelwright.generate.tool_writer import ToolWriter
from kernelwright.generate.toolbox import Toolbox
from kernelwright.generate.tuner import Tuner
from kernelwright.knowledge.actions import ACTIONS
from kernelwright.languages.cpp import Cpp
from kernelwright.llm.recording import RecordedModel, Replies
from kernelwright.llm.scripted import GOOD, Rates, ScriptedModel
from kernelwright.run.optimize import optimize, resume
from kernelwright.store.fold import fold
from kernelwright.store.sql import FILE_NAME, SqlStore
from kernelwright.testing.equipment import FakeEquip
from kernelwright.testing.evaluators import ScriptedEvaluator, number_candidate, verdict
from kernelwright.testing.judges import worded

PRICE_USD = 0.25
ATTEMPTS = 40
WRITERS = ("llm", "team", "tools")
STRATEGIES = ("refine", "evolve")
SEED = 1
MISMATCH = Mismatch(
    workload_id="search", split="search", distribution="normal", output="out",
    kind="wrong_value", matched_ratio=0.5, detail="element 4 is 0",
)  # fmt: skip


def program(word):
    """A reply with a program whose verdict is `word`, unlike that of any other sample."""

    def said(request):
        number = word if isinstance(word, str) else word + request.sample % 19 / 100
        return f"```cpp\n{worded(number)}// sample {request.sample}\n```"

    return said


REPLIES = {
    GOOD: program(1.5),
    "unparsed": lambda request: "I would rather talk about turtles.",
    "unbuilt": program("error"),
    "wrong": program("wrong"),
    "slow": program(0.5),
}


def called(request):
    """The judge is asked first; what comes of it, the script says again."""
    return "\nCall: judge" if len(request.messages) == 2 else ""


def outcome_of(candidate):
    word = candidate.source.text.split()[1]
    if word == "wrong":
        return WrongResult(mismatches=(MISMATCH,))
    return verdict(number_candidate(word))


class Models:
    """Scripted models for every role, which fail at `rate`, and the writers that ask them.

    `interruptions` are raised instead of the reply to the calls that are counted so; `answered`
    are the requests that had a reply.
    """

    def __init__(self, rate, *, seed=0, replies=REPLIES, interruptions=None):
        self.asked, self.answered = 0, []
        self.interruptions = dict(interruptions or {})

        def remark(text):
            return {GOOD: lambda request: text, "unparsed": replies["unparsed"]}

        self.coder = Rates(replies=replies, rate=rate, seed=seed)
        scripts = {
            "writer": self.coder,
            "caller": lambda request: self.coder(request) + called(request),
            "coder": self.coder,
            "critic": Rates(replies=remark("Keep: it.\nBlame: that."), rate=rate, seed=seed + 1),
            "planner": Rates(replies=remark("Action: tile"), rate=rate, seed=seed + 2),
        }
        self.models = {
            role: ScriptedModel(script=self.paid(script), name=f"scripted:{role}")
            for role, script in scripts.items()
        }
        self.evaluator = ScriptedEvaluator(outcome_of=outcome_of)
        self.equip = FakeEquip(writers=self.writers, evaluator=self.evaluator)

    def writers(self, store, folder):
        replies = Replies(folder=folder.path / "replies")
        models = {
            role: RecordedModel(model=model, replies=replies) for role, model in self.models.items()
        }
        common = {"languages": {"cpp": Cpp()}, "asking": Asking(put=store.put)}
        toolbox = Toolbox(
            judge=lambda candidate: self.evaluator.evaluate(candidate, "search"),
            look_up=lambda words, language: Found(passages=(), more=0),
        )
        return {
            "llm": LlmWriter(model=models["writer"], **common),
            "team": Team(
                **{role: models[role] for role in ("planner", "coder", "critic")},
                **common,
                actions=ACTIONS,
            ),
            "tools": ToolWriter(
                model=models["caller"], toolbox=toolbox, budget=ToolBudget(), replies=replies,
                **common,
            ),
            "tuner": Tuner(),
        }  # fmt: skip

    def paid(self, script):
        def said(request):
            self.asked += 1
            if self.asked in self.interruptions:
                raise self.interruptions.pop(self.asked)
            self.answered.append(request)
            return ModelReply(text=script(request), cost_usd=PRICE_USD)

        return said


def spec(writer, strategy="refine", **changes):
    return RunSpec(
        problem="rows.py", languages=("cpp",), writers=(writer,), strategy=strategy,
        models={"writer": "scripted:none"}, budget=Budget(max_attempts=ATTEMPTS), **changes,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def kind_of(step):
    """What a step came to, in the words of the script."""
    if step.evaluation is None:
        assert step.reason
        return "unparsed" if "holds no program" in step.reason else step.reason
    match step.evaluation.outcome:
        case BuildFailed():
            return "unbuilt"
        case WrongResult():
            return "wrong"
        case Passed():
            return GOOD if step.attempt.score > 1 else "slow"


def expected_outcome(scores):
    if not scores:
        return "nothing_passed"
    return "faster" if max(scores) > 1 else "nothing_better"


def check(result, models):
    """What holds of every run, however often its models fail."""
    state = result.state
    assert state.finish is not None
    assert state.unfinished == ()
    assert 0 < len(state.steps) <= ATTEMPTS
    for number, step in state.steps.items():
        assert kind_of(step) == models.coder.kind(number)
    # Each reply is paid for once, and all that is paid for is on record.
    assert len(set(models.answered)) == len(models.answered)
    assert state.spent.cost_usd == PRICE_USD * len(models.answered)
    scores = {n: s.attempt.score for n, s in state.steps.items() if s.attempt.score is not None}
    assert (result.best.number if scores else result.best) == max(
        scores, key=scores.get, default=None
    )
    assert result.outcome == expected_outcome(scores.values())
    assert bool(result.delivered) == bool(scores)
    with SqlStore.open(result.folder.path / FILE_NAME, "r", writable=False) as store:
        assert fold(store.records()) == state


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("rate", [0.0, 0.5, 0.95])
def test_a_run_ends_well_however_often_its_models_fail(rate, writer, strategy):
    models = Models(rate, seed=SEED)
    result = optimize(spec(writer, strategy), equip=models.equip)
    check(result, models)
    assert result.state.faults == ()
    kinds = {kind_of(step) for step in result.state.steps.values()}
    assert kinds == ({GOOD} if rate == 0.0 else set(REPLIES))


@pytest.mark.parametrize("writer", WRITERS)
def test_a_run_in_which_nothing_passes_ends_by_itself_and_says_so(writer):
    replies = {kind: said for kind, said in REPLIES.items() if kind != "slow"}
    models = Models(0.95, seed=3, replies=replies)
    result = optimize(spec(writer), equip=models.equip)
    check(result, models)
    assert result.state.finish.reason == "nothing is left to try"
    assert result.outcome == "nothing_passed"
    assert result.delivered == ()


@pytest.mark.parametrize("writer", WRITERS)
def test_what_was_answered_before_a_model_fell_silent_is_paid_for_once(writer):
    silent = {call: ModelError("It does not answer.") for call in range(3, 99, 3)}
    models = Models(0.5, seed=SEED, interruptions=silent)
    result = optimize(spec(writer), equip=models.equip)
    check(result, models)
    assert result.state.faults
    assert all(fault.retryable for fault in result.state.faults)


class Killed(BaseException):
    """As if the process had ended there."""


@pytest.mark.parametrize("writer", WRITERS)
def test_a_run_that_was_killed_asks_no_model_twice(writer, tmp_path):
    models = Models(0.5, seed=SEED, interruptions={6: Killed()})
    with pytest.raises(Killed):
        optimize(spec(writer), folder=tmp_path / "run", equip=models.equip)
    result = resume(tmp_path / "run", equip=models.equip)
    assert len(set(models.answered)) == len(models.answered)
    for number, step in result.state.steps.items():
        assert kind_of(step) == models.coder.kind(number)


REFERENCE = """
import torch
from torch import nn

rows = 64

class Model(nn.Module):
    def forward(self, x):
        return torch.relu(x) * 2

def get_inputs():
    return [torch.randn(rows, 48)]

def get_init_inputs():
    return []
"""
LOOP = "    for (int64_t i = 0; i < rows * 48; ++i) {body}\n"


def kernel(body):
    head = 'extern "C" void double_relu(const float* x, float* out, int64_t rows) {\n'
    return f"```cpp\n#include <cstdint>\n{head}{LOOP.format(body=body)}}}\n```\n"


@pytest.mark.slow
def test_a_real_run_lives_with_each_failure_and_judges_nothing_twice(tmp_path):
    body = "out[i] = x[i] != x[i] ? x[i] : x[i] > 0 ? 2 * x[i] : 0;"
    right = kernel(body)
    slow = kernel(f"{{ for (volatile int k = 0; k < 200; k = k + 1) {{}} {body} }}")
    script = [
        f"{right}Call: build", "Call: judge", "Call: profile", right,
        REPLIES["unparsed"](None), kernel("out[i] = relu(x[i]);"), kernel("out[i] = x[i];"),
        slow,
    ]  # fmt: skip
    replies = tmp_path / "replies.json"
    replies.write_text(json.dumps(script))
    problem = tmp_path / "double_relu.py"
    problem.write_text(REFERENCE)
    asked = RunSpec(
        problem=str(problem), languages=("cpp",), device="cpu", writers=("tools",),
        strategy="best_of_n", models={"writer": f"scripted:{replies}"},
        budget=Budget(max_attempts=5),
    )  # fmt: skip
    result = optimize(asked, folder=tmp_path / "run")
    steps = result.state.steps
    assert [kind_of(steps[n]) for n in (2, 3, 4)] == ["unparsed", "unbuilt", "wrong"]
    assert isinstance(steps[5].evaluation.outcome, Passed)
    assert steps[1].attempt.score > steps[5].attempt.score
    # The verdict is the one that the model was told before it ended.
    assert any("repeats it" in said for said in steps[1].evaluation.not_checked)
    assert [len(steps[n].model_calls) for n in sorted(steps)] == [4, 1, 1, 1, 1]
    assert result.best.number == 1
    assert result.delivered
    assert not any(fault.step for fault in result.state.faults)
