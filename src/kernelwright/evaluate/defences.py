"""The judge's defences, each of which a test can switch off to see its exploit get through.

A defence that nobody has seen fail without is decoration. Nothing that a user can set reaches
this: an evaluation made with a defence off says so in `not_checked`, and only tests make one.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Defences:
    """What is on. Each comment names the entries of the catalogue that the defence is for."""

    fresh_inputs: bool = True  # no timed input comes twice in a life (A2, A3)
    late_inputs: bool = True  # timed inputs arrive just before their block (A4, A12)
    frozen_between: bool = True  # a candidate stands still while it is not timed (C2, C10, A12)
    timed_outputs: bool = True  # every timed output is compared (A2, A12, B12, C6)
    own_clock: bool = True  # times are the broker's, not the runner's claims (C3, C4)
    single_calls: bool = True  # calls given one by one take about as long as in a block (A12, C6)
    plausible: bool = True  # nothing is faster than memory and arithmetic allow (C5, C15)

    def switched_off(self) -> tuple[str, ...]:
        """The names of the defences that are off, in the order above."""
        return tuple(f.name for f in dataclasses.fields(self) if not getattr(self, f.name))


ALL_ON = Defences()
