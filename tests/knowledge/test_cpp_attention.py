"""Attention as one loop nest in C++: however a program spells it, several tiles of queries and of
keys, the last of each ragged, and rows that see nothing."""

import pytest
import torch
from tests.knowledge.attentions import FILES

SIZES = ({"B": 35, "C": 150, "D": 18}, {"B": 150, "C": 35, "D": 7}, {"B": 1, "C": 1, "D": 1})
# Here the keys are the projection alone.
PROGRAMS = FILES | {
    "einsum": {
        "forward": "k = y @ self.weight\n"
        "                s = torch.einsum('bqd,bkd->bqk', x, k) / D**0.5\n"
        "                w = F.softmax(s + self.bias[None, :, :1], -1)\n"
        "                mean = torch.einsum('bqk,bkv->bqv', w, z.abs().log())\n"
        "                return F.relu(mean) + x[:, :, :1]",
        "init": "self.weight = nn.Parameter(torch.ones(D, D))\n"
        "                self.bias = nn.Parameter(torch.ones(B, C))",
        "inputs": ("torch.randn(2, B, D)", "torch.randn(2, C, D)", "torch.randn(2, C, C)"),
    },
}
SMALL = {"QUERIES": 16, "KEYS": 64, "ROWS": 6, "COLUMNS": 48}


def online(studied):
    """The draft that makes attention in one nest, and is the first."""
    candidate = studied.candidates("cpp")[0]
    assert "kw_weights(" in candidate.source.text
    return candidate


@pytest.mark.parametrize("name", PROGRAMS)
def test_attention_agrees_with_the_program_whatever_the_tiles(
    name, tracing, make_file, kernel, make_case
):
    studied = tracing(make_file(**PROGRAMS[name]), SIZES)
    cases = [make_case(studied, sizes) for sizes in SIZES]
    for settings in ({}, SMALL):
        built = kernel(online(studied).tuned(settings), studied.problem)
        for case in cases:
            built.check(case)


def test_no_scores_are_kept(tracing, make_file):
    studied = tracing(make_file(**PROGRAMS["causal"]), SIZES)
    texts = [c.source.text for c in studied.candidates("cpp")]
    assert ["kept_" in text for text in texts] == [False, True, True]


def test_one_query_is_left_to_products(tracing, make_file):
    text = make_file(**PROGRAMS["attention"]).replace("B, C, D = 7", "B, C, D = 1")
    studied = tracing(text, ({"B": 1, "C": 6, "D": 36}, {"B": 1, "C": 10, "D": 22}))
    texts = [c.source.text for c in studied.candidates("cpp")]
    assert not any("kw_weights(" in text for text in texts)


def test_nan_and_infinity_in_a_key_reach_what_they_reach_in_torch(
    tracing, make_file, kernel, make_case
):
    studied = tracing(make_file(**PROGRAMS["attention"]), SIZES)
    values = [torch.randn(2, 3, n, 18) for n in (35, 150, 150)]
    values[1][0, 0, 9, 3] = float("nan")
    values[1][0, 1, 20, 0] = float("inf")
    values[2][1, 0, 30, 2] = float("-inf")
    case = make_case(studied, SIZES[0], values)
    kernel(online(studied).tuned(SMALL), studied.problem).check(case)
