"""The classification: which loops a graph becomes."""

import pytest

from kernelwright.knowledge.sketches.expr import Load, walk
from kernelwright.knowledge.sketches.planner import plan


def planned(studied):
    return plan(studied.problem, studied.graph)


@pytest.mark.parametrize(
    ("name", "passes"),
    [
        ("bias_gelu", [0]),
        ("rmsnorm_silu", [1]),
        ("softmax", [2]),
        ("layer_norm", [2]),
        ("group_norm", [2]),
        ("over_the_first", [2]),
        # Rows first, then over the rows what they gave.
        ("cross_entropy", [2, 1]),
    ],
)
def test_reductions_of_the_same_rows_share_a_loop(name, passes, study):
    assert [len(s.passes) for s in planned(study(name)).stages] == passes


def test_the_mean_that_a_variance_needs_is_not_worked_out_twice(study):
    stage = planned(study("layer_norm")).stages[0]
    assert [f.kind for each in stage.passes for f in each] == ["sum", "sum"]


def test_what_one_loop_leaves_to_the_next_is_kept_in_memory(study):
    found = planned(study("cross_entropy"))
    assert len(found.temporaries) == 2
    kept = {t.name for t in found.temporaries}
    assert kept == {s.target for s in found.stages[0].stores}


def test_neighbouring_dimensions_are_one_loop(study):
    stage = planned(study("layer_norm_of_two_dimensions")).stages[0]
    assert str(stage.lane.extent) == "C * D"
    assert str(stage.depth.extent) == "1"


def test_a_weight_for_each_channel_keeps_the_channels_a_loop_of_their_own(study):
    stage = planned(study("group_norm")).stages[0]
    assert str(stage.depth.extent) == "C / 2"
    assert str(stage.lane.extent) == "4 * D"


def test_a_reduction_that_leaves_the_last_dimension_goes_down_the_columns(study):
    stages = planned(study("over_the_first")).stages
    assert [s.in_rows for s in stages] == [False]


def test_outputs_over_one_space_are_written_in_one_loop(study):
    stages = planned(study("activations")).stages
    assert [len(s.stores) for s in stages] == [13]


def test_outputs_over_spaces_of_their_own_are_not(tracing, make_file):
    stages = planned(tracing(make_file("return x * 2, x[:, 1:] + 1, x.sum(-1), x - 3"))).stages
    assert [(len(s.passes), len(s.stores)) for s in stages] == [(1, 3), (0, 1)]


def test_a_piece_of_a_concatenation_is_read_only_where_it_is(tracing, make_file):
    found = planned(tracing(make_file("return torch.cat([x, x[:, :3]], 1)")))
    values = [s.value for s in found.stages[0].stores]
    reads = [e.form for e in walk(found.lowering.maker, values) if isinstance(e.form, Load)]
    assert [r.guard is None for r in reads] == [False, False]


def test_a_short_window_is_written_out_and_a_long_one_is_a_loop_inside_of_the_row(study):
    stages = planned(study("means_of_windows")).stages
    looped = [s for s in stages if s.passes]
    assert [str(s.depth.extent) for s in looped] == ["33"]
    assert not looped[0].in_rows


def test_a_scan_and_what_is_made_of_it_are_one_loop(study):
    (stage,) = planned(study("running_sums_between")).stages
    assert (len(stage.passes), len(stage.scans), len(stage.stores)) == (3, 2, 3)


def test_a_reduction_of_running_values_is_another_loop(tracing, make_file):
    found = planned(tracing(make_file("return x.cumsum(-1).sum(-1)")))
    assert [(len(s.scans), len(s.passes)) for s in found.stages] == [(1, 0), (0, 1)]
    assert [str(t.elements) for t in found.temporaries] == ["B * D"]


def test_running_values_of_another_element_are_read_from_memory(tracing, make_file):
    found = planned(tracing(make_file("s = x.cumsum(-1); return s - s[:, -1:]")))
    assert [(len(s.scans), len(s.stores)) for s in found.stages] == [(1, 1), (0, 1)]


def test_a_scan_along_the_first_dimension_goes_down_the_columns(tracing, make_file):
    (stage,) = planned(tracing(make_file("return x.cumsum(0)"))).stages
    assert (stage.in_rows, str(stage.depth.extent), len(stage.scans)) == (False, "B", 1)


def test_a_scan_of_one_element_is_that_element(tracing, make_file):
    (stage,) = planned(tracing(make_file("return x[:, :1].cumsum(-1) + x.sum().cumsum(0)"))).stages
    assert not stage.scans
