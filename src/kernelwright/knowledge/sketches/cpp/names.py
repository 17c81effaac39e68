"""What the loops of a C++ kernel are called."""

from __future__ import annotations

from dataclasses import dataclass, fields

from kernelwright.knowledge.sketches.text import Text


@dataclass(kw_only=True)
class Names:
    """What the loops of one stage are called."""

    row: str = "row"
    depth: str = "k"
    lane: str = "j"
    rows: str = "rows"
    depths: str = "depth"
    lanes: str = "n"
    begin: str = "begin"
    end: str = "end"
    count: str = "count"
    item: str = "l"
    slot: str = "lane"
    block: str = "block"
    blocks: str = "blocks"
    stream: str = "stream"
    near: str = "near"

    @classmethod
    def of(cls, text: Text) -> Names:
        """Names that no parameter has."""
        found = cls(**{f.name: text.unique(str(f.default)) for f in fields(cls)})
        text.vars.update(row=found.row, depth=found.depth, lane=found.lane, own=found.lane)
        return found
