"""Softmax of few long rows, read once: the programs of a row hold it in registers and meet.

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
    x_ptr, marks_ptr, tops_ptr, totals_ptr, out_ptr, dim, pieces,
    BLOCK: tl.constexpr, BLOCK_P: tl.constexpr,
):
    ticket = tl.atomic_add(marks_ptr, 1, sem="relaxed")
    row = (ticket // pieces).to(tl.int64)
    at = (ticket % pieces) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * dim + at, mask=at < dim, other=-float("inf"),
                eviction_policy="evict_first")
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
    factor = tl.exp(own - top) / tl.sum(totals * tl.exp(tops - top), axis=0)
    tl.store(out_ptr + row * dim + at, weights * factor, mask=at < dim,
             eviction_policy="evict_first")


@triton.jit
def twice_kernel(x_ptr, out_ptr, dim, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    top = -float("inf")
    total = 0.0
    for start in range(0, dim, BLOCK):
        x = tl.load(x_ptr + row * dim + start + lane, mask=start + lane < dim,
                    other=-float("inf"))
        grown = tl.maximum(top, tl.max(x, axis=0))
        total = total * tl.exp(top - grown) + tl.sum(tl.exp(x - grown), axis=0)
        top = grown
    for start in range(0, dim, BLOCK):
        mask = start + lane < dim
        x = tl.load(x_ptr + row * dim + start + lane, mask=mask, other=-float("inf"))
        tl.store(out_ptr + row * dim + start + lane, tl.exp(x - top) / total, mask=mask)


def run(x):
    x = x.contiguous()
    out = torch.empty_like(x)
    if out.numel() == 0:
        return out
    rows, dim = x.shape
    block = min(BLOCK, max(128, triton.next_power_of_2(dim)))
    pieces = triton.cdiv(dim, block)
    if pieces > MOST_PIECES:
        twice_kernel[(rows,)](x, out, dim, BLOCK=block, num_warps=WARPS)
        return out
    marks = torch.empty((1 + rows,), device=x.device, dtype=torch.int32)
    tops = torch.empty((rows * pieces,), device=x.device, dtype=x.dtype)
    totals = torch.empty_like(tops)
    clear_kernel[(triton.cdiv(1 + rows, CLEARED),)](
        marks, 1 + rows, BLOCK=CLEARED, num_warps=4
    )
    together_kernel[(rows * pieces,)](
        x, marks, tops, totals, out, dim, pieces,
        BLOCK=block, BLOCK_P=triton.next_power_of_2(pieces), num_warps=WARPS,
    )
    return out


class ModelNew(nn.Module):
    def forward(self, x):
        return run(x)
