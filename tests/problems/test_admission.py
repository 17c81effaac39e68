"""Admission tells wrong programs apart, and says when it cannot."""

import pytest

from kernelwright.problems.mutants import admit

REQUIRED = ["zeros", "mean", "stale", "fewer bits", "x ignored", "x as zeros", "passthrough of x"]


def _admit(found, distributions=("file", "normal")):
    admission = admit(found.oracle, found.problem, distributions, 11)
    return admission, {m.name: m for m in admission.mutants}


@pytest.mark.parametrize("name", ["builtin:rmsnorm", "conv_relu_bias", "builtin:argmax"])
def test_an_ordinary_problem_is_admitted(derived, name):
    admission, mutants = _admit(derived(name))
    assert admission.admitted, admission.sentence
    assert set(REQUIRED) <= set(mutants)
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
