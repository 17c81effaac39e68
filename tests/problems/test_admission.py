"""Admission tells wrong programs apart, and says when it cannot."""

import pytest

from kernelwright.problems.gradient_mutants import gradient_mutants
from kernelwright.problems.mutants import admit

REQUIRED = [
    "zeros", "mean", "stale", "another seed", "last row stale", "last column stale",
    "last tile stale", "rows shifted", "transposed", "passthrough of x", "fewer bits", "x ignored",
    "x as zeros", "x as ones", "a slice fewer in mean", "wrong axis in mean",
    "epsilon 1e-06 times 100",
]  # fmt: skip


def _admit(found, distributions=("file", "normal")):
    admission = admit(found.oracle, found.problem, distributions, 11)
    return admission, {m.name: m for m in admission.mutants}


@pytest.mark.parametrize("name", ["builtin:rmsnorm", "conv_relu_bias", "builtin:argmax"])
def test_an_ordinary_problem_is_admitted(derived, name):
    admission, mutants = _admit(derived(name))
    assert admission.admitted, admission.sentence
    assert {"zeros", "another seed", "x ignored", "fewer bits"} <= set(mutants)
    assert "no gap" in admission.sentence


def test_every_required_mutant_applies_to_a_norm_and_is_killed(derived):
    _, mutants = _admit(derived("builtin:rmsnorm"))
    assert {n: mutants[n].status for n in [*REQUIRED, "weight ignored"]} == dict.fromkeys(
        [*REQUIRED, "weight ignored"], "killed"
    )


def test_a_rounded_operand_says_nothing_about_an_index(derived):
    _, mutants = _admit(derived("builtin:argmax"))
    assert mutants["fewer bits"].status == "not_applicable"
    assert "not a float" in mutants["fewer bits"].reason


WEAK = """
import torch
n = 32
class Model(torch.nn.Module):
    def forward(self, x, y):
        return torch.relu(x.abs() + 1) + {y}
def get_inputs():
    return [torch.randn(16, n), torch.randn(16, n)]
def get_init_inputs():
    return []
"""


def test_an_input_that_hardly_matters_is_a_gap_and_is_named(written):
    admission, mutants = _admit(written(WEAK.replace("{y}", "y * 1e-9")))
    assert mutants["y ignored"].status == "survived"
    assert mutants["x ignored"].status == "killed"
    assert not admission.admitted
    assert "y ignored" in admission.sentence
    assert "x ignored" not in admission.sentence


def test_an_input_that_does_not_enter_the_result_is_not_a_gap(written):
    admission, mutants = _admit(written(WEAK.replace("{y}", "(y - y)")))
    assert mutants["y ignored"].status == "not_applicable"
    assert "does not depend on y" in mutants["y ignored"].reason
    assert admission.admitted


def test_a_constant_output_lets_wrong_programs_live(written):
    admission, _ = _admit(
        written(
            """
import torch
n = 32
class Model(torch.nn.Module):
    def forward(self, x):
        return torch.softmax(x.sum(-1, keepdim=True), dim=-1)
def get_inputs():
    return [torch.randn(16, n)]
def get_init_inputs():
    return []
"""
        )
    )
    assert {"mean", "stale"} <= {m.name for m in admission.survivors}


def test_identity_on_the_files_inputs_is_told_apart_by_other_draws(written):
    found = written(
        """
import torch
n = 32
class Model(torch.nn.Module):
    def forward(self, x):
        return torch.relu(x)
def get_inputs():
    return [torch.rand(16, n)]
def get_init_inputs():
    return []
"""
    )
    _, by_file = _admit(found, ("file",))
    assert by_file["passthrough of x"].status == "survived"
    _, by_normal = _admit(found)
    assert by_normal["passthrough of x"].status == "killed"
    assert by_normal["passthrough of x"].report_killed == 1


TWO = """
import torch
n = 32
class Model(torch.nn.Module):
    def forward(self, x):
        return x.sin() + 2, {second}
def get_inputs():
    return [torch.randn(16, n)]
def get_init_inputs():
    return []
"""


def test_each_output_is_made_wrong_while_the_others_stay_right(written):
    admission, mutants = _admit(written(TWO.replace("{second}", "x.relu()")))
    assert admission.admitted, admission.sentence
    assert mutants["zeros in out0"].status == mutants["zeros in out1"].status == "killed"
    _, mutants = _admit(written(TWO.replace("{second}", "(x - x).relu() * x")))
    assert mutants["zeros in out0"].status == "killed"
    assert mutants["zeros in out1"].status == "survived"


