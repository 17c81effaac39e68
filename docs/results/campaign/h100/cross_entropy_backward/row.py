import torch
import torch.nn as nn
import triton
import triton.language as tl

# warps of a program, which holds one row in registers
# tunable: NUM_WARPS = 8 in {4, 8, 16}
NUM_WARPS = 8


@triton.jit
def cross_entropy_backward_kernel(
    logits_ptr, targets_ptr, grad_ptr, out_ptr, classes, BLOCK: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(targets_ptr + row)
    grad = tl.load(grad_ptr + row)
    column = tl.arange(0, BLOCK)
    mask = column < classes
    x = tl.load(
        logits_ptr + row * classes + column, mask=mask, other=-float("inf"),
        eviction_policy="evict_first",
    )
    power = tl.exp(x - tl.max(x, axis=0))
    share = power * (1.0 / tl.sum(power, axis=0))
    wanted = tl.where(column == target, 1.0, 0.0)
    tl.store(out_ptr + row * classes + column, (share - wanted) * grad, mask=mask)


def run(logits, targets, grad_out):
    logits, targets = logits.contiguous(), targets.contiguous()
    grad_out = grad_out.contiguous()
    rows, classes = logits.shape
    out = torch.empty_like(logits)
    if out.numel() > 0:
        block = max(128, triton.next_power_of_2(classes))
        cross_entropy_backward_kernel[(rows,)](
            logits, targets, grad_out, out, classes, BLOCK=block,
            num_warps=NUM_WARPS if block <= 8192 else 32,
        )
    return out


class ModelNew(nn.Module):
    def forward(self, logits, targets, grad_out):
        return run(logits, targets, grad_out)
