"""How large a block of timed calls can be, known to whoever must have memory ready for it."""

from __future__ import annotations


def most_calls(total: int) -> int:
    """The most calls in one block, out of a set of `total` different inputs: about a third."""
    return max(2, 2 * (total // 6))