def test_a_constant_that_decides_nothing_is_no_gap_and_one_that_does_is_noticed(written):
    for constant, status in (("1e-30", "not_applicable"), ("1e-4", "killed")):
        _, mutants = _admit(written(WEAK.replace("{y}", f"y / (y.abs() + {constant})")))
        assert mutants[f"epsilon {float(constant):.3g} times 100"].status == status


def test_what_neither_the_file_nor_usual_draws_tell_apart_is_looked_for_in_the_others(written):
    found = written(WEAK.replace("{y}", "0 * y + x * torch.rsqrt((x * x).mean() + 1e-7)"))
    name = "epsilon 1e-07 times 100"
    _, usual = _admit(found, ("file", "normal"))
    assert usual[name].status == "survived"
    _, small = _admit(found, ("file", "normal", "small"))
    assert small[name].status == "killed"
    assert (small[name].report_killed, small[name].report) == (1, 3)


def _requirements(admission):
    return {r.name: r for r in admission.requirements}


def test_what_is_required_of_an_ordinary_problem_is_met(derived):
    admission, _ = _admit(derived("builtin:rmsnorm"))
    found = _requirements(admission)
    assert {r.status for r in found.values()} == {"met"}
    assert set(found) == {
        "sensitivity to x", "sensitivity to weight", "variation of out", "the reference's own error"
    }  # fmt: skip


def test_an_input_that_hardly_moves_the_output_is_missed_and_said(written):
    admission, _ = _admit(written(WEAK.replace("{y}", "y * 1e-5")))
    found = _requirements(admission)
    assert found["sensitivity to y"].status == "missed"
    assert found["sensitivity to x"].status == "met"
    assert not admission.admitted
    assert "sensitivity to y: outputs move by" in admission.sentence


def test_an_input_that_does_not_enter_the_result_need_not_move_it(written):
    admission, _ = _admit(written(WEAK.replace("{y}", "(y - y)")))
    assert _requirements(admission)["sensitivity to y"].status == "not_applicable"


@pytest.mark.parametrize("second", ["torch.ones_like(x) + 1e-7 * x", "(x[:, :1] + 0 * x)"])
def test_an_output_that_does_not_vary_along_an_axis_is_missed(written, second):
    admission, _ = _admit(written(TWO.replace("{second}", second)))
    found = _requirements(admission)
    assert found["variation of out0"].status == "met"
    assert found["variation of out1"].status == "missed"


def test_a_reference_that_uses_up_its_tolerance_is_missed(derived, monkeypatch):
    monkeypatch.setattr("kernelwright.problems.requirements.ROOM", 1e-6)
    admission, _ = _admit(derived("builtin:rmsnorm"))
    assert [r.name for r in admission.missed] == ["the reference's own error"]
    assert "% of what is allowed, over " in admission.sentence


def test_a_thorough_look_leaves_no_case_out(derived):
    found = derived("conv_relu_bias")
    distributions = ("file", "normal", "sparse")
    admission = admit(found.oracle, found.problem, distributions, 11, thorough=True)
    zeros = next(m for m in admission.mutants if m.name == "zeros")
    others = sum(w.split != "report" for w in found.problem.workloads)
    assert (zeros.report, zeros.suite) == (3, others)
    # One for each scene; then every distribution at every size.
    cases = 3 + others + 3 * len(found.problem.workloads)
    assert f"over {cases} cases" in _requirements(admission)["the reference's own error"].reason


HALF = """
import torch
rows = 64
class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(64, 32).to(torch.{dtype})
    def forward(self, x):
        return torch.relu(self.linear(x))
def get_inputs():
    return [torch.randn(rows, 64).to(torch.{dtype})]
def get_init_inputs():
    return []
"""


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_eight_bit_operands_are_noticed_where_sixteen_are_asked_for(written, dtype):
    admission, mutants = _admit(written(HALF.replace("{dtype}", dtype)))
    assert mutants["fewer bits"].status == "killed"
    assert mutants["a slice fewer in addmm"].status == "killed"
    assert admission.admitted, admission.sentence


def test_wrong_gradients_are_told_apart(derived):
    _, mutants = _admit(derived("builtin:rmsnorm_backward"))
    for name in (
        "no gradients", "grad_x alone", "grad_weight alone", "sign of grad_x flipped",
        "grad_weight added to what was there", "grad_weight not summed", "grad_weight a row short",
        "grad_out as ones", "zeros in grad_weight", "cotangents without their signs",
    ):  # fmt: skip
        assert mutants[name].status == "killed", name
    assert mutants["grad_x not summed"].status == "not_applicable"


def test_a_forward_problem_has_no_wrong_gradients(derived):
    assert not list(gradient_mutants(derived("builtin:rmsnorm").problem))
