import torch
import torch.nn as nn
import triton
import triton.language as tl

# elements of a program
# tunable: BLOCK = 1024 in {512, 1024, 2048, 4096}
BLOCK = 1024

# warps of a program
# tunable: NUM_WARPS = 4 in {2, 4, 8}
NUM_WARPS = 4


@triton.jit
def adamw_kernel(
    param_ptr, grad_ptr, avg_ptr, sq_ptr, out_ptr, avg_out_ptr, sq_out_ptr, count, beta1, rest1,
    beta2, rest2, inverse2, eps, kept, rate, BLOCK: tl.constexpr,
):
    offsets = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < count
    grad = tl.load(grad_ptr + offsets, mask=mask, eviction_policy="evict_first")
    avg = tl.load(avg_ptr + offsets, mask=mask, eviction_policy="evict_first")
    sq = tl.load(sq_ptr + offsets, mask=mask, eviction_policy="evict_first")
    param = tl.load(param_ptr + offsets, mask=mask, eviction_policy="evict_first")
    avg = beta1 * avg + rest1 * grad
    sq = beta2 * sq + rest2 * grad * grad
    spread = tl.sqrt_rn(sq * inverse2) + eps
    out = param * kept - rate * avg / spread
    tl.store(out_ptr + offsets, out, mask=mask)
    tl.store(avg_out_ptr + offsets, avg, mask=mask)
    tl.store(sq_out_ptr + offsets, sq, mask=mask)


class ModelNew(nn.Module):
    def __init__(self, step):
        super().__init__()
        self.rate, self.decay, self.eps = 1e-1, 1e-2, 1e-3
        self.beta1, self.beta2 = 0.9, 0.999
        self.correction1 = 1 - self.beta1**step
        self.correction2 = 1 - self.beta2**step

    def forward(self, param, grad, exp_avg, exp_avg_sq):
        param, grad = param.contiguous(), grad.contiguous()
        exp_avg, exp_avg_sq = exp_avg.contiguous(), exp_avg_sq.contiguous()
        out, avg, sq = (torch.empty_like(param) for _ in range(3))
        count = param.numel()
        if count > 0:
            adamw_kernel[(triton.cdiv(count, BLOCK),)](
                param, grad, exp_avg, exp_avg_sq, out, avg, sq, count, self.beta1,
                1 - self.beta1, self.beta2, 1 - self.beta2, 1 / self.correction2, self.eps,
                1 - self.rate * self.decay, self.rate / self.correction1, BLOCK=BLOCK,
                num_warps=NUM_WARPS,
            )
        return out, avg, sq
