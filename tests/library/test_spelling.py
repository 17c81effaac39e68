"""Programs that compute the same in other words have one key, and others have another."""

import pytest

WEIGHT = "self.weight = nn.Parameter(torch.ones(D))"
TWO = "self.weight, self.bias = nn.Parameter(torch.ones(D)), nn.Parameter(torch.ones(D))"
LINEAR = "self.fc = nn.Linear(D, C)"
X3 = ("torch.randn(B, C, D)",)
XY = ("torch.randn(B, D)", "torch.randn(B, D)")
XW = ("torch.randn(B, D)", "torch.randn(D)")
WX = ("torch.randn(D)", "torch.randn(B, D)")
HALF = ("torch.randn(B, D).half()",)
QKV = ("torch.randn(B, C, D, 8)",) * 3


def said(forward, init="pass", inputs=("torch.randn(B, D)",), names="xyzuvw"):
    return forward, init, inputs, names


RMSNORM = said(
    "return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight", WEIGHT
)
SOFTMAX = said("return F.softmax(x, -1)")
ATTENTION = said("return F.scaled_dot_product_attention(x, y, z, is_causal=True)", inputs=QKV)

EQUAL = {
    "rmsnorm, written out": (
        RMSNORM,
        said(
            "s = (x * x).sum(1, keepdim=True) / x.shape[1]\n"
            "                return self.scale * (x / torch.sqrt(s + 1e-5))",
            "self.scale = nn.Parameter(torch.ones(D))",
        ),
        said(
            "v = x.square().mean(-1).add(1e-5).sqrt().reciprocal()\n"
            "                return (self.weight * x) * v[:, None]",
            WEIGHT,
        ),
    ),
    "rmsnorm, by torch": (
        RMSNORM,
        said("return F.rms_norm(x, (x.shape[-1],), self.weight, 1e-6)", WEIGHT),
    ),
    "rmsnorm, its weight given": (
        RMSNORM,
        said("return F.rms_norm(x, x.shape[1:], y, 1e-6)", inputs=XW),
    ),
    "rmsnorm, its inputs the other way round": (
        RMSNORM,
        said("return F.rms_norm(y, y.shape[1:], x, 1e-6)", inputs=WX),
    ),
    "rmsnorm, in more dimensions": (
        RMSNORM,
        said("return F.rms_norm(x, (x.shape[-1],), self.weight, 1e-6)", WEIGHT, X3),
    ),
    "rmsnorm, with operators that do nothing": (
        RMSNORM,
        said(
            "h = x.contiguous().float().detach().view(-1, x.shape[-1])\n"
            "                h = F.rms_norm(h, (x.shape[-1],), self.weight, 1e-6)\n"
            "                return h.reshape(x.shape).to(x.dtype).clone()",
            WEIGHT,
            X3,
        ),
    ),
    "layernorm": (
        said("return F.layer_norm(x, (x.shape[-1],), self.weight, self.bias)", TWO),
        said(
            "m = x.mean(-1, keepdim=True)\n"
            "                v = ((x - m) ** 2).mean(-1, keepdim=True)\n"
            "                return self.bias + (x - m) / (v + 1e-5).sqrt() * self.weight",
            TWO,
        ),
        said(
            "v = torch.var(x, 1, unbiased=False, keepdim=True)\n"
            "                x = x - x.mean(1, True)\n"
            "                return x * (v + 1e-4).rsqrt() * self.weight + self.bias",
            TWO,
        ),
    ),
    "softmax": (
        SOFTMAX,
        said(
            "e = torch.exp(x - x.max(-1, keepdim=True).values)\n"
            "                return e / e.sum(-1, keepdim=True)"
        ),
        said(
            "m = x.amax(1)[:, None]\n"
            "                return (-m + x).exp() * (x - m).exp().sum(1).reciprocal().unsqueeze(1)"
        ),
    ),
    "softmax, in more dimensions": (SOFTMAX, said("return x.softmax(dim=2)", inputs=X3)),
    "silu": (
        said("return F.silu(x)"),
        said("return torch.sigmoid(x) * x"),
        said("return x / (1 + torch.exp(-x))"),
        said("return F.silu(x)", inputs=X3),
    ),
    "relu": (
        said("return F.relu(x)"),
        said("return x.clamp(min=0)"),
        said("return torch.maximum(torch.zeros_like(x), x)"),
    ),
    "gelu": (
        said("return F.gelu(x)"),
        said("return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))"),
    ),
    "swiglu": (
        said("return F.silu(x) * y", inputs=XY),
        said("return x * (y * y.sigmoid())", inputs=XY),
    ),
    "linear": (
        said("return F.relu(self.fc(x))", LINEAR),
        said("return (x @ self.fc.weight.T + self.fc.bias).clamp_min(0)", LINEAR),
        said(
            "return torch.relu(torch.einsum('bd,cd->bc', x, self.fc.weight) + self.fc.bias)", LINEAR
        ),
    ),
    "linear, in more dimensions": (
        said("return self.fc(x)", LINEAR),
        said("return self.fc(x)", LINEAR, X3),
    ),
    "sum over all": (
        said("return x.sum()"),
        said("return x.sum(0).sum()"),
        said("return x.sum()", inputs=X3),
    ),
    "cumsum": (said("return x.cumsum(-1)"), said("return torch.cumsum(x, 2)", inputs=X3)),
    "causal attention": (
        ATTENTION,
        said(
            "s = x @ y.transpose(-1, -2) / math.sqrt(x.shape[-1])\n"
            "                m = torch.ones(s.shape[-2:], dtype=torch.bool).tril()\n"
            "                return s.masked_fill(~m, float('-inf')).softmax(-1) @ z",
            inputs=QKV,
        ),
        said(
            "s = (z @ y.mT) * y.shape[-1] ** -0.5\n"
            "                m = torch.full(s.shape[-2:], float('-inf')).triu(1)\n"
            "                return (s + m).softmax(-1) @ x",
            inputs=QKV,
        ),
    ),
    "two outputs, the other way round": (
        said("return x.sum(-1), x.amax(-1)"),
        said("return x.max(1).values, x.sum(1)"),
    ),
}

