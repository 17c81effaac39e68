"""What usually lies behind a verdict, by its kind: tables of sentences for a writer.

`causes` has the same for the messages of compilers; `feedback` puts both into a diagnosis.
"""

from __future__ import annotations

from kernelwright.core.evaluation import MismatchKind, Stage, Trait

STAGES: dict[Stage, str] = {
    "build": "while it was built",
    "load": "while it was loaded",
    "screen": "on the first small inputs",
    "core": "on the inputs of the full check",
    "timing": "while it was timed",
    "sanitize": "under the memory and undefined-behaviour checkers",
    "far": "on tensors of more than 2^31 elements",
}
SIGNALS = {
    "SIGSEGV": "It read or wrote memory that is not its own. Check every index against its bound, "
    "above all in the last, partial tile or vector; check that sizes are multiplied in 64 bits; "
    "and use unaligned loads and stores.",
    "SIGBUS": "It used an address that is misaligned or beyond its memory.",
    "SIGILL": "It used an instruction that this CPU does not have, or reached code that cannot be.",
    "SIGFPE": "It divided an integer by zero: a size or a tile that was 0 or 1.",
    "SIGABRT": "It gave itself up: a checker found an error, the heap was damaged, or an exception "
    "was not caught.",
    "SIGKILL": "It was killed, most likely for using too much memory.",
    "SIGXCPU": "It used more processor time than it may.",
    "SIGSYS": "It made a system call that is not allowed.",
}
MISMATCHES: dict[MismatchKind, str] = {
    "wrong_value": "The values are wrong.",
    "nonfinite": "There are infinities or NaNs where there should be numbers, or numbers where "
    "there should be those. Subtract the maximum before exp, do not square large values unscaled, "
    "and do not divide by a sum that can be zero.",
    "unwritten": "Some elements are never written. Look at the last, partial tile or row, and at a "
    "loop that stops too early.",
    "out_of_bounds_write": "It writes beyond the end of the output. A vector store or a tile goes "
    "past the last element: handle the tail apart, or mask it.",
    "input_mutated": "It changes its inputs. Write to the outputs only.",
    "precision": "Each value is nearly right, but together they are less precise than the "
    "reference's. Keep sums in float (or double), not in a narrower type, and use the exact "
    "functions rather than rough approximations.",
    "nondeterministic": "Two runs on the same input differ: a race between threads, or memory read "
    "before it is written.",
    "wrong_shape": "The output has another shape than the reference's.",
    "wrong_dtype": "The output has another dtype than the reference's.",
}
DISTRIBUTIONS = {
    "shifted": "values far from zero, where differences cancel: subtract the mean before squaring",
    "offset": "whole rows on one side of zero: a maximum that starts at zero, or is not taken off",
    "far": "whole rows far above or below zero: take the row's own maximum off before exp",
    "heavy": "a few very large values among small ones: overflow, or sums that lose the small ones",
    "large": "large values: overflow in exp or in a square",
    "small": "tiny values: an epsilon forgotten or misplaced",
    "sparse": "mostly zeros: a division by zero",
    "ties": "equal values: which of them wins a maximum",
    "structured": "one-hot, triangular, sorted or single rows: an element that is not read, or "
    "indices that repeat or are out of order",
    "denormal": "values too small for full precision: flushed to zero",
    "nonfinite": "a NaN or an infinity here and there: lost in a comparison or a maximum",
    "integer": "small whole numbers, on which every sum is exact: a wrong formula, not a rounding",
}
# What is special about a call whose sizes are not told.
TRAITS: dict[Trait, str] = {
    "empty": "an axis of size 0",
    "size_one": "an axis of size 1",
    "tail": "an axis that is no multiple of 8, so that something remains after the last vector",
    "larger": "an axis that is longer than the reported one",
    "unaligned": "tensors that are aligned to their elements and to no vector",
}
