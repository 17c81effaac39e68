"""What a compiler made of a reference program: its text, at one set of sizes.

The text is made where torch is (`problems.compiling`), at several sets of sizes, so that a number
in it that follows from the sizes can be told. `knowledge.compiled` makes candidates of it.
"""

from __future__ import annotations

from kernelwright.core.record import Record


class Compiled(Record):
    """The module that Inductor, torch.compile's backend, writes at the sizes `axes`.

    Its function ``call`` takes the tensors `inputs`, by `TensorSpec` name, in this order. A float
    that the caller gives stands in the text as the unlikely number that `scalars` has for its name.
    """

    workload_id: str
    axes: dict[str, int]
    inputs: tuple[str, ...]
    scalars: dict[str, float] = {}
    text: str
