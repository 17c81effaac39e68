"""A two-dimensional convolution with a bias and a ReLU on bfloat16 tensor cores at float32's accuracy.

Every float32 is the sum of three bfloat16 pieces of 8 bits each. A first kernel writes the pieces of the
images, channels last and with a border of zeros, another those of the weights, by taps. The convolution is
then a product of matrices that are never formed, without a mask: a tap is a shift of all positions. The
products of pieces whose size matters to float32 are six (the three left out are below 2^-24 of the whole).
Tensor cores cut the ends off where they add, so sums
over one block of the inner dimension are added to the whole in float32, rounded.
"""

import torch
import torch.nn as nn
import triton
import triton.language as tl

# tunable: BLOCK_M = 128 in {64, 128}
BLOCK_M = 128
# tunable: BLOCK_N = 128 in {64, 128}
BLOCK_N = 128
# tunable: BLOCK_K = 64 in {32, 64}
BLOCK_K = 64
# tunable: WARPS = 8 in {4, 8}
WARPS = 8
# tunable: STAGES = 2 in {2, 3, 4}
STAGES = 2
# Channels are padded to a multiple of this, and output channels to one of OUT_PAD.
PAD = 64
OUT_PAD = 256
SPLIT_POSITIONS = 64
SPLIT_BLOCK = 1024


@triton.jit
def pieces_of(x):
    """Three bfloat16 whose sum is `x` to 24 bits. The differences are exact."""
    high = x.to(tl.bfloat16)
    rest = x - high.to(tl.float32)
    middle = rest.to(tl.bfloat16)
    low = (rest - middle.to(tl.float32)).to(tl.bfloat16)
    return high, middle, low


