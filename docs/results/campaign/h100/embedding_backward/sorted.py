"""The gradient of an embedding, every row written once: tokens are first gathered by their row.

Tokens are counted per row of the table, rows get ranges of a list in any order, and tokens are put
there. A program per row then adds up its tokens and writes, so no zeros are written first and
nothing is read back. Rows of many tokens would keep one program busy for long: the list of those
is shared out in segments that are added atomically, onto zeros that were written on the way.
"""

import torch
import torch.nn as nn
import triton
import triton.language as tl

# The most tokens of a row that one program adds up, and the length of a segment of longer ones.
# tunable: SEGMENT = 32 in {16, 32, 64}
SEGMENT = 32
# tunable: WARPS = 4 in {2, 4, 8}
WARPS = 4
# Tokens whose gradients are read at once.
AT_ONCE = 4
# Elements of the table's rows in a program.
LONGEST_D = 1024
# Elements of a program of the steps before.
BLOCK = 1024


@triton.jit
def clear_kernel(counts_ptr, count, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    tl.store(counts_ptr + at, tl.zeros((BLOCK,), dtype=tl.int32), mask=at < count)


@triton.jit
def count_kernel(tokens_ptr, counts_ptr, ranks_ptr, count, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    token = tl.load(tokens_ptr + at, mask=at < count, other=0)
    rank = tl.atomic_add(counts_ptr + token, 1, mask=at < count, sem="relaxed")
    tl.store(ranks_ptr + at, rank, mask=at < count)


@triton.jit
def range_kernel(counts_ptr, cursor_ptr, starts_ptr, vocabulary, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    count = tl.load(counts_ptr + row, mask=row < vocabulary, other=0)
    before = tl.cumsum(count, axis=0) - count
    first = tl.atomic_add(cursor_ptr, tl.sum(count, axis=0), sem="relaxed")
    tl.store(starts_ptr + row, first + before, mask=row < vocabulary)


@triton.jit
def place_kernel(
    tokens_ptr, ranks_ptr, starts_ptr, list_ptr, out_ptr, dim,
    SEGMENT: tl.constexpr, BLOCK_D: tl.constexpr,
):
    at = tl.program_id(0)
    token = tl.load(tokens_ptr + at)
    rank = tl.load(ranks_ptr + at)
    tl.store(list_ptr + tl.load(starts_ptr + token) + rank, at)
    # The first token beyond a segment is there once, in rows that are added to atomically.
    if rank == SEGMENT:
        for start in range(0, dim, BLOCK_D):
            d = start + tl.arange(0, BLOCK_D)
            tl.store(out_ptr + token * dim + d, tl.zeros((BLOCK_D,), tl.float32), mask=d < dim)


@triton.jit
def add_up(
    list_ptr, grad_ptr, begin, end, d, dim, AT_ONCE: tl.constexpr, BLOCK_D: tl.constexpr
):
    """The sum of the gradients of list entries `begin` to `end`."""
    total = tl.zeros((AT_ONCE, BLOCK_D), dtype=tl.float32)
    for first in range(begin, end, AT_ONCE):
        entry = first + tl.arange(0, AT_ONCE)
        at = tl.load(list_ptr + entry, mask=entry < end, other=0).to(tl.int64)
        total += tl.load(
            grad_ptr + at[:, None] * dim + d[None, :],
            mask=(entry < end)[:, None] & (d < dim)[None, :],
            other=0.0,
        )
    return tl.sum(total, axis=0)


@triton.jit
def row_kernel(
    tokens_ptr, grad_ptr, counts_ptr, starts_ptr, list_ptr, out_ptr, count, dim, segments,
    SEGMENT: tl.constexpr, AT_ONCE: tl.constexpr, BLOCK_D: tl.constexpr,
):
    pid = tl.program_id(0).to(tl.int64)
    d = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    if pid >= segments:
        row = pid - segments
        found = tl.load(counts_ptr + row)
        start = tl.load(starts_ptr + row)
        if found <= SEGMENT:
            total = add_up(list_ptr, grad_ptr, start, start + found, d, dim, AT_ONCE, BLOCK_D)
            tl.store(out_ptr + row * dim + d, total, mask=d < dim)
    else:
        # A row of more tokens than a segment has holds its first entry, or its last, or both.
        begin = (pid * SEGMENT).to(tl.int32)
        end = tl.minimum(begin + SEGMENT, count)
        row = tl.load(tokens_ptr + tl.load(list_ptr + begin))
        last_row = tl.load(tokens_ptr + tl.load(list_ptr + end - 1))
        found = tl.load(counts_ptr + row)
        stop = tl.minimum(tl.load(starts_ptr + row) + found, end)
        if found > SEGMENT:
            total = add_up(list_ptr, grad_ptr, begin, stop, d, dim, AT_ONCE, BLOCK_D)
            tl.atomic_add(out_ptr + row * dim + d, total, mask=d < dim, sem="relaxed")
        if last_row != row:
            if tl.load(counts_ptr + last_row) > SEGMENT:
                start = tl.load(starts_ptr + last_row)
                total = add_up(list_ptr, grad_ptr, start, end, d, dim, AT_ONCE, BLOCK_D)
                tl.atomic_add(out_ptr + last_row * dim + d, total, mask=d < dim, sem="relaxed")


def run(tokens, table, grad_out):
    tokens, grad_out = tokens.contiguous(), grad_out.contiguous()
    out = torch.empty_like(table)
    vocabulary, dim = out.shape
    count = tokens.numel()
    if out.numel() == 0:
        return out
    device, dtype = tokens.device, torch.int32
    # The counts of the rows, and how much of the list is given away.
    counts = torch.empty((vocabulary + 1,), device=device, dtype=dtype)
    starts = torch.empty((vocabulary,), device=device, dtype=dtype)
    ranks = torch.empty((count,), device=device, dtype=dtype)
    entries = torch.empty((count,), device=device, dtype=dtype)
    block_d = min(LONGEST_D, max(32, triton.next_power_of_2(dim)))
    clear_kernel[(triton.cdiv(vocabulary + 1, BLOCK),)](
        counts, vocabulary + 1, BLOCK=BLOCK, num_warps=4
    )
    if count > 0:
        count_kernel[(triton.cdiv(count, BLOCK),)](
            tokens, counts, ranks, count, BLOCK=BLOCK, num_warps=4
        )
    range_kernel[(triton.cdiv(vocabulary, BLOCK),)](
        counts, counts[vocabulary:], starts, vocabulary, BLOCK=BLOCK, num_warps=4
    )
    if count > 0:
        place_kernel[(count,)](
            tokens, ranks, starts, entries, out, dim,
            SEGMENT=SEGMENT, BLOCK_D=block_d, num_warps=1,
        )
    segments = triton.cdiv(count, SEGMENT)
    row_kernel[(segments + vocabulary, triton.cdiv(dim, block_d))](
        tokens, grad_out, counts, starts, entries, out, count, dim, segments,
        SEGMENT=SEGMENT, AT_ONCE=AT_ONCE, BLOCK_D=block_d, num_warps=WARPS,
    )
    return out


class ModelNew(nn.Module):
    def __init__(self, vocabulary, dim):
        super().__init__()
        self.table = nn.Embedding(vocabulary, dim)

    def forward(self, tokens, grad_out):
        return run(tokens, self.table.weight, grad_out)
