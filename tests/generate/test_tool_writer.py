"""The writer whose model may call tools: the calls are read, counted, answered and repeatable."""

import re

import pytest

from kernelwright.core.diagnosis import Diagnosis
from kernelwright.core.errors import ModelError, SandboxError
from kernelwright.core.evaluation import BuildFailed, Passed, WrongResult
from kernelwright.core.protocols import ModelReply
from kernelwright.core.run import ToolBudget
from kernelwright.generate.asking import Asking
from kernelwright.generate.calling import Call, call_in
from kernelwright.generate.looking_up import Task, look_up
from kernelwright.generate.tool_writer import ToolWriter
from kernelwright.generate.toolbox import Toolbox
from kernelwright.knowledge.actions import ACTIONS, page
from kernelwright.llm.recording import RecordedModel, Replies
from kernelwright.llm.scripted import ScriptedModel
from kernelwright.testing.writers import WriterContract, propose

from .conftest import KERNEL, PROBLEM, Blobs, Plain, assignment, evaluation

BETTER = KERNEL.replace("2 * x[i]", "x[i] + x[i]")
SLOW = Passed(agreements=(), profile=Diagnosis(bottleneck="memory_bound"))
HIDDEN = {
    "workload_id": "h0", "split": "hidden", "distribution": "heavy", "output": "out0",
    "kind": "nonfinite", "matched_ratio": 0.53125, "detail": "element 31337 is inf",
    "traits": ("size_one",),
}  # fmt: skip


def block(text=KERNEL):
    return f"```cpp\n{text}```\n"


class Bench:
    """A toolbox whose judge says `outcome`, and which counts what is asked of it."""

    def __init__(self, outcome=SLOW, failed=None, faults=(), **without):
        self.outcome, self.failed, self.faults = outcome, failed, list(faults)
        self.judged, self.built, self.profiled = [], [], []
        parts = {"build": self.build, "profile": self.profile} | without
        self.toolbox = Toolbox(judge=self.judge, look_up=self.look_up, **parts)

    async def judge(self, candidate):
        self.judged.append(candidate.source.text)
        if self.faults:
            raise self.faults.pop(0)
        return evaluation(self.outcome, candidate.id)

    def build(self, candidate):
        self.built.append(candidate.source.text)
        return self.failed

    def profile(self, candidate, verdict):
        self.profiled.append(verdict.candidate_id)
        return Diagnosis(bottleneck="strided_access", not_known=("It was dark.",))

    def look_up(self, words, language):
        task = Task(problem=PROBLEM, language=Plain(language), actions=ACTIONS, page=page)
        return look_up(words, task)


def writer(*script, bench=None, calls=4, judged=2, replies=None):
    return ToolWriter(
        model=ScriptedModel(script=list(script)),
        languages={"cpp": Plain(), "cuda": Plain("cuda", "kernel.cu::kernel")},
        asking=Asking(put=Blobs().put),
        toolbox=(bench or Bench()).toolbox,
        budget=ToolBudget(max_calls=calls, max_judge_calls=judged),
        replies=replies,
    )


def told(made, turn=-1):
    """The user's last message of the request number `turn`."""
    return made.model.requests[turn].messages[-1].text


class TestToolWriter(WriterContract):
    @pytest.fixture
    def writer(self):
        made = writer()

        def script(request):
            if "hopeless" in str(request):
                return "nothing"
            return block() if len(request.messages) > 2 else f"{block()}Call: judge"

        made.model.script = script
        return made

    @pytest.fixture
    def assignment(self):
        return assignment()

    @pytest.fixture
    def hopeless(self):
        return assignment(hints=("hopeless",))


def test_a_conversation_ends_with_the_reply_that_calls_nothing():
    bench = Bench()
    made = writer(
        f"{block()}Call: build", "Call: judge", "Call: profile", block(BETTER), bench=bench
    )
    proposal = propose(made, assignment())
    assert proposal.candidate.source.text == BETTER
    assert [call.role for call in proposal.model_calls] == ["writer"] * 4
    assert (bench.built, bench.judged) == ([KERNEL], [KERNEL])
    assert len(bench.profiled) == 1
    assert "It builds." in told(made, 1)
    assert "It is right on every case." in told(made, 2)
    assert "strided access" in told(made, 3)
    assert "It was dark." in told(made, 3)


def test_the_whole_conversation_is_in_the_last_request():
    made = writer(f"{block()}Call: judge", block(BETTER))
    propose(made, assignment())
    messages = made.model.requests[-1].messages
    assert [m.role for m in messages] == ["system", "user", "assistant", "user"]
    assert messages[2].text == f"{block()}Call: judge"
    assert "3 calls are left, and 1 program may be judged." in messages[3].text


def test_without_a_call_it_is_one_call_of_a_model():
    made = writer(block())
    assert propose(made, assignment()).candidate.source.text == KERNEL
    assert "Call: judge" in made.model.requests[0].messages[0].text


def test_the_last_answer_asks_for_the_program_and_the_next_reply_is_the_end():
    bench = Bench()
    made = writer(f"{block()}Call: build", f"{block(BETTER)}Call: judge", calls=1, bench=bench)
    proposal = propose(made, assignment())
    assert "No call is left. Answer now with your final program" in told(made)
    assert proposal.candidate.source.text == BETTER
    assert bench.judged == []


def test_a_last_reply_with_neither_is_a_reason_and_all_of_it_is_on_record():
    proposal = propose(writer("Call: look_up sums", "Call: judge", calls=1), assignment())
    assert "holds no program" in proposal.reason
    assert len(proposal.model_calls) == 2


