"""A real language model on this machine writes drafts; however weak it is, nothing breaks.

Serve one, for example `python -m llama_cpp.server --model small.gguf --n_ctx 8192`, and run
`KERNELWRIGHT_TEST_MODEL_URL=http://127.0.0.1:8000/v1 pytest -m model`.
"""

import os

import pytest

from kernelwright.core.candidate import Plan
from kernelwright.core.evaluation import BuildFailed
from kernelwright.core.protocols import Assignment
from kernelwright.core.run import ModelSettings
from kernelwright.generate.asking import Asking
from kernelwright.generate.llm_writer import LlmWriter
from kernelwright.languages.cpp import Cpp
from kernelwright.llm.opening import open_model
from kernelwright.testing.writers import propose

from .conftest import PROBLEM, Blobs, attempt

URL = os.environ.get("KERNELWRIGHT_TEST_MODEL_URL")

pytestmark = [
    pytest.mark.model,
    pytest.mark.slow,
    pytest.mark.skipif(
        URL is None, reason="KERNELWRIGHT_TEST_MODEL_URL, the address of a served model, is not set"
    ),
]


@pytest.fixture
def writer(monkeypatch, tmp_path):
    monkeypatch.delenv("KERNELWRIGHT_NO_MODELS")
    name = os.environ.get("KERNELWRIGHT_TEST_MODEL", "local")
    settings = ModelSettings(timeout_s=580, max_tries=1, replies=str(tmp_path))
    model = open_model(f"openai:{name}@{URL}", settings)
    return LlmWriter(
        model=model,
        languages={"cpp": Cpp()},
        asking=Asking(put=Blobs().put, max_tokens=400, temperature=0.8),
    )


def assignments():
    plan = Plan(kind="draft", language="cpp", writer="llm")
    failed = attempt(outcome=BuildFailed(diagnostics="k.cpp:1:1: error: 'x' was not declared"))
    refine = plan.model_copy(update={"kind": "refine", "parents": (failed.candidate.id,)})
    return [
        Assignment(step=1, plan=plan, problem=PROBLEM),
        Assignment(step=2, plan=plan.model_copy(update={"variant": 1}), problem=PROBLEM),
        Assignment(step=3, plan=refine, problem=PROBLEM, parents=(failed,)),
    ]


def test_a_weak_model_wastes_attempts_and_breaks_nothing(writer):
    for given in assignments():
        proposal = propose(writer, given)
        assert (proposal.candidate is None) != (proposal.reason is None)
        (call,) = proposal.model_calls
        assert call.usage.input_tokens > 100
        assert call.usage.output_tokens > 0
        assert call.cost_usd is None
        if proposal.candidate is not None:
            plan = Cpp().build(proposal.candidate, PROBLEM)
            assert plan.artifact in plan.commands[0]


def test_a_real_reply_is_recorded_and_repeated_without_the_model(writer, monkeypatch):
    first = propose(writer, assignments()[0])
    monkeypatch.setenv("KERNELWRIGHT_NO_MODELS", "1")
    again = propose(writer, assignments()[0])
    assert (again.candidate, again.reason) == (first.candidate, first.reason)
    assert again.model_calls[0].cached
