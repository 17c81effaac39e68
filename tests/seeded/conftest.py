"""The correct kernels that bugs are seeded into."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def kernels() -> dict[str, str]:
    """The text of each kernel by the name of its problem."""
    folder = Path(__file__).parent / "kernels"
    return {p.stem: p.read_text(encoding="utf-8") for p in sorted(folder.glob("*.cpp"))}
