"""Which cards a process may use, by names that another process understands too."""

import pytest

from kernelwright.core.cards import Card, first_card, visible_cards
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


def test_where_no_card_may_be_used_the_first_is_called_by_its_number(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert first_card().key == "gpu0"
