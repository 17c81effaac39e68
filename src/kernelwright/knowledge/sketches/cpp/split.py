"""Few long rows: the blocks of one row are spread over threads, one row after another, in C++."""

from __future__ import annotations

from kernelwright.knowledge.sketches.cpp.folds import FoldText
from kernelwright.knowledge.sketches.cpp.nest import indented
from kernelwright.knowledge.sketches.cpp.rows import RowNest
from kernelwright.knowledge.sketches.expr import Expr


class SplitRowNest(RowNest):
    """A stage whose rows are taken in turn by all threads together.

    Each block of a row has a partial result of its own, so that the sum does not depend on how
    many threads there are.
    """

    def lines(self) -> list[str]:
        """The whole stage, as a block."""
        names, body = self.names, list[str]()
        for number in range(len(self.stage.passes)):
            body += self._pass(number)
        body += self._stores()
        head = f"for (int64_t {names.row} = 0; {names.row} < {names.rows}; ++{names.row}) {{"
        count = f"({names.lanes} + KW_SUM_BLOCK - 1) / KW_SUM_BLOCK"
        loop = [f"const int64_t {names.blocks} = {count};", head, *indented(body), "}"]
        return ["{", *indented([*self.sizes(), *loop]), "}"]

    def _asked(self, number: int) -> list[str]:
        """Nothing: rows are long, and each is read at many places at once."""
        del number
        return []

    def _summed(self, number: int, folds: list[FoldText], roots: list[Expr]) -> list[str]:
        names = self.names
        memory, keep, gather = list[str](), list[str](), list[str]()
        for fold in folds:
            for kind, name, value in fold.totals():
                place = f"{name}_blocks"
                memory.append(
                    f"const std::unique_ptr<{kind}[]> {place}"
                    f"(new {kind}[static_cast<std::size_t>({names.blocks})]);"
                )
                keep.append(f"{place}[{names.block}] = {value};")
            gather.append(fold.gather(names.block))
        block = names.block
        each = f"for (int64_t {block} = 0; {block} < {names.blocks}; ++{block}) {{"
        inner = [
            *[line for fold in folds for line in fold.declare_total()],
            *self._one_block(number, folds, roots),
            *keep,
        ]
        return [
            *memory,
            f"#pragma omp parallel for schedule(static) if ({names.lanes} >= GRAIN)",
            each,
            f"    const int64_t {names.begin} = {names.block} * KW_SUM_BLOCK;",
            *indented(inner),
            "}",
            each,
            *indented(gather),
            "}",
        ]

    def _blocks(self, limit: str, block: str, body: list[str]) -> list[str]:
        names = self.names
        loop = [
            "#pragma omp for schedule(static)",
            f"for (int64_t {names.begin} = 0; {names.begin} < {limit}; "
            f"{names.begin} += {block}) {{",
            *indented(body),
            "}",
        ]
        end = [f"if ({names.stream}) kw_stream_end();"]
        return [f"#pragma omp parallel if ({limit} >= GRAIN)", "{", *indented([*loop, *end]), "}"]
