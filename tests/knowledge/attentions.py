"""Programs with attention in them, as `make_file` takes them, for sketches in every language."""

QUERIES, KEYS = "torch.randn(2, 3, B, D)", "torch.randn(2, 3, C, D)"
OWN = ("torch.randn(2, B, D)",) * 3
TRIANGLE = "torch.ones(x.shape[1], y.shape[1], dtype=torch.bool).tril({})"
FILES = {
    "attention": {
        "forward": "return F.scaled_dot_product_attention(x, y, z)",
        "inputs": (QUERIES, KEYS, KEYS),
    },
    "causal": {
        "forward": "return F.scaled_dot_product_attention(x, y, z, is_causal=True)",
        "inputs": (QUERIES, KEYS, KEYS),
    },
    "groups": {
        "forward": "return F.scaled_dot_product_attention("
        "x, y, z, is_causal=True, enable_gqa=True)",
        "inputs": ("torch.randn(2, 6, B, D)", "torch.randn(2, 2, B, D)", "torch.randn(2, 2, B, D)"),
    },
    "halves": {
        "forward": "return F.scaled_dot_product_attention(x, y, z)",
        "inputs": tuple(f"{each}.half()" for each in (QUERIES, KEYS, KEYS)),
    },
    # A layer around it: a projection of the keys, a bias on the scores, values of another size.
    # What is made of the zeros beside keys and values is infinite.
    "einsum": {
        "forward": "k = (y @ self.weight).abs().log()\n"
        "                s = torch.einsum('bqd,bkd->bqk', x, k) / D**0.5\n"
        "                w = F.softmax(s + self.bias[None, :, :1], -1)\n"
        "                mean = torch.einsum('bqk,bkv->bqv', w, z.abs().log())\n"
        "                return F.relu(mean) + x[:, :, :1]",
        "init": "self.weight = nn.Parameter(torch.ones(D, D))\n"
        "                self.bias = nn.Parameter(torch.ones(B, C))",
        "inputs": ("torch.randn(2, B, D)", "torch.randn(2, C, D)", "torch.randn(2, C, C)"),
    },
    "an_added_mask": {
        "forward": "return F.scaled_dot_product_attention(x, y, y, attn_mask=z)",
        "inputs": (
            "torch.randn(2, B, D)",
            "torch.randn(2, C, D)",
            "torch.where((torch.arange(B) % 3 == 0)[:, None], float('-inf'), torch.randn(B, C))",
        ),
    },
    # The first row sees nothing, and is NaN.
    "a_triangle": {
        "forward": f"m = {TRIANGLE.format(-1)}\n"
        "                s = (x @ y.transpose(1, 2)).masked_fill(~m, float('-inf'))\n"
        "                return torch.softmax(s * 0.3, -1) @ z",
        "inputs": OWN,
    },
    # Queries see three keys ahead of their own place.
    "a_higher_triangle": {
        "forward": f"m = {TRIANGLE.format(3)}\n"
        "                s = torch.where(m, x @ y.transpose(1, 2), float('-inf'))\n"
        "                return torch.softmax(s, -1) @ z, s.amax(-1)",
        "inputs": OWN,
    },
}  # fmt: skip