@triton.jit
def split_images_kernel(
    x_ptr, out_ptr, channels, height, width, border_y, border_x, blocks, padded_channels, plane,
    POSITIONS: tl.constexpr, CHANNELS: tl.constexpr,
):
    """The pieces of images [channels, height, width] as [bordered height, bordered width, channels]."""
    image = (tl.program_id(0) // blocks).to(tl.int64)
    p = tl.program_id(0) % blocks * POSITIONS + tl.arange(0, POSITIONS)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    wide = width + 2 * border_x
    positions = (height + 2 * border_y) * wide
    y = p // wide - border_y
    x = p % wide - border_x
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    places = (image * channels + c)[:, None] * (height * width) + (y * width + x)[None, :]
    values = tl.load(
        x_ptr + places, mask=(c < channels)[:, None] & inside[None, :], other=0.0
    )
    high, middle, low = pieces_of(values.T)
    outs = out_ptr + (image * positions + p)[:, None] * padded_channels + c[None, :]
    step = plane.to(tl.int64)
    written = (p < positions)[:, None]
    tl.store(outs, high, mask=written)
    tl.store(outs + step, middle, mask=written)
    tl.store(outs + 2 * step, low, mask=written)


@triton.jit
def split_weights_kernel(
    weight_ptr, out_ptr, out_channels, channels, taps, padded_channels, plane, BLOCK: tl.constexpr
):
    """The pieces of weights [channels out, channels in, taps] as [channels out, taps, channels in]."""
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    c = index % padded_channels
    tap = index // padded_channels % taps
    o = index // padded_channels // taps
    weight = tl.load(
        weight_ptr + (o * channels + c) * taps + tap,
        mask=(c < channels) & (o < out_channels), other=0.0,
    )
    high, middle, low = pieces_of(weight)
    step = plane.to(tl.int64)
    tl.store(out_ptr + index, high, mask=index < plane)
    tl.store(out_ptr + step + index, middle, mask=index < plane)
    tl.store(out_ptr + 2 * step + index, low, mask=index < plane)


@triton.jit
def conv_kernel(
    weight_ptr, x_ptr, bias_ptr, out_ptr, out_channels, out_height, out_width, positions, wide,
    side_x, taps, padded_channels, blocks_p, weight_plane, x_plane,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):
    image = (tl.program_id(0) // blocks_p).to(tl.int64)
    n = tl.program_id(0) % blocks_p * BLOCK_N + tl.arange(0, BLOCK_N)
    m = tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M)
    k = tl.arange(0, BLOCK_K)
    out_size = out_height * out_width
    # Positions beyond the end read the last one again and are not stored.
    read = tl.minimum(n, out_size - 1)
    corner = read // out_width * wide + read % out_width
    a_ptrs = weight_ptr + m[:, None] * (taps * padded_channels) + k[None, :]
    b_ptrs = x_ptr + image * positions * padded_channels + corner[None, :] * padded_channels
    b_ptrs += k[:, None]
    a_step = tl.cast(weight_plane, tl.int64)
    b_step = tl.cast(x_plane, tl.int64)
    blocks_c = padded_channels // BLOCK_K
    steps = taps * blocks_c
    total = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for step in range(steps):
        tap = step // blocks_c
        shift = (tap // side_x * wide + tap % side_x) * padded_channels
        shift += step % blocks_c * BLOCK_K
        a_now = a_ptrs + step * (BLOCK_K)
        b_now = b_ptrs + shift
        a_high = tl.load(a_now)
        a_middle = tl.load(a_now + a_step)
        a_low = tl.load(a_now + 2 * a_step)
        b_high = tl.load(b_now)
        b_middle = tl.load(b_now + b_step)
        b_low = tl.load(b_now + 2 * b_step)
        part = tl.dot(a_low, b_high)
        part = tl.dot(a_high, b_low, part)
        part = tl.dot(a_middle, b_middle, part)
        part = tl.dot(a_middle, b_high, part)
        part = tl.dot(a_high, b_middle, part)
        part = tl.dot(a_high, b_high, part)
        total += part

    bias = tl.load(bias_ptr + m, mask=m < out_channels, other=0.0)
    total += bias[:, None]
    # Written so that a NaN stays one.
    total = tl.where(total < 0.0, 0.0, total)
    out_ptrs = out_ptr + (image * out_channels + m)[:, None] * out_size + n[None, :]
    tl.store(out_ptrs, total, mask=(m < out_channels)[:, None] & (n < out_size)[None, :])


def run(x, weight, bias):
    x = x.contiguous()
    out_channels, channels, side = weight.shape[:3]
    batch, _, height, width = x.shape
    border_y = border_x = side // 2
    taps = side * side
    # An even kernel, padded by half of it, makes outputs one longer.
    out_height, out_width = height + 1 - side % 2, width + 1 - side % 2
    out_shape = (batch, out_channels, out_height, out_width)
    out = torch.empty(out_shape, device=x.device, dtype=x.dtype)
    if out.numel() == 0:
        return out
    padded_channels = triton.cdiv(channels, PAD) * PAD
    padded_out = triton.cdiv(out_channels, OUT_PAD) * OUT_PAD
    wide = width + 2 * border_x
    positions = (height + 2 * border_y) * wide
    pieces = {"device": x.device, "dtype": torch.bfloat16}
    images = torch.empty((3, batch, positions, padded_channels), **pieces)
    weights = torch.empty((3, padded_out, taps, padded_channels), **pieces)
    x_plane, weight_plane = images[0].numel(), weights[0].numel()
    if padded_channels > 0:
        blocks = triton.cdiv(positions, SPLIT_POSITIONS)
        split_images_kernel[(batch * blocks, padded_channels // PAD)](
            x, images, channels, height, width, border_y, border_x, blocks, padded_channels,
            x_plane, POSITIONS=SPLIT_POSITIONS, CHANNELS=PAD,
        )
        split_weights_kernel[(triton.cdiv(weight_plane, SPLIT_BLOCK),)](
            weight, weights, out_channels, channels, taps, padded_channels, weight_plane,
            BLOCK=SPLIT_BLOCK,
        )
    blocks_p = triton.cdiv(out_height * out_width, BLOCK_N)
    conv_kernel[(batch * blocks_p, triton.cdiv(out_channels, BLOCK_M))](
        weights, images, bias, out, out_channels, out_height, out_width, positions,
        wide, side, taps, padded_channels, blocks_p, weight_plane, x_plane,
        BLOCK_M=BLOCK_M, BLOCK_N=BLOCK_N, BLOCK_K=BLOCK_K,
        num_warps=WARPS, num_stages=STAGES,
    )
    return out


class ModelNew(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)

    def forward(self, x):
        return run(x, self.conv.weight, self.conv.bias)
