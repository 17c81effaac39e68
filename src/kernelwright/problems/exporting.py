"""From a loaded program to torch's own graph of primitive ATen operators.

Softmax, norms, losses and activations are decomposed into pointwise operators, reductions and
views. `problems.tracing` makes a `Graph` of what comes out.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from kernelwright.core.errors import ProblemError
from kernelwright.problems.norms import NORMS
from kernelwright.problems.program import Program
from kernelwright.problems.tracing_gradients import flat_step

# PyTorch decomposes these, but not as part of its "core" table.
_ALSO = (
    "_softmax", "_log_softmax", "gelu", "silu", "mish", "softplus", "elu", "celu", "selu",
    "hardswish", "hardsigmoid", "hardtanh", "leaky_relu", "log_sigmoid_forward", "glu",
    "softshrink", "hardshrink", "threshold", "logsumexp", "logit", "nll_loss_forward",
    "mse_loss", "smooth_l1_loss", "huber_loss", "soft_margin_loss", "binary_cross_entropy",
    "binary_cross_entropy_with_logits", "_fused_rms_norm", "rms_norm", "norm", "frobenius_norm",
    "linalg_vector_norm", "std", "std_mean", "var_mean", "_prelu_kernel",
    "_native_batch_norm_legit_no_training",
    "silu_backward", "gelu_backward", "mish_backward", "softplus_backward", "elu_backward",
    "hardswish_backward", "hardsigmoid_backward", "hardtanh_backward", "leaky_relu_backward",
    "log_sigmoid_backward", "glu_backward", "threshold_backward", "sigmoid_backward",
    "tanh_backward", "softshrink_backward", "logit_backward", "_softmax_backward_data",
    "_log_softmax_backward_data", "native_layer_norm_backward", "native_group_norm_backward",
    "_fused_rms_norm_backward", "nll_loss_backward", "mse_loss_backward",
    "smooth_l1_loss_backward", "huber_loss_backward", "_prelu_kernel_backward",
)  # fmt: skip
# It also decomposes these, which are primitive enough for us.
_KEPT = ("var",)


def export(
    program: Program, values: Sequence[Any], *, whole: bool = False
) -> tuple[torch.export.ExportedProgram, tuple[str, ...]]:
    """`program` as exported for `values`, and the names of what its user inputs are, in order.

    Without gradients these are the inputs of the program; with them the tensors among its inputs,
    and its weights. With `whole` operators stay as torch runs them.

    Raises:
        ProblemError: a sentence that says why it cannot be traced.
    """
    try:
        with torch.no_grad(), warnings.catch_warnings():
            # torch warns of its own internals here; its user can do nothing about that.
            warnings.simplefilter("ignore")
            table = {} if whole else _decompositions()
            module, given, names = _subject(program, values, table)
            exported = torch.export.export(module, given, strict=False)
            return exported.run_decompositions(dict(table)), names
    # Whatever torch.export raises, on somebody's code, becomes one sentence here.
    except Exception as error:
        first = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise ProblemError(f"torch.export could not trace the reference: {first[0]}") from error


def _subject(
    program: Program, values: Sequence[Any], table: Mapping[Any, Callable[..., Any]]
) -> tuple[torch.nn.Module, tuple[Any, ...], tuple[str, ...]]:
    """The module to export, its arguments and their names."""
    if program.gradients is None:
        return program.model, tuple(values), program.input_names
    step = flat_step(program, values, table)
    return step.module, step.tensors, step.names


@functools.cache
def _decompositions() -> dict[Any, Callable[..., Any]]:
    aten = torch.ops.aten
    table: dict[Any, Callable[..., Any]] = dict(torch._decomp.core_aten_decompositions())
    also = [getattr(aten, name) for name in _ALSO if hasattr(aten, name)]
    table.update(torch._decomp.get_decompositions(also))
    for name in _KEPT:
        for overload in getattr(aten, name).overloads():
            table.pop(getattr(getattr(aten, name), overload), None)
    table.update(NORMS)
    return table
