"""Problems that ask for gradients: what is given, what they must give, and what is refused."""

import gc
import math

import numpy as np
import pytest
import torch

from kernelwright.core.agreement import compare
from kernelwright.core.errors import ProblemError
from kernelwright.core.problem import Source
from kernelwright.knowledge.sketches.drafts import Covered, NotCovered, drafts
from kernelwright.problems.derive import derive
from kernelwright.problems.directions import direction_of
from kernelwright.problems.dtypes import raw
from kernelwright.problems.loading import load_program
from kernelwright.problems.oracle import Oracle
from kernelwright.problems.reference import Reference
from kernelwright.problems.sizes import pick_trace_workloads
from kernelwright.problems.suite import read_source
from kernelwright.problems.tracing import trace

NET = """
import torch
import torch.nn as nn

rows, inner, outer = 6, 5, 3


class Model(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.up = nn.Linear(inner, outer)
        self.register_buffer("offset", torch.randn(outer))

    def forward(self, x, scale, choice, unused):
        return torch.tanh(self.up(x) + self.offset)[choice] * scale.exp(), choice + 1


def get_inputs():
    return [
        torch.randn(rows, inner), torch.randn(outer), torch.randint(rows, (rows,)),
        torch.randn(rows),
    ]


def get_init_inputs():
    return [inner, outer]
"""

ONE_LINE = """
import torch
import torch.nn as nn

{before}
rows, columns = 6, 8


class Model(nn.Module):
    def forward(self, {arguments}):
        {body}


def get_inputs():
    return [{inputs}]


def get_init_inputs():
    return []
"""


def source_of(text, name="net.py"):
    return Source(files={name: text}, entry_point=f"{name}::Model")


def one_line(body, arguments="x", inputs="torch.randn(rows, columns)", before=""):
    return source_of(
        ONE_LINE.format(body=body, arguments=arguments, inputs=inputs, before=before), "one.py"
    )


def derived(source, direction=None):
    oracle = Oracle(source, direction=direction)
    return derive(source, "mine", oracle, memory_bytes=1 << 30), oracle


def names(specs):
    return [spec.name for spec in specs]


@pytest.fixture(scope="module")
def net():
    return derived(source_of(NET), "backward")


def test_what_is_given_and_what_is_asked_for(net):
    problem, _ = net
    assert problem.direction == "backward"
    assert names(problem.inputs) == [
        "x", "scale", "choice", "unused", "offset", "up_weight", "up_bias", "grad_out0",
    ]  # fmt: skip
    assert names(problem.outputs) == [
        "grad_x", "grad_scale", "grad_unused", "grad_up_weight", "grad_up_bias",
    ]  # fmt: skip
    assert problem.cotangents == {"grad_out0": "out0"}
    assert problem.gradients["grad_up_weight"] == "up_weight"
    assert problem.inputs[-1].role == "input"
    assert problem.inputs[-1].shape == ("rows", "outer")
    assert len(problem.workloads) > 3


def test_the_outputs_come_first_when_both_are_asked_for():
    problem, oracle = derived(source_of(NET), "forward_backward")
    assert names(problem.outputs)[:3] == ["out0", "out1", "grad_x"]
    answer = oracle.answer(problem, problem.report_workload, "normal", 4)
    assert [e.dtype for e in answer.expected][:3] == ["float32", "int64", "float32"]
    assert answer.sound


def test_gradients_agree_with_finite_differences(net):
    problem, oracle = net
    answer = oracle.answer(problem, problem.report_workload, "normal", 11)
    forward = oracle.twins({}).exact.forward_only
    values = {n: v.double() if v.is_floating_point() else v for n, v in answer.values.items()}

    def loss(name, moved):
        now = {**values, name: moved}
        forward.set_weights({n: now[n] for n in forward.weight_names})
        out, _ = forward.run([now[n] for n in forward.input_names])
        return float((out * values["grad_out0"]).sum())

    for expected, (_, name) in zip(answer.expected, problem.gradients.items(), strict=True):
        found = []
        for at in range(values[name].numel()):
            steps = []
            for sign in (1, -1):
                moved = values[name].clone()
                moved.reshape(-1)[at] += sign * 1e-5
                steps.append(loss(name, moved))
            found.append((steps[0] - steps[1]) / 2e-5)
        assert np.allclose(expected.values.ravel(), found, rtol=1e-6, atol=1e-8), name


