"""Programs taken apart stay right, and one changed operator is one mistake and no other."""

import pytest
import torch
import torch.nn.functional as F

from kernelwright.problems.rewriting import LargerConstant, OneReduction, Survey, rewriting


@pytest.fixture
def x():
    return torch.randn(6, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def images():
    return torch.randn(2, 4, 9, 7, generator=torch.Generator().manual_seed(2))


def _heads(images):
    return images.reshape(2, 4, 7, 9)


PROGRAMS = {
    "softmax": lambda x, _: torch.softmax(x, -1),
    "log_softmax": lambda x, _: torch.log_softmax(x, -1),
    "layer_norm": lambda x, _: F.layer_norm(x, (16,)),
    "group_norm": lambda _, i: F.group_norm(i, 2),
    "attention": lambda _, i: F.scaled_dot_product_attention(*[_heads(i)] * 3),
    "causal attention": lambda _, i: F.scaled_dot_product_attention(
        *[_heads(i)] * 3, is_causal=True
    ),
    "max pooling": lambda _, i: F.max_pool2d(i, 3, 2, 1),
    "max pooling of odd windows": lambda _, i: F.max_pool2d(i, (2, 3), (1, 2), (0, 1)),
    "average pooling": lambda _, i: F.avg_pool2d(i, 3, 2, 1),
    "average pooling without padding": lambda _, i: F.avg_pool2d(
        i, 3, 2, 1, count_include_pad=False
    ),
    "average pooling with a divisor": lambda _, i: F.avg_pool2d(i, 2, divisor_override=3),
    "pooling that rounds up": lambda _, i: F.avg_pool2d(i, 2, ceil_mode=True),
    "convolution": lambda _, i: F.conv2d(i, i[:, :, :3, :3]),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_taken_apart_gives_the_same(name, x, images):
    right = PROGRAMS[name](x, images)
    with rewriting():
        again = PROGRAMS[name](x, images)
    assert torch.allclose(right, again, rtol=1e-5, atol=1e-6)


def _survey(program):
    survey = Survey()
    with rewriting(survey):
        program()
    return survey


def test_a_survey_lists_the_reductions_inside_an_operator(x, images):
    assert _survey(lambda: torch.softmax(x, -1)).longest == [(0, "amax"), (1, "sum")]
    assert _survey(lambda: F.max_pool2d(images, 3)).reductions == [("amax", 9)]
    assert "bmm" in {n for n, _ in _survey(lambda: PROGRAMS["attention"](x, images)).reductions}
    assert _survey(lambda: x + 1).reductions == []


def test_a_survey_numbers_reductions_of_the_same_name(x):
    assert _survey(lambda: x.sum(0).sum()).longest == [(0, "sum 1"), (1, "sum 2")]


def test_a_survey_keeps_to_the_longest_reductions(x):
    survey = _survey(lambda: [x[:, :n].sum(-1) for n in range(2, 16)])
    assert [at for at, _ in survey.longest] == list(range(6, 14))


def test_a_survey_finds_small_constants_and_no_others(x):
    survey = _survey(lambda: F.layer_norm(x, (16,), eps=1e-5) * 0.5 + 3e-3)
    assert survey.constants == {1e-5, 3e-3}


def _changed(change, program):
    with rewriting(change):
        return program()


def _shorter(program, at=0):
    change = OneReduction(at, "shorter")
    return change, _changed(change, program)


def _turned(program, at=0):
    change = OneReduction(at, "turned")
    return change, _changed(change, program)


def test_a_shorter_sum_leaves_the_last_slice_out(x):
    change, found = _shorter(lambda: x.sum(-1))
    assert change.refused is None
    assert torch.allclose(found, x[:, :14].sum(-1))


def test_a_shorter_mean_still_divides_by_the_whole_length(x):
    assert torch.allclose(_shorter(lambda: x.mean(-1))[1], x[:, :14].sum(-1) / 16)


def test_a_shorter_running_sum_stops_growing(x):
    assert torch.equal(_shorter(lambda: x.cumsum(-1))[1][:, 14], x.cumsum(-1)[:, 13])


def test_a_shorter_product_drops_the_end_of_both_factors(x):
    b = x.T.contiguous()
    assert torch.allclose(_shorter(lambda: x @ b)[1], x[:, :14] @ b[:14])
    assert torch.allclose(_shorter(lambda: F.linear(x, x))[1], x[:, :14] @ b[:14])
    assert torch.allclose(_shorter(lambda: torch.mv(x, x[0]))[1], x[:, :14] @ x[0, :14])


def test_a_shorter_convolution_leaves_the_last_channel_out(images):
    weight = images[:, :, :3, :3]
    right = F.conv2d(images[:, :3], weight[:, :3])
    assert torch.allclose(_shorter(lambda: F.conv2d(images, weight))[1], right, atol=1e-5)


def test_a_shorter_scatter_leaves_the_last_values_out(x):
    index = torch.tensor([0, 0, 3, 1, 3, 5])
    rows = index[:, None].expand_as(x)
    for program in (
        lambda: torch.zeros(6, 16).scatter_add(0, rows, x),
        lambda: torch.zeros(6, 16).index_add(0, index, x),
    ):
        found = _shorter(program)[1]
        assert torch.equal(found[5], torch.zeros(16))
        assert torch.equal(found[:5], program()[:5])


def test_a_shorter_window_misses_its_last_column(images):
    found = _shorter(lambda: F.max_pool2d(images, 3, 3))[1]
    assert torch.equal(found, F.max_pool2d(images, (3, 2), 3))


def test_a_turned_sum_runs_over_the_other_axis(x):
    assert torch.equal(_turned(lambda: x.sum(-1))[1], x.sum(0)[:6])
    assert torch.equal(_turned(lambda: x.sum(0))[1], x.sum(1).repeat(3)[:16])
    assert torch.equal(_turned(lambda: x.cumsum(-1))[1], x.cumsum(0))


def test_a_turned_index_still_names_an_element(x):
    found = _turned(lambda: x.argmax(0))[1]
    assert found.shape == (16,)
    assert int(found.max()) < 6


def test_a_turned_product_reads_a_factor_with_swapped_strides(x):
    square = x[:, :6].contiguous()
    assert torch.equal(_turned(lambda: square @ square)[1], square @ square.T)


@pytest.mark.parametrize(
    ("way", "program", "reason"),
    [
        ("shorter", lambda x: x[:, :1].sum(-1), "one element"),
        ("turned", lambda x: x[0].sum(-1), "no other axis"),
        ("turned", lambda x: torch.mv(x, x[0]), "no other axis"),
        ("shorter", lambda x: x + 1, "no such operator"),
    ],
)
def test_what_cannot_be_changed_stays_and_says_why(x, way, program, reason):
    change = OneReduction(0, way)
    assert torch.equal(_changed(change, lambda: program(x)), program(x))
    assert reason in change.refused


def test_only_the_reduction_at_the_position_changes(x):
    both = lambda: (x.sum(-1), x.sum(0))  # noqa: E731
    first, second = _shorter(both, at=1)[1]
    assert torch.equal(first, x.sum(-1))
    assert not torch.equal(second, x.sum(0))


def test_a_larger_constant_is_a_hundred_times_as_large_everywhere(x):
    change = LargerConstant(1e-5)
    found = _changed(change, lambda: F.layer_norm(x, (16,), eps=1e-5))
    assert change.refused is None
    assert torch.allclose(found, F.layer_norm(x, (16,), eps=1e-3), atol=1e-6)
    other = LargerConstant(1e-6)
    _changed(other, lambda: F.layer_norm(x, (16,), eps=1e-5))
    assert other.refused is not None
