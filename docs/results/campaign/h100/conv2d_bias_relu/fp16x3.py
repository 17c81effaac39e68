"""A two-dimensional convolution with a bias and a ReLU on float16 tensor cores at float32's accuracy.

Every image, and the weights of every output channel, are scaled by a power of two so that their largest
value is near the top of float16. Each value is then the sum of two float16 halves of 11 bits each: the error
is below 2^-22 of the value (and for values that are 2^-17 of the largest or less, below 2^-40 of that
largest). A kernel writes the halves of the images, channels last and with a border of zeros, another those
of the weights, by taps. The convolution is then a product of matrices that are never formed, without a mask:
a tap is a shift of all positions. Three products of halves matter (low by low is below 2^-22 of the whole),
and the scales are taken off exactly at the end. Tensor cores cut the ends off where they add, so sums
over one block of channels are added to the whole in float32, rounded.
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
# tunable: STAGES = 3 in {2, 3, 4}
STAGES = 3
# Channels are padded to a multiple of this, and output channels to one of OUT_PAD.
PAD = 64
OUT_PAD = 128
SPLIT_POSITIONS = 64
SPLIT_BLOCK = 1024
# In so many parts the largest value of an image is looked for.
PARTS = 32


@triton.jit
def power_of_two(exponent):
    """2 to an `exponent` from -126 to 127, from its bits."""
    return ((exponent + 127) << 23).to(tl.float32, bitcast=True)


@triton.jit
def scaled(x, exponent):
    """`x` times 2^`exponent`, in two steps, since the power alone may be out of range."""
    half = exponent >> 1
    return x * power_of_two(half) * power_of_two(exponent - half)


@triton.jit
def exponent_for(peak):
    """The power of two that takes `peak` to between 2^14 and 2^15; float16 ends at 2^16."""
    biased = (peak.to(tl.int32, bitcast=True) >> 23) & 0xFF
    return tl.minimum(127 + 14 - biased, 126)


@triton.jit
def halves_of(x):
    """Two float16 whose sum is `x` to 22 bits. The difference is exact."""
    high = x.to(tl.float16)
    return high, (x - high.to(tl.float32)).to(tl.float16)


@triton.jit
def peaks_kernel(x_ptr, out_ptr, count, part, BLOCK: tl.constexpr):
    """The largest size in each part of each image of `count` values."""
    image = tl.program_id(1).to(tl.int64)
    first = tl.program_id(0) * part
    last = tl.minimum(first + part, count)
    peaks = tl.zeros((BLOCK,), dtype=tl.float32)
    for start in range(first, last, BLOCK):
        at = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + image * count + at, mask=at < last, other=0.0)
        peaks = tl.maximum(peaks, tl.abs(x))
    tl.store(out_ptr + image * tl.num_programs(0) + tl.program_id(0), tl.max(peaks, 0))


@triton.jit
def split_images_kernel(
    x_ptr, peaks_ptr, out_ptr, channels, height, width, border_y, border_x, blocks,
    padded_channels, plane,
    PARTS: tl.constexpr, POSITIONS: tl.constexpr, CHANNELS: tl.constexpr,
):
    """The halves of images [channels, height, width] as [bordered height, bordered width, channels]."""
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
    peak = tl.max(tl.load(peaks_ptr + image * PARTS + tl.arange(0, PARTS)), 0)
    high, low = halves_of(scaled(values.T, exponent_for(peak)))
    outs = out_ptr + (image * positions + p)[:, None] * padded_channels + c[None, :]
    step = plane.to(tl.int64)
    written = (p < positions)[:, None]
    tl.store(outs, high, mask=written)
    tl.store(outs + step, low, mask=written)


@triton.jit
def split_weights_kernel(
    weight_ptr, out_ptr, exponent_ptr, out_channels, channels, taps, padded_channels, plane,
    BLOCK: tl.constexpr,
):
    """The halves of one output channel's weights [channels in, taps] as [taps, channels in]."""
    o = tl.program_id(0).to(tl.int64)
    # A channel beyond the end has no weights: only zeros are written.
    own_channels = tl.where(o < out_channels, channels, 0)
    count = own_channels * taps
    weight_ptr += o * channels * taps
    peaks = tl.zeros((BLOCK,), dtype=tl.float32)
    for start in range(0, count, BLOCK):
        at = start + tl.arange(0, BLOCK)
        peaks = tl.maximum(peaks, tl.abs(tl.load(weight_ptr + at, mask=at < count, other=0.0)))
    exponent = exponent_for(tl.max(peaks, 0))
    tl.store(exponent_ptr + o, exponent)
    padded_count = taps * padded_channels
    for start in range(0, padded_count, BLOCK):
        at = start + tl.arange(0, BLOCK)
        c = at % padded_channels
        tap = at // padded_channels
        inside = (c < own_channels) & (at < padded_count)
        weight = tl.load(weight_ptr + c * taps + tap, mask=inside, other=0.0)
        high, low = halves_of(scaled(weight, exponent))
        outs = out_ptr + o * padded_count + at
        tl.store(outs, high, mask=at < padded_count)
        tl.store(outs + tl.cast(plane, tl.int64), low, mask=at < padded_count)


@triton.jit
def conv_kernel(
    weight_ptr, x_ptr, exponent_ptr, peaks_ptr, bias_ptr, out_ptr, out_channels, out_height, out_width,
    positions, wide, side_x, taps, padded_channels, blocks_p, weight_plane, x_plane,
    PARTS: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
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
        a_low = tl.load(a_now + a_step)
        b_high = tl.load(b_now)
        b_low = tl.load(b_now + b_step)
        part = tl.dot(a_low, b_high)
        part = tl.dot(a_high, b_low, part)
        part = tl.dot(a_high, b_high, part)
        total += part

    peak = tl.max(tl.load(peaks_ptr + image * PARTS + tl.arange(0, PARTS)), 0)
    exponents = tl.load(exponent_ptr + m)[:, None] + exponent_for(peak)
    total = scaled(total, -exponents)
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
    halves = {"device": x.device, "dtype": torch.float16}
    images = torch.empty((2, batch, positions, padded_channels), **halves)
    weights = torch.empty((2, padded_out, taps, padded_channels), **halves)
    exponents = torch.empty((padded_out,), device=x.device, dtype=torch.int32)
    peaks = torch.empty((batch, PARTS), device=x.device, dtype=x.dtype)
    count = channels * height * width
    peaks_kernel[(PARTS, batch)](
        x, peaks, count, triton.cdiv(count, PARTS), BLOCK=SPLIT_BLOCK
    )
    x_plane, weight_plane = images[0].numel(), weights[0].numel()
    if padded_channels > 0:
        blocks = triton.cdiv(positions, SPLIT_POSITIONS)
        split_images_kernel[(batch * blocks, padded_channels // PAD)](
            x, peaks, images, channels, height, width, border_y, border_x, blocks,
            padded_channels, x_plane, PARTS=PARTS, POSITIONS=SPLIT_POSITIONS, CHANNELS=PAD,
        )
    # Without channels this still says that all are zero.
    split_weights_kernel[(padded_out,)](
        weight, weights, exponents, out_channels, channels, taps, padded_channels,
        weight_plane, BLOCK=SPLIT_BLOCK,
    )
    blocks_p = triton.cdiv(out_height * out_width, BLOCK_N)
    conv_kernel[(batch * blocks_p, triton.cdiv(out_channels, BLOCK_M))](
        weights, images, exponents, peaks, bias, out, out_channels, out_height,
        out_width, positions, wide, side, taps, padded_channels, blocks_p, weight_plane, x_plane, PARTS=PARTS,
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