def test_an_input_without_effect_has_zeros_for_a_gradient(net):
    problem, oracle = net
    answer = oracle.answer(problem, problem.report_workload, "normal", 2)
    by_name = dict(zip(names(problem.outputs), answer.eager, strict=True))
    assert by_name["grad_unused"].shape == (6,)
    assert not by_name["grad_unused"].any()
    assert by_name["grad_x"].any()


@pytest.mark.parametrize("distribution", ["file", "normal", "integer", "ties"])
def test_cotangents_are_drawn_and_never_all_the_same(net, distribution):
    problem, oracle = net
    one, other = (
        oracle.answer(problem, problem.report_workload, distribution, seed).values["grad_out0"]
        for seed in (7, 8)
    )
    assert one.unique().numel() >= 3
    assert not torch.equal(one, other)


def test_the_eager_gradients_agree_and_rounded_ones_do_not(net):
    problem, oracle = net
    answer = oracle.answer(problem, problem.report_workload, "normal", 5)
    assert answer.sound
    for gradient, expected in zip(answer.eager, answer.expected, strict=True):
        assert compare(raw(gradient), expected).kind is None
    assert compare(raw(answer.eager[0].bfloat16().float()), answer.expected[0]).kind is not None


def test_no_two_names_are_the_same():
    source = one_line("return x * grad_x + grad_out", "x, grad_x, grad_out", "x(), x(), x()",
                      "x = lambda: torch.randn(rows, columns)")  # fmt: skip
    problem, _ = derived(source, "forward_backward")
    every = names(problem.inputs + problem.outputs)
    assert len(set(every)) == len(every)
    assert problem.gradients == {
        "grad_x_2": "x", "grad_grad_x": "grad_x", "grad_grad_out": "grad_out",
    }  # fmt: skip
    assert problem.cotangents == {"grad_out_2": "out"}


def test_the_file_says_the_direction_and_an_argument_goes_before_it():
    source = one_line("return x.exp()", before='DIRECTION = "backward"')
    assert derived(source)[0].direction == "backward"
    assert derived(source, "forward")[0].direction == "forward"
    assert direction_of(one_line("return x.exp()")) == "forward"


def test_the_direction_is_part_of_the_id():
    source = source_of(NET)
    ids = {derived(source, d)[0].id for d in ("forward", "backward", "forward_backward")}
    assert len(ids) == 3


@pytest.mark.parametrize(
    "before", ['DIRECTION = "sideways"', "DIRECTION = 3", 'DIRECTION = "back" + "ward"']
)
def test_a_direction_that_there_is_not_is_refused(before):
    with pytest.raises(ProblemError, match='must be one of "forward", "backward", "forward_back'):
        direction_of(one_line("return x", before=before))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (one_line("return x + 1", inputs="torch.randint(9, (rows, columns))"), "nothing to diff"),
        (one_line("return x.argmax(1)"), "none of its outputs can be differentiated"),
        (one_line("return x.detach() * 2"), "none of its outputs can be differentiated"),
        (one_line("with torch.no_grad(): return x * 2"), "none of its outputs can be different"),
        (
            one_line(
                "return Cube.apply(x)",
                before="class Cube(torch.autograd.Function):\n"
                "    @staticmethod\n    def forward(ctx, x): return x ** 3\n",
            ),
            "its backward pass raised NotImplementedError",
        ),
        (one_line("x.mul_(2)\n        return x"), "Model.forward raised RuntimeError: a leaf"),
    ],
)
def test_what_has_no_gradient_is_refused_in_a_sentence(source, said):
    with pytest.raises(ProblemError, match=said):
        derived(source, "backward")


