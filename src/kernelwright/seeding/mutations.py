"""All mutations, and the bugs that they make of a text."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator

from kernelwright.seeding import (
    accumulators,
    arithmetic,
    bounds,
    concurrency,
    control,
    indices,
)
from kernelwright.seeding.bug import CLASSES, Bug, Mutation
from kernelwright.seeding.code import Code

MUTATIONS: tuple[Mutation, ...] = (
    bounds.off_by_one,
    bounds.missing_tail,
    bounds.wrong_extent,
    bounds.swapped_extents,
    indices.wrong_dimension,
    indices.swapped_strides,
    indices.wrong_stride,
    indices.index_shifted,
    indices.wrong_broadcast,
    indices.index_overflow,
    indices.index_overflow_32,
    indices.temporary_reused,
    arithmetic.dropped_term,
    arithmetic.missing_scale,
    arithmetic.wrong_sign,
    arithmetic.wrong_epsilon,
    arithmetic.integer_division,
    arithmetic.wrong_comparison,
    arithmetic.max_min_swapped,
    arithmetic.missing_clamp,
    accumulators.accumulate_type,
    accumulators.extreme_starts_at_zero,
    accumulators.extreme_unused,
    accumulators.uninitialised,
    accumulators.not_reset,
    concurrency.unguarded_update,
    concurrency.shared_local,
    concurrency.no_wait,
    concurrency.not_shared_out,
    concurrency.no_barrier,
    control.early_return,
    control.leaves_loop,
    control.stale_variable,
)


def bugs(text: str, mutations: Iterable[Mutation] = MUTATIONS) -> Iterator[Bug]:
    """Every bug that `mutations` make of the C++ kernel `text`, each text once."""
    code, seen = Code(text), {text}
    for mutation in mutations:
        for found in mutation(code):
            if found.text not in seen:
                seen.add(found.text)
                yield found


def sample(found: Iterable[Bug], most: int) -> list[Bug]:
    """Up to `most` of each class: the same ones for the same bugs, and in no order that favours
    the beginning of a text."""
    classes: dict[str, list[Bug]] = defaultdict(list)
    for one in found:
        classes[one.kind].append(one)
    return [one for kind in CLASSES for one in sorted(classes[kind], key=_mixed)[:most]]


def _mixed(one: Bug) -> str:
    return hashlib.blake2b(one.text.encode(), digest_size=8).hexdigest()
