import torch
import torch.nn as nn
import triton
import triton.language as tl

# tokens of a program
# tunable: TOKENS = 32 in {16, 32, 64, 128}
TOKENS = 32

# warps of a program
# tunable: NUM_WARPS = 4 in {1, 2, 4, 8}
NUM_WARPS = 4

# neighbouring experts that lie across threads; further ones lie in the same thread's registers,
# so that few shuffles find a token's best
# tunable: LANES = 32 in {16, 32, 64}
LANES = 32


@triton.jit
def first_best(x, expert):
    """The largest of each token and its first expert, as [1, tokens, 1]."""
    best = tl.max(tl.max(x, axis=0, keep_dims=True), axis=2, keep_dims=True)
    where = tl.where(x == best, expert, 0x7FFFFFFF)
    return best, tl.min(tl.min(where, axis=0, keep_dims=True), axis=2, keep_dims=True)


@triton.jit
def routing_kernel(
    logits_ptr, shares_ptr, chosen_ptr, tokens, experts, TOKENS: tl.constexpr,
    DEPTH: tl.constexpr, LANES: tl.constexpr,
):
    token = tl.program_id(0).to(tl.int64) * TOKENS + tl.arange(0, TOKENS)[None, :, None]
    expert = tl.arange(0, DEPTH)[:, None, None] * LANES + tl.arange(0, LANES)[None, None, :]
    token_in = token < tokens
    mask = token_in & (expert < experts)
    x = tl.load(logits_ptr + token * experts + expert, mask=mask, other=-float("inf"))
    first, first_expert = first_best(x, expert)
    x = tl.where(expert == first_expert, -float("inf"), x)
    second, second_expert = first_best(x, expert)

    # The softmax's sum is in both shares and falls out of them.
    ratio = tl.exp(second - first)
    share = 1.0 / (1.0 + ratio)
    place = tl.arange(0, 2)[None, None, :]
    out = token * 2 + place
    tl.store(shares_ptr + out, tl.where(place == 0, share, ratio * share), mask=token_in)
    # Where nothing but -inf is left, the program finds it at the first place.
    second_expert = tl.where(second == -float("inf"), 0, second_expert)
    chosen = tl.where(place == 0, first_expert, second_expert)
    tl.store(chosen_ptr + out, chosen.to(tl.int64), mask=token_in)


def run(logits):
    logits = logits.contiguous()
    tokens, experts = logits.shape
    shares = torch.empty((tokens, 2), device=logits.device, dtype=logits.dtype)
    chosen = torch.empty((tokens, 2), device=logits.device, dtype=torch.int64)
    if tokens > 0:
        depth = triton.next_power_of_2(triton.cdiv(experts, LANES))
        # Of many experts fewer tokens fit into registers.
        held = max(1, min(TOKENS, 8192 // (depth * LANES)))
        routing_kernel[(triton.cdiv(tokens, held),)](
            logits, shares, chosen, tokens, experts, TOKENS=held, DEPTH=depth, LANES=LANES,
            num_warps=NUM_WARPS,
        )
    return shares, chosen


class ModelNew(nn.Module):
    def __init__(self, experts):
        super().__init__()

    def forward(self, logits):
        return run(logits)