def test_a_gradient_of_the_files_own_is_what_counts():
    before = (
        "class Double(torch.autograd.Function):\n"
        "    @staticmethod\n    def forward(ctx, x): return x * 1.0\n"
        "    @staticmethod\n    @torch.autograd.function.once_differentiable\n"
        "    def backward(ctx, grad): return grad * 2\n"
    )
    problem, oracle = derived(one_line("return Double.apply(x)", before=before), "backward")
    answer = oracle.answer(problem, problem.report_workload, "normal", 3)
    assert torch.equal(answer.eager[0], answer.values["grad_out"] * 2)


def test_checks_of_the_forward_pass_still_apply():
    with pytest.raises(ProblemError, match="random"):
        derived(one_line("return x * torch.rand_like(x)"), "backward")


def test_every_gradient_has_memory_of_its_own():
    """As `backward` leaves it; else a sum's gradient would cost nothing in eager mode."""
    source = one_line("return x + y, z.sum()", "x, y, z", "a(), a(), a()",
                      "a = lambda: torch.randn(rows, columns)")  # fmt: skip
    program = load_program(source, {}, direction="backward")
    values = program.make_inputs(1)
    found = program.run(values)
    memory = [t.untyped_storage().data_ptr() for t in (*found, *values)]
    assert len(set(memory)) == len(memory)
    assert all(gradient.is_contiguous() for gradient in found)
    assert torch.equal(found[0], values[-2])


@pytest.mark.parametrize("direction", ["forward", "backward", "forward_backward"])
def test_a_baseline_can_prepare_calls_and_time_the_rest(direction):
    """As the baselines do: gradients off, several calls prepared, each run once."""
    source, _ = read_source("builtin:rmsnorm_silu")
    program = load_program(source, {"rows": 8, "dim": 16}, direction=direction)
    compiled = torch.compile(program.model, dynamic=False, backend="aot_eager")
    values = [program.make_inputs(seed) for seed in (1, 2, 3)]
    with torch.no_grad():
        for model in (None, compiled):
            steps = [program.prepare(v, model) for v in values]
            for step, given in zip(steps, values, strict=True):
                found, wanted = step(), program.run(given)
                assert not any(tensor.requires_grad for tensor in found)
                for ours, theirs in zip(found, wanted, strict=True):
                    assert torch.allclose(ours, theirs, atol=1e-5)
        assert not torch.is_grad_enabled()
    assert all(weight.grad is None for weight in program.model.parameters())


def test_a_call_keeps_nothing_afterwards():
    source, _ = read_source("builtin:rmsnorm_silu")
    program = load_program(source, {"rows": 8, "dim": 16}, direction="backward")
    values = program.make_inputs(1)
    program.prepare(values)()
    gc.collect()
    gc.disable()
    try:
        before = sum(type(held) is torch.Tensor for held in gc.get_objects())
        for _ in range(5):
            program.prepare(values)()
        program.prepare(values)  # never called
        after = sum(type(held) is torch.Tensor for held in gc.get_objects())
    finally:
        gc.enable()
    assert after == before


def test_the_forward_pass_is_not_in_the_timed_part():
    source = one_line("CALLS.append(1)\n        return x.exp()", before="CALLS = []")
    program = load_program(source, {}, direction="backward")
    calls = program.module.CALLS
    values = program.make_inputs(1)
    calls.clear()
    step = program.prepare(values)
    assert len(calls) == 1
    step()
    assert len(calls) == 1


