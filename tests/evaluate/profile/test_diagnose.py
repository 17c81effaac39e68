"""The rules, on facts made up: each alone, and which goes before which."""

import dataclasses

import pytest

from kernelwright.core.diagnosis import MEANINGS, Diagnosis, Figure, Position
from kernelwright.core.evaluation import Measurement
from kernelwright.evaluate.profile.diagnose import diagnose
from kernelwright.evaluate.profile.disassembly import Facts
from kernelwright.evaluate.profile.roofline import position
from kernelwright.evaluate.profile.sass import GpuKernel
from kernelwright.evaluate.profile.x86 import Loop
from kernelwright.evaluate.timing.plausible import Floor, Peaks

PEAKS = Peaks(read_gb_s={1 << 16: 400.0, 1 << 24: 20.0}, fma_gflops=200.0)
NOTHING = Facts()


def loop(**changes):
    values = {"function": "kernel", "address": 0x1000, "instructions": 6, "loads": 1}
    return Loop(**(values | changes))


VECTORISED = loop(packed=4, widths={256: 4}, kinds=("add",))
SCALAR = loop(scalar=3, kinds=("div",))
STRIDED = loop(scalar=1, kinds=("mul",), strided=True)


def kernel(**changes):
    values = {"name": "k", "arch": "sm_90", "instructions": 100, "registers": 32,
              "shared_bytes": 0, "loads": {128: 2}}  # fmt: skip
    return GpuKernel(**(values | changes))


def moving(headroom, *, nbytes=1 << 26, flops=0):
    """A kernel `headroom` times slower than the floor."""
    floor_ns = Floor(nbytes=nbytes, flops=flops).ns(PEAKS)
    return Position(
        nbytes=nbytes, flops=flops, call_ns=headroom * floor_ns,
        peak_gb_s=20.0, inputs_gb_s=20.0, peak_gflops=200.0,
    )  # fmt: skip


def facts(*loops, kernels=()):
    return Facts(loops=loops, kernels=kernels)


def figures(diagnosis):
    return {figure.name: figure.value for figure in diagnosis.figures}


def multiplying(call_ns, *, tensor_gflops=400_000.0):
    """A product of 2^40 operations on a GPU whose float32 units take 22 ms for it."""
    return Position(
        nbytes=1 << 20, flops=1 << 40, call_ns=call_ns, peak_gb_s=3000.0, inputs_gb_s=3000.0,
        peak_gflops=50_000.0, tensor_gflops=tensor_gflops,
    )  # fmt: skip


def test_a_product_at_float32s_roof_is_told_of_the_units_above_it():
    said = diagnose(facts(), multiplying(24e6))
    assert said.bottleneck == "compute_bound"
    assert said.headroom == pytest.approx(24e6 / (2**40 / 400_000))
    assert any("two parts" in hint for hint in said.hints)


@pytest.mark.parametrize(
    "position", [multiplying(24e6, tensor_gflops=None), multiplying(24e6, tensor_gflops=100_000.0)]
)
def test_units_that_could_not_beat_it_are_not_mentioned(position):
    assert not any("two parts" in hint for hint in diagnose(facts(), position).hints)


def test_a_product_that_is_faster_than_float32_units_has_a_floor_below_it():
    said = diagnose(facts(), multiplying(8e6))
    assert said.headroom == pytest.approx(8e6 / (2**40 / 400_000))
    assert said.headroom > 1
    assert not any("two parts" in hint for hint in said.hints)


def test_what_moves_its_bytes_as_fast_as_can_be_is_memory_bound_whatever_its_code():
    said = diagnose(facts(SCALAR, STRIDED), moving(1.4))
    assert said.bottleneck == "memory_bound"
    assert said.headroom == pytest.approx(1.4)
    assert figures(said) == {
        "moves": pytest.approx(20 / 1.4),
        "bandwidth at best": 20.0,
        "must be moved": pytest.approx((1 << 26) / 1e6),
    }


def test_what_computes_as_fast_as_can_be_is_compute_bound():
    said = diagnose(NOTHING, moving(1.2, nbytes=1 << 20, flops=10**10))
    assert said.bottleneck == "compute_bound"
    assert figures(said)["computes"] == pytest.approx(200 / 1.2)
    assert figures(said)["intensity"] == pytest.approx(10**10 / (1 << 20))


def test_a_scalar_loop_among_vectorised_ones_is_the_bottleneck():
    said = diagnose(facts(VECTORISED, SCALAR), moving(2.5))
    assert said.bottleneck == "not_vectorised"
    assert figures(said) == {
        "loops that compute": 2,
        "of which on one element at a time": 1,
        "operations in a round of the largest": 3,
    }


def test_a_stride_goes_before_the_missing_vectors_that_follow_from_it():
    said = diagnose(facts(SCALAR, STRIDED), moving(10))
    assert said.bottleneck == "strided_access"
    assert figures(said)["of which step through memory"] == 1


def test_a_call_that_hardly_takes_longer_than_its_threads_is_overhead():
    short = Position(
        nbytes=4096, flops=0, call_ns=6000.0,
        peak_gb_s=400.0, inputs_gb_s=20.0, peak_gflops=200.0,
    )  # fmt: skip
    said = diagnose(facts(SCALAR), short)
    assert said.bottleneck == "call_overhead"
    assert figures(said) == {"time of a call": 6.0, "floor": pytest.approx(0.01024)}


