"""Rows that several programs hold together, against torch.

The interpreter runs one program after another, so nobody could wait for another there. What each
program finds of its part does not depend on the others until they meet, so here nobody waits and
the kernel is launched once more for each meeting: then all parts are there.
"""

import re

import pytest

pytest.importorskip("triton.language", reason="the package triton is not installed")

LONG = ({"B": 2, "C": 4, "D": 330002}, {"B": 3, "C": 6, "D": 22})
ONE = ({"B": 1, "C": 4, "D": 330002}, {"B": 3, "C": 6, "D": 22})
LARGE = ({"B": 2, "C": 40, "D": 2001}, {"B": 3, "C": 6, "D": 22})

PROGRAMS = {
    "lanes": (
        {"forward": "return F.softmax(x * self.weight, -1) + y, x.amax(-1), x.argmax(-1), "
         "(x > 2.5).any(-1), F.layer_norm(x, (x.shape[-1],))",
         "init": "self.weight = nn.Parameter(torch.ones(D))",
         "inputs": ("torch.randn(B, D)", "torch.randn(B, D)")},
        LONG, [{"B": 2, "C": 3, "D": 2503}, {"B": 3, "C": 1, "D": 5}]),
    "a_single_row": (
        {"forward": "return x / x.norm() + (x - x.mean()).std(), x.argmin()"},
        ONE, [{"B": 2, "C": 3, "D": 2503}]),
    "depths": (
        {"forward": "return self.norm(x), x.amax((1, 2, 3))",
         "init": "self.norm = nn.GroupNorm(2, C)", "inputs": ("torch.randn(B, C, D, 4)",)},
        LARGE, [{"B": 3, "C": 6, "D": 13}, {"B": 2, "C": 10, "D": 301}]),
}  # fmt: skip


def without_waiting(text):
    """`text` for programs that run one after another."""
    text = text.replace("x.device.type == 'cuda'", "True")
    waits = re.compile(r"def kw_meet\(.*?\n\n", re.DOTALL)
    text = waits.sub("def kw_meet(mark, parts):\n    tl.atomic_add(mark, 1)\n\n", text)
    launch = re.compile(r"( +kw_clear\[.*\n +kw_stage\w+_together\[.*\n)")
    # Three meetings at most.
    return launch.sub(lambda found: found[1] * 4, text)


@pytest.fixture(scope="module")
def runs(tracing, make_file, triton_runs):
    found = triton_runs()
    for name, (parts, sizes, at) in PROGRAMS.items():
        studied = tracing(make_file(**parts), sizes)
        found.add(name, studied, at, change=without_waiting, BLOCK=256, PROGRAMS=12)
    found.run(TRITON_INTERPRET="1")
    return found


@pytest.mark.parametrize("name", PROGRAMS)
def test_rows_held_together_agree_with_torch(name, runs):
    assert "_together[" in runs.texts[name][0]
    runs.check(name)


def test_the_first_guess_is_for_rows_held_together_however_many_there_are(tracing, make_file):
    studied = tracing(
        make_file("return F.softmax(x, -1)"),
        ({"B": 300, "C": 4, "D": 70002}, {"B": 3, "C": 6, "D": 22}),
    )
    first = studied.candidates("triton")[0]
    assert "_together[" in first.source.text
    assert {t.name: t.default for t in first.tunables} == {"BLOCK": 8192, "NUM_WARPS": 4}


def test_rows_of_more_parts_than_a_device_has_room_for_are_walked(tracing, make_file):
    studied = tracing(
        make_file("return F.softmax(x, -1)"),
        ({"B": 2, "C": 4, "D": 64 * 8192 + 1}, {"B": 3, "C": 6, "D": 22}),
    )
    texts = [c.source.text for c in studied.candidates("triton")]
    assert texts
    assert not any("_together[" in text for text in texts)