# The sum of the first row is nearly nothing, and not nothing.
CORNERED = """
import torch
import torch.nn as nn

rows, columns = 60, 8


class Model(nn.Module):
    def forward(self, x):
        return torch.relu((x * 3.3).sum(1))


def get_inputs():
    x = torch.randn(rows, columns)
    x[0, 0] = -x[0, 1:].sum()
    return [x]


def get_init_inputs():
    return []
"""


def test_a_gradient_that_hangs_on_a_rounding_may_be_either():
    problem, oracle = derived(source_of(CORNERED), "backward")
    answer = oracle.answer(problem, problem.report_workload, "file", 6)
    (expected,) = answer.expected
    assert answer.sound
    assert (expected.slack.reshape(60, 8) > 0).any(1).tolist() == [True] + [False] * 59
    for passed_on in (0.0, 1.0):
        other = answer.eager[0].clone()
        other[0] = 3.3 * answer.values["grad_out"][0] * passed_on
        assert compare(raw(other), expected).kind is None
    wrong = answer.eager[0].clone()
    wrong[0] = 3.3 * answer.values["grad_out"][0] * -2
    assert compare(raw(wrong), expected).kind == "wrong_value"
    wrong = answer.eager[0].clone()
    wrong[1] = 3.3 * answer.values["grad_out"][1] - wrong[1]
    assert compare(raw(wrong), expected).kind == "wrong_value"


@pytest.mark.parametrize("body", ["return torch.relu(x)", "return x.abs().amax(1)", "return x * x"])
def test_where_nothing_is_rounded_before_a_corner_nothing_hangs_on_it(body):
    """Corners at exactly zero included: there the reference's own derivative is the answer."""
    problem, oracle = derived(one_line(body), "backward")
    for distribution in ("file", "ties"):
        answer = oracle.answer(problem, problem.report_workload, distribution, 3)
        assert answer.sound
        slacks = [expected.slack for expected in answer.expected if expected.slack is not None]
        assert all(slack.max() < 1e-4 for slack in slacks)


def test_direction_and_room_cross_to_the_judge():
    with Reference.open(source_of(CORNERED), direction="backward") as reference:
        problem = reference.load()
        case = reference.case(problem.report_workload, "file", 6)
    assert problem.direction == "backward"
    (expected,) = case.expected
    assert np.flatnonzero(expected.slack).tolist() == list(range(8))
    grad, x = case.inputs["grad_out"].astype(np.float64), case.inputs["x"].reshape(60, 8)
    by_hand = np.where(x.sum(1) > 0, 3.3 * grad, 0.0)[:, None].repeat(8, 1)
    assert np.allclose(expected.values.reshape(60, 8)[1:], by_hand[1:], rtol=1e-12)


def test_sums_of_the_backward_pass_are_counted():
    problem, oracle = derived(source_of(NET), "backward")
    twins = oracle.twins({"rows": 300})
    values = dict(zip(twins.eager.input_names, twins.eager.make_inputs(1), strict=True))
    assert math.isclose(twins.terms(values), 300)
    assert problem.report_workload.axes["rows"] == 6


@pytest.mark.parametrize(
    ("name", "covered"),
    [
        ("gelu_backward", True),
        ("rmsnorm_backward", True),
        ("matmul_bias_backward", True),
        ("embedding_backward", False),
    ],
)
def test_gradients_are_traced_to_plain_operators(name, covered):
    source, _ = read_source(f"builtin:{name}")
    problem, oracle = derived(source)
    workload = pick_trace_workloads(problem)[0]
    graph = trace(oracle.twins(workload.constants).eager, workload, problem)
    given = {value.name for value in graph.inputs}
    assert set(problem.cotangents) <= given <= set(names(problem.inputs))
    assert len(graph.outputs) == len(problem.outputs)
    assert not [node.op for node in graph.nodes if "backward" in node.op or "detach" in node.op]
    found = drafts(problem, graph, "cpp")
    assert isinstance(found, Covered) == covered
    if isinstance(found, NotCovered):
        assert "aten.index_put" in found.reason
