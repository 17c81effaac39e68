"""NVML over a library that stands in for it: what it says, and what is made of what it refuses."""

import time

import pytest

from kernelwright.core.nvml import Facts, NotTold, Nvml, Pace, Warmth

CARD = "GPU-bbbb-2"


@pytest.fixture
def library(fake_nvml):
    return Nvml(fake_nvml)


def test_the_facts_of_a_card_are_told_and_what_it_lacks_is_not_made_up(library):
    assert library.ask(lambda asked: asked.facts(CARD)) == Facts(
        name="NVIDIA Paper", uuid=CARD, index=1, driver="580.1", power_limit_w=700.0,
        ecc=True, mig=None, persistence=True,
    )  # fmt: skip


def test_the_pace_and_warmth_are_read_anew_each_time(library, monkeypatch):
    monkeypatch.setenv("FAKE_NVML_MHZ", "1755")
    monkeypatch.setenv("FAKE_NVML_REASONS", "36")
    assert library.ask(lambda asked: asked.pace(CARD)) == Pace(1755, 0x24)
    monkeypatch.setenv("FAKE_NVML_MHZ", "345")
    assert library.ask(lambda asked: asked.pace(CARD)).sm_mhz == 345
    assert library.ask(lambda asked: asked.warmth(CARD)) == Warmth(41, 312.5)


def test_memory_that_is_free_is_read_anew_each_time(library, monkeypatch):
    for mib in (123, 70_000):
        monkeypatch.setenv("FAKE_NVML_FREE_MIB", str(mib))
        assert library.ask(lambda asked: asked.free_bytes(CARD)) == mib << 20


def test_an_instance_is_on_its_card(library):
    assert library.ask(lambda asked: asked.physical("MIG-1234")) == CARD


@pytest.mark.parametrize(
    ("variable", "code", "said"),
    [
        ("FAKE_NVML_REFUSES", "4", "nvmlDeviceGetHandleByUUID: Insufficient Permissions"),
        ("FAKE_NVML_INIT", "9", "nvmlInit_v2: Unknown Error"),
    ],
)
def test_a_refusal_is_told_with_the_librarys_own_words(library, monkeypatch, variable, code, said):
    monkeypatch.setenv(variable, code)
    with pytest.raises(NotTold, match=said):
        library.ask(lambda asked: asked.pace(CARD))


def test_a_library_that_is_not_there_is_named():
    with pytest.raises(NotTold, match=r"libnone\.so\.1 cannot be loaded"):
        Nvml("libnone.so.1").ask(lambda asked: asked.cards())


def test_a_driver_without_a_function_is_no_error_of_ours(library):
    with pytest.raises(NotTold, match="has no nvmlDeviceGetNothing"):
        library.ask(lambda asked: asked._number("nvmlDeviceGetNothing"))


def test_a_call_that_never_returns_is_waited_for_once(fake_nvml, monkeypatch):
    monkeypatch.setenv("FAKE_NVML_HANGS", "1")
    library = Nvml(fake_nvml, limit_s=0.2)
    with pytest.raises(NotTold, match="did not answer within"):
        library.ask(lambda asked: asked.pace(CARD))
    started = time.monotonic()
    for _ in range(10):
        with pytest.raises(NotTold, match="not asked again"):
            library.ask(lambda asked: asked.cards())
    assert time.monotonic() - started < 0.2