UNEQUAL = {
    "another axis": (SOFTMAX, said("return F.softmax(x, 0)")),
    "another axis of a sum": (said("return x.sum(0)"), said("return x.sum(1)")),
    "epsilon outside of the root": (
        RMSNORM,
        said("return x / ((x * x).mean(-1, keepdim=True).sqrt() + 1e-6) * self.weight", WEIGHT),
    ),
    "another dtype": (
        SOFTMAX,
        said("return F.softmax(x, -1)", inputs=("torch.randn(B, D).double()",)),
    ),
    "half precision": (said("return x * x + x"), said("return x * x + x", inputs=HALF)),
    "computed in single precision and not in half": (
        said("return x * x + x", inputs=HALF),
        said("h = x.float()\n                return (h * h + h).half()", inputs=HALF),
    ),
    "accumulated in double precision": (
        said("return x.sum(-1)"),
        said("return x.double().sum(-1).float()"),
    ),
    "rounded to whole numbers": (said("return x * 2"), said("return (x * 2).round()")),
    "a sum and a mean": (said("return x.sum(-1)"), said("return x.mean(-1)")),
    "causal and not": (
        ATTENTION,
        said("return F.scaled_dot_product_attention(x, y, z)", inputs=QKV),
    ),
    "a comparison the other way round": (
        said("return torch.where(x > 0, x, 0.1 * x)"),
        said("return torch.where(x < 0, x, 0.1 * x)"),
    ),
    "a comparison with equality": (
        said("return torch.where(x > y, x, 0.1 * y)", inputs=XY),
        said("return torch.where(x >= y, x, 0.1 * y)", inputs=XY),
    ),
    "a mask of one more": (
        said("return x.tril()", inputs=("torch.randn(D, D)",)),
        said("return x.tril(-1)", inputs=("torch.randn(D, D)",)),
    ),
    "an operand transposed": (
        said("return x @ y", inputs=("torch.randn(D, D)", "torch.randn(D, D)")),
        said("return x @ y.T", inputs=("torch.randn(D, D)", "torch.randn(D, D)")),
    ),
    "a result transposed": (said("return x * 2"), said("return (x * 2).T.contiguous()")),
    "a softmax without its maximum": (
        SOFTMAX,
        said("return x.exp() / x.exp().sum(-1, keepdim=True)"),
    ),
    "a variance with a correction": (
        said("return x.var(-1)"),
        said("return x.var(-1, unbiased=False)"),
    ),
    "a maximum and a minimum": (said("return x.amax(-1)"), said("return x.amin(-1)")),
    "a sum of squares and the square of a sum": (
        said("return (x * x).sum(-1)"),
        said("return x.sum(-1) * x.sum(-1)"),
    ),
    "a part of a tensor": (said("return x * 2"), said("return x[:, 1:] * 2")),
    "one input twice": (said("return x * y", inputs=XY), said("return x * x", inputs=XY)),
    "a difference the other way round": (
        said("return torch.exp(x) - y", inputs=XY),
        said("return y - torch.exp(x)", inputs=XY),
    ),
    "another order of rounding": (
        said("return (x * y).half().float() + x", inputs=XY),
        said("return x * y + x", inputs=XY),
    ),
    "a power of three": (said("return x ** 2"), said("return x ** 3")),
    "a cumulative product": (said("return x.cumsum(-1)"), said("return x.cumprod(-1)")),
    "the largest and the smallest few": (
        said("return x.topk(4).values"),
        said("return x.topk(4, largest=False).values"),
    ),
    "another number of the largest": (
        said("return x.topk(4).values"),
        said("return x.topk(5).values"),
    ),
    "a weight that goes along the other axis": (
        said("return x * y", inputs=("torch.randn(D, D)", "torch.randn(D)")),
        said("return x * y[:, None]", inputs=("torch.randn(D, D)", "torch.randn(D)")),
    ),
}

# Tracing takes most of the time; these stand for the others where that counts.
FEW = (
    "rmsnorm, written out", "rmsnorm, its inputs the other way round", "linear",
    "softmax, in more dimensions", "two outputs, the other way round",
)  # fmt: skip
FEW_OTHERS = (
    "another axis", "epsilon outside of the root", "another dtype", "a sum and a mean",
    "a comparison the other way round", "an operand transposed", "accumulated in double precision",
)  # fmt: skip


def some(cases, few):
    return [pytest.param(n, marks=() if n in few else pytest.mark.slow, id=n) for n in cases]


@pytest.mark.parametrize("name", some(EQUAL, FEW))
def test_what_is_spelled_otherwise_has_the_same_key(name, form):
    first, *others = (form(*each) for each in EQUAL[name])
    for other in others:
        assert other.text == first.text
        assert other.key == first.key


@pytest.mark.parametrize("name", some(UNEQUAL, FEW_OTHERS))
def test_what_is_computed_otherwise_has_another_key(name, form):
    first, other = (form(*each) for each in UNEQUAL[name])
    assert first.key != other.key
