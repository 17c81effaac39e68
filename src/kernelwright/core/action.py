"""Actions: optimisations that have a name, so that a strategy can count what each of them gained.

Only the value; the table of them, and how each is done in a language, is in `knowledge.actions`.
"""

from __future__ import annotations

from dataclasses import dataclass

from kernelwright.core.diagnosis import Bottleneck


@dataclass(frozen=True, kw_only=True)
class Action:
    """One optimisation. `summary` is a sentence; `bottlenecks` are those that it works against.

    `languages` are those in which it can be told how it is done. `sketches` are the names of
    sketches that carry it out; there may be none.
    """

    name: str
    summary: str
    bottlenecks: tuple[Bottleneck, ...]
    languages: tuple[str, ...]
    sketches: tuple[str, ...] = ()

    def suits(self, bottleneck: Bottleneck) -> bool:
        """Whether it is worth trying on what `bottleneck` limits; where that is not known, all are.

        >>> unroll = Action(name="unroll", summary="", bottlenecks=("latency_bound",), languages=())
        >>> unroll.suits("latency_bound"), unroll.suits("memory_bound"), unroll.suits("unknown")
        (True, False, True)
        """
        return bottleneck == "unknown" or bottleneck in self.bottlenecks
