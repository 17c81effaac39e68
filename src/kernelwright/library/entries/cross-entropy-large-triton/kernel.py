"""Cross-entropy and its gradient, logits read once: the programs of a row hold it and meet.

Each program holds a piece, leaves the piece's maximum and sum in memory, and waits for the others
of its row. Pieces are taken by a ticket, in the order in which programs start, so who waits, waits
for a program that runs or that is next to get room. Rows of more pieces than a device is sure to
have room for are read twice instead.
"""

import torch
import torch.nn as nn
import triton
import triton.language as tl

# tunable: BLOCK = 8192 in {4096, 8192, 16384}
BLOCK = 8192
# tunable: WARPS = 8 in {4, 8, 16}
WARPS = 8
# Programs that any device has room for at once.
MOST_PIECES = 64
# Marks cleared by a program.
CLEARED = 1024


@triton.jit
def clear_kernel(marks_ptr, count, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(marks_ptr + at, tl.zeros((BLOCK,), dtype=tl.int32), mask=at < count)


@triton.jit
def together_kernel(
    logits_ptr, targets_ptr, grad_ptr, marks_ptr, tops_ptr, totals_ptr, out_ptr, grad_logits_ptr,
    classes, pieces,
    BLOCK: tl.constexpr, BLOCK_P: tl.constexpr,
):
    ticket = tl.atomic_add(marks_ptr, 1, sem="relaxed")
    row = (ticket // pieces).to(tl.int64)
    at = (ticket % pieces) * BLOCK + tl.arange(0, BLOCK)
    base = row * classes
    x = tl.load(logits_ptr + base + at, mask=at < classes, other=-float("inf"),
                eviction_policy="evict_first")
    target = tl.load(targets_ptr + row)
    grad = tl.load(grad_ptr + row)
    picked = tl.load(logits_ptr + base + target)
    own = tl.max(x, axis=0)
    weights = tl.exp(x - own)
    tl.store(tops_ptr + ticket, own)
    tl.store(totals_ptr + ticket, tl.sum(weights, axis=0))
    # Everybody's stores come before the count, and the count before everybody's loads.
    tl.debug_barrier()
    mark = marks_ptr + 1 + row
    tl.atomic_add(mark, 1, sem="release")
    while tl.atomic_add(mark, 0, sem="acquire") < pieces:
        pass
    tl.debug_barrier()
    piece = tl.arange(0, BLOCK_P)
    there = piece < pieces
    tops = tl.load(tops_ptr + row * pieces + piece, mask=there, other=-float("inf"), volatile=True)
    totals = tl.load(totals_ptr + row * pieces + piece, mask=there, other=0.0, volatile=True)
    top = tl.max(tops, axis=0)
    total = tl.sum(totals * tl.exp(tops - top), axis=0)
    if ticket % pieces == 0:
        tl.store(out_ptr + row, tl.log(total) + (top - picked))
    share = weights * (tl.exp(own - top) / total)
    share = tl.where(at == target, share - 1.0, share)
    tl.store(grad_logits_ptr + base + at, share * grad, mask=at < classes,
             eviction_policy="evict_first")


@triton.jit
def twice_kernel(
    logits_ptr, targets_ptr, grad_ptr, out_ptr, grad_logits_ptr, classes, BLOCK: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    base = row * classes
    target = tl.load(targets_ptr + row)
    picked = tl.load(logits_ptr + base + target)
    grad = tl.load(grad_ptr + row)
    top = -float("inf")
    total = 0.0
    for start in range(0, classes, BLOCK):
        x = tl.load(logits_ptr + base + start + lane, mask=start + lane < classes,
                    other=-float("inf"))
        grown = tl.maximum(top, tl.max(x, axis=0))
        total = total * tl.exp(top - grown) + tl.sum(tl.exp(x - grown), axis=0)
        top = grown
    tl.store(out_ptr + row, tl.log(total) + (top - picked))
    for start in range(0, classes, BLOCK):
        at = start + lane
        x = tl.load(logits_ptr + base + at, mask=at < classes, other=-float("inf"))
        share = tl.exp(x - top) / total
        share = tl.where(at == target, share - 1.0, share)
        tl.store(grad_logits_ptr + base + at, share * grad, mask=at < classes)


def run(logits, targets, grad_out):
    logits, targets, grad_out = logits.contiguous(), targets.contiguous(), grad_out.contiguous()
    rows, classes = logits.shape
    device, dtype = logits.device, logits.dtype
    out = torch.empty((rows,), device=device, dtype=dtype)
    grad_logits = torch.empty_like(logits)
    if rows == 0:
        return out, grad_logits
    block = min(BLOCK, max(128, triton.next_power_of_2(classes)))
    pieces = triton.cdiv(classes, block)
    if pieces > MOST_PIECES:
        twice_kernel[(rows,)](
            logits, targets, grad_out, out, grad_logits, classes, BLOCK=block, num_warps=WARPS
        )
        return out, grad_logits
    marks = torch.empty((1 + rows,), device=device, dtype=torch.int32)
    tops = torch.empty((rows * pieces,), device=device, dtype=dtype)
    totals = torch.empty_like(tops)
    clear_kernel[(triton.cdiv(1 + rows, CLEARED),)](
        marks, 1 + rows, BLOCK=CLEARED, num_warps=4
    )
    together_kernel[(rows * pieces,)](
        logits, targets, grad_out, marks, tops, totals, out, grad_logits, classes, pieces,
        BLOCK=block, BLOCK_P=triton.next_power_of_2(pieces), num_warps=WARPS,
    )
    return out, grad_logits


class ModelNew(nn.Module):
    def forward(self, logits, targets, grad_out):
        return run(logits, targets, grad_out)