def test_vectorised_code_half_way_to_the_roof_is_limited_by_it():
    assert diagnose(facts(VECTORISED), moving(2.9)).bottleneck == "memory_bound"


def test_vectorised_code_far_from_both_roofs_waits():
    said = diagnose(facts(VECTORISED), moving(8))
    assert said.bottleneck == "latency_bound"
    assert "computes" not in figures(said)
    with_flops = diagnose(facts(VECTORISED), moving(8, flops=10))
    assert figures(with_flops).keys() == {"moves", "computes"}


def test_spills_go_before_the_roofline_but_not_at_the_roof():
    spilling = facts(kernels=(kernel(spill_bytes=128, mix={"local_stores": 8}),))
    said = diagnose(spilling, moving(2))
    assert said.bottleneck == "register_spills"
    assert figures(said) == {
        "spilled": 128, "loads and stores of spilled values": 8, "registers of a thread": 32,
    }  # fmt: skip
    assert diagnose(spilling, moving(1.1)).bottleneck == "memory_bound"


def test_too_many_registers_leave_room_for_few_threads():
    said = diagnose(facts(kernels=(kernel(registers=200),)), None)
    assert said.bottleneck == "low_occupancy"
    assert figures(said)["registers of a thread"] == 200
    assert figures(said)["occupancy, at most"] <= 25
    assert diagnose(facts(kernels=(kernel(registers=64),)), None).bottleneck == "unknown"


def test_without_a_time_the_code_speaks_alone_and_the_headroom_is_not_known():
    said = diagnose(facts(SCALAR), None)
    assert (said.bottleneck, said.headroom) == ("not_vectorised", None)
    assert any("roofline" in what for what in said.not_known)


def test_nothing_known_is_said_to_be_unknown_and_has_no_figures():
    said = diagnose(Facts(not_known=("what the compiler made of it: no tool",)), None)
    assert (said.bottleneck, said.figures, said.headroom) == ("unknown", (), None)
    assert said.not_known[0] == "what the compiler made of it: no tool"


def test_a_call_for_each_element_is_named_unless_a_roof_is_reached():
    calling = facts(loop(calls={"expf": 1}))
    assert any("expf" in hint for hint in diagnose(calling, moving(9)).hints)
    assert not any("expf" in hint for hint in diagnose(calling, moving(1.2)).hints)


def test_narrow_accesses_are_a_hint_and_no_bottleneck():
    said = diagnose(facts(kernels=(kernel(loads={32: 8}),)), None)
    assert said.bottleneck == "unknown"
    assert any("128 bits" in hint for hint in said.hints)


def measured(ns, regime):
    return Measurement(
        workload_id="w", subject="candidate", regime=regime,
        calls=(1,), elapsed_ns=(ns,), overhead_ns=0,
    )  # fmt: skip


def test_the_position_is_that_of_the_kernel_without_its_allocations():
    floor = Floor(nbytes=1 << 26, flops=0)
    both = [measured(9_000_000, "returned"), measured(7_000_000, "buffer")]
    assert position(floor, PEAKS, both).call_ns == 7_000_000
    assert position(floor, PEAKS, both[:1]).call_ns == 9_000_000
    assert position(floor, PEAKS, both).peak_gb_s == 20.0


def test_cold_inputs_come_from_memory_and_the_floor_allows_for_caches_all_the_same():
    nbytes = 1 << 20
    cold = measured(int(1.2 * nbytes / 20), "returned")
    at = position(Floor(nbytes=nbytes, flops=0), PEAKS, [cold])
    assert (at.peak_gb_s, at.inputs_gb_s) == (400.0, 20.0)
    said = diagnose(facts(SCALAR), at)
    assert said.bottleneck == "memory_bound"
    assert figures(said)["bandwidth at best"] == 20.0
    assert said.headroom == pytest.approx(1.2 * 20, rel=1e-3)
    warm = position(
        Floor(nbytes=nbytes, flops=0), PEAKS, [cold.model_copy(update={"cache": "warm"})]
    )
    assert warm.inputs_gb_s == 400.0


def test_the_position_is_kept_with_the_faster_units_where_there_are_some():
    floor, ours = Floor(nbytes=1 << 26, flops=5), [measured(9_000_000, "returned")]
    at = position(floor, PEAKS, ours)
    assert diagnose(NOTHING, at).position == at
    assert (at.flops, at.tensor_gflops) == (5, None)
    gpu = dataclasses.replace(PEAKS, tensor_gflops=900.0)
    assert position(floor, gpu, ours).tensor_gflops == 900.0


def test_without_a_time_or_anything_to_count_there_is_no_position():
    assert position(Floor(nbytes=1, flops=0), PEAKS, []) is None
    assert position(Floor(nbytes=0, flops=0), PEAKS, [measured(5, "buffer")]) is None


def test_every_bottleneck_has_its_sentence():
    for name, sentence in MEANINGS.items():
        assert Diagnosis(bottleneck=name).meaning == sentence
        assert sentence.endswith(".")


def test_more_than_three_figures_are_refused():
    with pytest.raises(ValueError, match="at most 3"):
        Diagnosis(bottleneck="unknown", figures=(Figure(name="a", value=1),) * 4)
