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

    sandbox: bool = True  # a candidate runs behind walls, at the best level (D)
    poison: bool = True  # outputs are wiped before each call, in two ways (A1, A8, A9)
    guards: bool = True  # bytes around outputs are compared after each call (E)
    sealed_inputs: bool = True  # inputs cannot be written, or are compared afterwards (B1)
    hidden_workloads: bool = True  # sizes that a candidate is not told (B12, B13)
    distributions: bool = True  # more than what the file itself draws (A4 to A7, B12)
    exact_integers: bool = True  # small whole numbers, whose sums have one right answer (B14)
    same_address_new_content: bool = True  # cases of a workload take turns at an address (A2, A3)
    repeated_calls: bool = True  # some calls are made again at once (A2, A16, C7)
    aggregate_error: bool = True  # the root mean square of errors has a limit (B14)
    nonfinite_masks: bool = True  # NaN and infinity in the same places, and only there (A10)
    thread_counts: bool = True  # also with one thread, and with more than there are cores (E)
    sanitizers: bool = True  # promotion builds again with a sanitizer for memory and UB (E)
    thread_sanitizer: bool = True  # promotion looks for data races (E)
    process_state: bool = True  # rounding, signals, folder, ... are as they were (B5, C14)
    far_sizes: bool = True  # promotion makes a call on more than 2^31 elements (E)
    fresh_inputs: bool = True  # no timed input comes twice in a life (A2, A3)
    late_inputs: bool = True  # timed inputs arrive just before their block (A4, A12)
    frozen_between: bool = True  # a candidate stands still while it is not timed (C2, C10, A12)
    timed_outputs: bool = True  # every timed output is compared (A2, A12, B12, C6)
    fresh_pages: bool = True  # large outputs that are returned cost new pages (C14)
    own_clock: bool = True  # times are the broker's, not the runner's claims (C3, C4)
    single_calls: bool = True  # calls given one by one take about as long as in a block (A12, C6)
    plausible: bool = True  # nothing is faster than memory and arithmetic allow (C5, C15)

    def switched_off(self) -> tuple[str, ...]:
        """The names of the defences that are off, in the order above."""
        return tuple(f.name for f in dataclasses.fields(self) if not getattr(self, f.name))


ALL_ON = Defences()
