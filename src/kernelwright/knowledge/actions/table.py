"""The table of actions, and the door to their pages.

A page is ``pages/<action>.<language>.md``: when it pays, how it is done, what goes wrong, and how
the profile shows that it worked. A new action is one row here and its pages. None of them lowers
the precision: what a candidate computes in is the problem's business.
"""

from __future__ import annotations

from collections.abc import Collection
from importlib.resources import files

from kernelwright.core.action import Action

_ALL = ("cpp", "triton", "cuda")
_GPU = ("triton", "cuda")

ACTIONS: tuple[Action, ...] = (
    Action(
        name="vectorise",
        summary="Load, compute and store several neighbouring elements with one instruction.",
        bottlenecks=("not_vectorised", "latency_bound"),
        languages=_ALL,
    ),
    Action(
        name="tile",
        summary="Work on blocks that stay near the arithmetic while all is done with them.",
        bottlenecks=("memory_bound", "compute_bound", "strided_access", "latency_bound"),
        languages=_ALL,
        sketches=("packed", "tiled", "tiled_in_bfloat16"),
    ),
    Action(
        name="fuse",
        summary="Compute in one pass what takes several, so that nothing between them is stored.",
        bottlenecks=("memory_bound", "call_overhead", "latency_bound"),
        languages=_ALL,
        sketches=("online", "flash", "flash_in_bfloat16"),
    ),
    Action(
        name="split-the-reduction",
        summary="Let several workers each reduce a part of a long row, and join their results.",
        bottlenecks=("latency_bound", "low_occupancy"),
        languages=_ALL,
        sketches=("together", "divided", "divided_in_bfloat16"),
    ),
    Action(
        name="change-the-layout",
        summary="Put data into the order in which it is read, where it is read more than once.",
        bottlenecks=("strided_access", "not_vectorised", "compute_bound"),
        languages=_ALL,
        sketches=("packed_in_tf32",),
    ),
    Action(
        name="prefetch",
        summary="Ask for the data of the next round while this one is computed.",
        bottlenecks=("memory_bound", "latency_bound"),
        languages=_ALL,
    ),
    Action(
        name="go-persistent",
        summary="Start as many blocks as fit on the device, and let each go through much work.",
        bottlenecks=("call_overhead", "latency_bound"),
        languages=_GPU,
    ),
    Action(
        name="recompute",
        summary="Work out again, or read again, what is dearer to keep.",
        bottlenecks=("memory_bound", "register_spills", "low_occupancy"),
        languages=_ALL,
        sketches=("recomputed", "looped"),
    ),
    Action(
        name="keep-on-chip",
        summary="Hold a row near the arithmetic from its first use to its last.",
        bottlenecks=("memory_bound", "latency_bound"),
        languages=_ALL,
        sketches=("stored", "resident"),
    ),
    Action(
        name="unroll",
        summary="Do several independent rounds of a loop at once.",
        bottlenecks=("latency_bound", "compute_bound"),
        languages=_ALL,
    ),
    Action(
        name="parallelise",
        summary="Share the work among more threads, in equal parts.",
        bottlenecks=("latency_bound", "register_spills", "low_occupancy"),
        languages=_ALL,
        sketches=("spread",),
    ),
    Action(
        name="synchronise-less",
        summary="Let a worker finish what it begins, so that fewer wait for each other.",
        bottlenecks=("call_overhead", "latency_bound"),
        languages=_ALL,
        sketches=("unsplit",),
    ),
)


def page(action: str, language: str) -> str | None:
    """How `action` is done in `language`, as Markdown; None where there is no page."""
    # Both may come from a log of another version, so that only names of the table become a path.
    if not any(a.name == action and language in a.languages for a in ACTIONS):
        return None
    return (
        files(__package__).joinpath("pages", f"{action}.{language}.md").read_text(encoding="utf-8")
    )


def carried_out(sketches: Collection[str]) -> tuple[Action, ...]:
    """The actions that one of `sketches` carries out."""
    return tuple(a for a in ACTIONS if any(sketch in a.sketches for sketch in sketches))


def sketches_of(action: str) -> tuple[str, ...]:
    """The names of the sketches that carry out `action`; none where it is not known."""
    return next((a.sketches for a in ACTIONS if a.name == action), ())
