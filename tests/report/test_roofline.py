"""The roofline in the page: what is drawn, what is not made up, and that no label hides another."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import escape

from kernelwright.core.candidate import Plan
from kernelwright.core.diagnosis import Diagnosis, Position
from kernelwright.report import roofline
from kernelwright.report.html import render
from kernelwright.report.result import result_of
from kernelwright.report.roofline_chart import Spot, apart, drawing
from kernelwright.report.story import Story
from kernelwright.store.memory import MemoryStore
from kernelwright.testing.runs import Log, candidate, passed, write_run

# The made-up winner takes 2.15 ms, and 1.29 ms into a buffer; eager 12 ms, torch.compile 5 ms.
MEMORY = {"nbytes": 20_000_000, "flops": 10_000_000, "call_ns": 1.29e6, "peak_gb_s": 20.0,
          "inputs_gb_s": 20.0, "peak_gflops": 200.0}  # fmt: skip
COMPUTE = MEMORY | {"nbytes": 10_000_000, "flops": 215_000_000}
BYTES = MEMORY | {"flops": 0}


def store_with(profile):
    store = MemoryStore()
    write_run(store, profile=profile)
    return store


def story_at(values):
    at = Position(**values)
    profile = Diagnosis(bottleneck="memory_bound", headroom=at.headroom, position=at)
    return Story.of(store_with(profile).records())


def page_of(store):
    story = Story.of(store.records())
    return render(story, result_of(story, path=None), store.get)


def view(values):
    found = roofline.view(story_at(values))
    assert found is not None
    return found


def texts(chart):
    """Every text of a chart, with its class and its height."""
    found = re.findall(r'<text class="([^"]*)"[^>]* y="([-\d.]+)"[^>]*>(.*?)</text>', chart)
    return [(kind, float(y), re.sub(r"<[^>]*>", "", text)) for kind, y, text in found]


def test_below_the_slope_the_roof_is_what_memory_gives():
    said = view(MEMORY).said
    assert "At 0.5 counted operations for each byte" in said
    assert "what memory gives at 20.0 GB/s: 10.0 GFLOP/s" in said
    # 10 MFLOP in 2.15 ms are 4.7 GFLOP/s, in 1.29 ms 7.8.
    assert re.search(r"reaches 4[67]% of that when each call returns .* and 7[78]% when", said)
    assert re.search(r"eager 8%, torch.compile 20%", said)


def test_right_of_the_ridge_the_roof_is_the_arithmetic():
    found = view(COMPUTE)
    assert "what this machine computes in float32: 200 GFLOP/s" in found.said
    assert "float32, 200 GFLOP/s" in found.chart
    assert "GFLOP/s" in found.chart
    assert "FLOP/byte" in found.chart


def test_everything_that_was_timed_has_its_mark_and_names_stand_beside_all_but_attempts():
    chart = view(MEMORY).chart
    kinds = re.findall(r'<circle class="spot (\w+)"', chart)
    assert sorted(kinds) == ["attempt", "attempt", "baseline", "baseline", "buffer", "ours"]
    names = [text for kind, _, text in texts(chart) if kind.startswith("spotname")]
    assert [name.partition(", ")[0] for name in names] == [
        "best", "best", "eager", "torch.compile",
    ]  # fmt: skip
    assert "attempt 1: " in chart


def test_faster_units_and_caches_are_roofs_of_their_own():
    gpu = view(COMPUTE | {"peak_gflops": 52_000.0, "tensor_gflops": 380_000.0}).chart
    assert "TensorFloat-32, 380 TFLOP/s" in gpu
    assert "float32, 52.0 TFLOP/s" in gpu
    cold = view(MEMORY | {"peak_gb_s": 110.0}).chart
    assert "caches, 110 GB/s" in cold
    assert "memory, 20.0 GB/s" in cold
    assert "caches" not in view(MEMORY).chart


def test_what_is_faster_than_float32_can_be_is_held_against_the_units_that_round():
    said = view(COMPUTE | {"peak_gflops": 90.0, "tensor_gflops": 400.0}).said
    assert "TensorFloat-32: 400 GFLOP/s" in said


def test_who_hears_the_page_is_told_the_same():
    found = view(MEMORY)
    assert 'aria-labelledby="roofline-title roofline-desc"' in found.chart
    assert '<title id="roofline-title">' in found.chart
    assert f'<desc id="roofline-desc">{escape(found.said)}</desc>' in found.chart


def test_without_counted_operations_there_is_no_intensity_and_bytes_are_drawn():
    found = view(BYTES)
    assert found.chart is None
    assert [row.name for row in found.bars] == [
        "best", "best, into a buffer", "eager", "torch.compile",
    ]  # fmt: skip
    assert "20.0 MB must be moved in a call, and memory gives 20.0 GB/s" in found.said
    assert "No operations are counted" in found.note
    assert "FLOP/byte" not in page_of(store_with(story_profile(BYTES)))
    assert found.bars[0].share in ("46%", "47%")
    assert "memory, 20.0 GB/s" in found.limit


def story_profile(values):
    return Diagnosis(bottleneck="memory_bound", position=Position(**values))


def test_a_bar_beyond_what_memory_gives_says_where_it_comes_from_and_ends_with_the_axis():
    found = view(BYTES | {"nbytes": 400_000_000})
    assert "More than that comes from caches." in found.said
    widths = re.findall(r'class="bar"[^>]*width="([\d.]+)%"', found.bars[0].bar)
    assert widths == ["100.00"]


def test_the_page_has_the_plot_or_the_bars():
    page = page_of(store_with(story_profile(MEMORY)))
    assert page.count('class="plot roofline"') == 1
    bars = page_of(store_with(story_profile(BYTES)))
    assert 'class="plot roofline"' not in bars
    assert bars.count('class="bar"') == 4


@pytest.mark.parametrize("profile", [None, Diagnosis(bottleneck="unknown")])
def test_a_log_without_a_position_has_no_plot_and_no_error(profile):
    store = store_with(profile)
    assert roofline.view(Story.of(store.records())) is None
    assert "How far from the roof" not in page_of(store)


def test_a_diagnosis_of_before_is_read():
    assert Diagnosis.model_validate({"bottleneck": "unknown"}).position is None


def test_a_run_without_a_winner_has_no_plot():
    store = MemoryStore()
    Log(store).start()
    assert roofline.view(Story.of(store.records())) is None


def test_a_winner_that_was_not_timed_has_no_plot():
    store = MemoryStore()
    log = Log(store)
    log.start()
    untimed = passed(2e6, profile=story_profile(MEMORY)).model_copy(update={"measurements": ()})
    log.attempt(0, Plan(kind="draft", language="cpp", writer="llm"), candidate("x"), untimed)
    assert roofline.view(Story.of(store.records())) is None


heights = st.floats(min_value=0, max_value=300)


@given(st.lists(heights, max_size=8), st.lists(heights, max_size=2))
def test_labels_are_a_line_apart_and_in_the_order_of_their_points(wanted, taken):
    found = apart(wanted, taken, 20.0, 280.0)
    placed = sorted(found)
    assert all(later - earlier >= 15 - 1e-9 for earlier, later in pairwise(placed))
    assert all(height <= 280 for height in found)
    for (a, at_a), (b, at_b) in pairwise(zip(wanted, found, strict=True)):
        assert (a - b) * (at_a - at_b) >= 0


@given(st.lists(heights, max_size=4), heights)
def test_labels_keep_clear_of_other_texts_where_there_is_room(wanted, taken):
    assert all(abs(height - taken) >= 15 - 1e-9 for height in apart(wanted, [taken], 0.0, 1000.0))


magnitudes = st.floats(min_value=-2, max_value=7).map(lambda power: 10.0**power)


@given(
    nbytes=st.integers(min_value=4, max_value=1 << 40), flops=st.integers(1, 1 << 50),
    memory=magnitudes, caches=st.floats(1.0, 500.0), peak=magnitudes,
    tensor=st.none() | magnitudes, calls=st.lists(magnitudes, min_size=1, max_size=6),
)  # fmt: skip
def test_whatever_was_measured_is_drawn_within_the_frame(
    nbytes, flops, memory, caches, peak, tensor, calls
):
    at = Position(
        nbytes=nbytes, flops=flops, call_ns=calls[0], peak_gb_s=memory * caches,
        inputs_gb_s=memory, peak_gflops=peak, tensor_gflops=tensor,
    )  # fmt: skip
    spots = [
        Spot(name=f"rival {index}", kind="baseline" if index else "ours", call_ns=call)
        for index, call in enumerate(calls)
    ]
    chart = drawing(at, spots, "title", "description")
    marks = [float(y) for y in re.findall(r' cy="(-?[\d.]+)"', chart)]
    assert len(marks) == len(calls)
    assert all(30 <= y <= 290 for y in marks)
    column = re.search(r'<svg x="([\d.]+)%" class="column"', chart)
    assert 0 < float(column[1]) <= 50
    names = sorted(y for kind, y, _ in texts(chart) if kind.startswith("spotname"))
    assert all(later - earlier >= 14.9 for earlier, later in pairwise(names))