def test_no_budget_is_no_tools():
    made = writer(f"{block()}Call: judge", calls=0)
    assert propose(made, assignment()).candidate is not None
    assert "Call:" not in made.model.requests[0].messages[0].text


def test_the_judge_is_asked_as_often_as_it_may_and_the_same_program_counts_once():
    third = KERNEL.replace("2 *", "2.0f *")
    bench = Bench()
    made = writer(
        f"{block()}Call: judge", f"{block()}Call: judge", "Call: profile",
        f"{block(BETTER)}Call: judge", f"{block(third)}Call: judge", f"{block(third)}Call: profile",
        block(BETTER), bench=bench, calls=9,
    )  # fmt: skip
    propose(made, assignment())
    assert bench.judged == [KERNEL, BETTER]
    for turn in (-2, -1):
        assert "has been asked as often as it may be" in told(made, turn)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("Call: jugde", "There is no tool called 'jugde'. There are: build, judge"),
        ("Call:", "There is no tool called ''"),
        ("Call: judge", "There is no program yet"),
        ("```cpp\nint x;\n```\nCall: judge", "none defines 'kernel'"),
        ("Call: look_up zebras xylophones", "Nothing is known about these words."),
        ("Call: look_up fuse", "Compute in one pass what takes several"),
        ("Call: look_up", "Guide of cpp"),
    ],
)
def test_whatever_is_called_is_answered_and_counts(call, said):
    bench = Bench()
    made = writer(call, block(), bench=bench)
    assert propose(made, assignment()).candidate is not None
    assert said in told(made)
    assert "3 calls are left" in told(made)
    assert bench.judged == []


def test_what_cannot_be_had_is_said_before_and_when_it_is_called():
    bench = Bench(build=None, profile=None)
    made = writer(f"{block()}Call: profile", f"{block()}Call: build", block(), bench=bench)
    propose(made, assignment())
    system = made.model.requests[0].messages[0].text
    assert "build and profile cannot be had in this run." in system
    assert "Call: build" not in system
    assert "profile cannot be had" in told(made, 1)
    assert "build cannot be had" in told(made, 2)


def test_a_program_that_does_not_build_is_told_why():
    bench = Bench(failed=BuildFailed(diagnostics="k.cpp:1:1: error: 'relu' was not declared"))
    made = writer(f"{block()}Call: build", block(), bench=bench)
    propose(made, assignment())
    assert "'relu' was not declared" in told(made)


def test_of_hidden_sizes_only_the_class_of_a_fault_is_told():
    made = writer(f"{block()}Call: judge", block(), bench=Bench(WrongResult(mismatches=(HIDDEN,))))
    propose(made, assignment())
    assert "on inputs that are not shown: nonfinite" in told(made)
    assert not re.search(
        "31337|0.53|53.1", "".join(m.text for m in made.model.requests[-1].messages)
    )


def test_a_judge_that_breaks_is_a_fault_and_the_conversation_is_not_paid_twice(tmp_path):
    bench = Bench(faults=[SandboxError("The sandbox broke.")])
    replies = Replies(folder=tmp_path)
    script = (f"{block()}Call: build", f"{block()}Call: judge", block())
    made = writer(*script, bench=bench, replies=replies)
    model = RecordedModel(model=made.model, replies=replies)
    recorded = ToolWriter(**{**vars(made), "model": model})
    with pytest.raises(SandboxError) as failure:
        propose(recorded, assignment())
    assert len(failure.value.model_calls) == 2
    proposal = propose(recorded, assignment())
    assert [call.cached for call in proposal.model_calls] == [True, True, False]
    assert bench.built == [KERNEL]


def test_a_model_that_fails_in_the_middle_is_a_fault_with_what_was_paid():
    paid = ModelReply(text=f"{block()}Call: build", cost_usd=0.5)
    with pytest.raises(ModelError) as failure:
        propose(writer(paid, ModelError("on strike.")), assignment())
    assert [call.cost_usd for call in failure.value.model_calls] == [0.5]


def test_a_recorded_conversation_is_repeated_though_the_judge_would_say_otherwise(tmp_path):
    replies = Replies(folder=tmp_path)
    first, second = (
        writer(f"{block()}Call: judge", "Call: profile", block(), bench=bench, replies=replies)
        for bench in (Bench(), Bench(BuildFailed(diagnostics="error")))
    )
    propose(first, assignment())
    propose(second, assignment())
    assert second.model.requests == first.model.requests
    other = writer(f"{block()}Call: judge", block(), bench=(bench := Bench()), replies=replies)
    propose(other, assignment(step=8))
    assert bench.judged == [KERNEL]


@pytest.mark.parametrize(
    ("reply", "call"),
    [
        ("Call: build", Call(name="build", words="")),
        ("call:  JUDGE please.", Call(name="judge", words="please")),
        ("> **Call:** `profile`", Call(name="profile", words="")),
        ("- Call: look_up how to tile?", Call(name="look_up", words="how to tile?")),
        ("Call: build\nCall: judge", Call(name="build", words="")),
        (f"{block()}\nCall: judge", Call(name="judge", words="")),
        ("```cpp\nint x;\n```text\nCall: judge\n```\nCall: build", Call(name="build", words="")),
        ("<think>Call: judge</think>\nCall: build", Call(name="build", words="")),
        ("<think>\nCall: judge\n</think>\nDone.", None),
        ("```\nCall: judge\n```", None),
        ("~~~\nCall: judge\n~~~", None),
        ("I will call: judge", None),
        ("Recall: judge", None),
        ("", None),
    ],
)
def test_a_call_is_a_line_of_its_own_outside_blocks_and_thoughts(reply, call):
    assert call_in(reply) == call
