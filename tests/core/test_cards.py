"""Which cards a process may use, by names that another process understands too."""

import pytest

from kernelwright.core.cards import (
    Card,
    first_card,
    kind_of,
    only_card,
    only_minor,
    passed_on,
    visible_cards,
)
from kernelwright.core.errors import Unavailable, UsageError
from kernelwright.core.nvml import Nvml

A, B = Card("GPU-aaaa-1", "GPU-aaaa-1"), Card("GPU-bbbb-2", "GPU-bbbb-2")


@pytest.fixture
def seen(fake_nvml, tmp_path):
    return lambda visible: visible_cards(visible, tmp_path, Nvml(fake_nvml))


@pytest.mark.parametrize(
    ("visible", "cards"),
    [
        ("0,1", (A, B)),
        ("1,0", (B, A)),
        ("GPU-bbbb", (B,)),
        ("1,-1,0", (B,)),
        ("1,1", (B,)),
        ("", ()),
        ("7", (Card("7", None),)),
        ("MIG-1234", (Card("MIG-1234", "GPU-bbbb-2"),)),
    ],
)
def test_every_way_to_say_a_card_comes_to_its_uuid(seen, visible, cards):
    assert seen(visible) == cards


def test_with_nothing_said_all_are_visible(seen, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert seen(None) == (A, B)


def test_without_nvml_the_drivers_files_tell(tmp_path):
    none = Nvml("libnone.so.1")
    for name, said in (("0000:01:00.0", "GPU UUID: \t GPU-a\n"), ("0000:02:00.0", "Model: \t X\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "information").write_text(said)
    first, second = visible_cards("0,1", tmp_path, none)
    assert first == Card("GPU-a", "GPU-a")
    # CUDA takes no PCI address for a card, and a lock does for a name.
    assert (second.name, second.key) == ("1", "0000:02:00.0")
    assert visible_cards("GPU-c", tmp_path, none) == (Card("GPU-c", "GPU-c"),)
    assert visible_cards("0", tmp_path / "none", none)[0].key == "gpu0"


@pytest.mark.parametrize(("said", "kind"), [("cpu", "cpu"), ("cuda", "cuda"), ("cuda:3", "cuda")])
def test_a_device_is_of_a_kind(said, kind):
    assert kind_of(said) == kind


@pytest.mark.parametrize("said", ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "cpu:0", "CUDA"])
def test_what_is_no_device_is_refused(said):
    with pytest.raises(UsageError, match="cpu, cuda or cuda:N"):
        kind_of(said)


def test_one_card_of_several_is_chosen_for_a_while(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-x,GPU-y")
    with only_card("cuda:1"):
        assert [card.name for card in visible_cards()] == ["GPU-y"]
        assert passed_on() == {"CUDA_VISIBLE_DEVICES": "GPU-y"}
    with only_card("cuda"):
        assert len(visible_cards()) == 2
    with pytest.raises(Unavailable, match=r"no cuda:2 here.*GPU-x, GPU-y"), only_card("cuda:2"):
        pass
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    with only_card("cuda:0"):
        assert passed_on()
    assert passed_on() == {}


@pytest.mark.parametrize(
    ("said", "minor"),
    [("GPU-bbbb-2", 5), ("GPU-aaaa-1", 4), ("MIG-1", 5), ("1", None), ("GPU-cccc-3", None),
     ("GPU-aaaa-1,GPU-bbbb-2", None)],
)  # fmt: skip
def test_the_node_of_a_card_is_known_where_its_uuid_is_said(fake_nvml, monkeypatch, said, minor):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", said)
    assert only_minor(Nvml(fake_nvml)) == minor
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert only_minor(Nvml(fake_nvml)) is None


def test_where_no_card_may_be_used_the_first_is_called_by_its_number(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert first_card().key == "gpu0"
