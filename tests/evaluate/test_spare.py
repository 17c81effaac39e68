"""Memory for outputs that wait to be compared."""

import numpy as np

from kernelwright.evaluate.timing.turns import Spare


def test_a_copy_that_was_given_back_is_used_again():
    spare = Spare()
    first = spare.copied(np.arange(8, dtype=np.uint8))
    second = spare.copied(np.full(8, 7, np.uint8))
    assert first.tolist() == [*range(8)]
    assert second is not first
    spare.take_back(first)
    other_size = spare.copied(np.zeros(9, np.uint8))
    again = spare.copied(np.full(8, 3, np.uint8))
    assert again is first
    assert other_size.size == 9
    assert again.tolist() == [3] * 8
