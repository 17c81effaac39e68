"""The table of devices: whole, sourced, found by the driver's names, and one with the judge's."""

import re

import pytest

from kernelwright.evaluate.profile.occupancy import LIMITS
from kernelwright.knowledge.hardware import Cpu, Gpu, device, devices

GPUS = [row for row in devices() if isinstance(row, Gpu)]
CPUS = [row for row in devices() if isinstance(row, Cpu)]


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "H100 SXM"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA H200", "H200 SXM"),
        ("NVIDIA A100-SXM4-40GB", "A100 40 GB"),
        ("NVIDIA A100-SXM4-80GB", "A100 80 GB SXM"),
        ("NVIDIA A100 80GB PCIe", "A100 80 GB PCIe"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA L4", "L4"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("NVIDIA B200", "B200"),
        ("AMD Instinct MI300X", "MI300X"),
    ],
)
def test_a_device_is_found_by_what_its_driver_calls_it(said, name):
    assert device(said).name == name
    plain = said.partition(" ")[2]
    assert [row.name for row in GPUS if re.fullmatch(row.named, plain)] == [name]


@pytest.mark.parametrize("said", ["NVIDIA GH200 480GB", "NVIDIA L40", "NVIDIA H100 NVL", ""])
def test_a_device_that_has_no_row_is_not_taken_for_its_neighbour(said):
    assert device(said) is None


def test_a_processor_is_known_by_what_it_can_do():
    assert device("cpu", {"avx2", "fma", "avx512f"}).vector_bits == 512
    assert device("cpu", {"avx2", "fma"}).vector_bits == 256
    assert device("cpu", {"avx2"}) is None


@pytest.mark.parametrize("row", devices(), ids=lambda row: row.name)
def test_each_row_says_where_it_is_from(row):
    assert all(source in row.text for source in row.sources)
    assert row.text.count("\n") >= 2


@pytest.mark.parametrize("row", [row for row in GPUS if row.arch in LIMITS], ids=lambda r: r.name)
def test_a_multiprocessor_is_what_the_judge_takes_it_for(row):
    limits = LIMITS[row.arch]
    assert (row.threads, row.registers) == (limits.threads, limits.registers)
    assert row.shared_kib * 1024 == limits.shared_bytes


@pytest.mark.parametrize("row", GPUS, ids=lambda row: row.name)
def test_peaks_are_dense_and_a_narrower_type_is_never_slower(row):
    order = ("float64", "tf32", "float16", "float8")
    found = [row.matrix[dtype] for dtype in order if dtype in row.matrix]
    assert found == sorted(found)
    assert row.matrix["float16"] == row.matrix["bfloat16"]
    # A figure with sparsity among dense ones would be off by two.
    for wide, narrow in (("tf32", "float16"), ("float16", "float8")):
        if {wide, narrow} <= set(row.matrix):
            assert row.matrix[narrow] / row.matrix[wide] == pytest.approx(2, rel=0.03)


def test_a_row_says_when_memory_limits():
    assert "So below 148 operations in tf32 for each byte" in device("NVIDIA H100 80GB HBM3").text
