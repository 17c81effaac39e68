"""What a problem asks for: the forward pass, its gradients, or both. Text only; no torch.

The gradients themselves are worked out in `problems.gradients`.
"""

from __future__ import annotations

import ast
from typing import get_args

from kernelwright.core.errors import ProblemError
from kernelwright.core.problem import Direction, Source

NAME = "DIRECTION"
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)


def direction_of(source: Source, asked: Direction | None = None) -> Direction:
    """The direction that was `asked` for, else the one that the file names, else forward.

    Raises:
        ProblemError: the file names something else than a direction.
    """
    return asked or _declared(source) or "forward"


def _declared(source: Source) -> Direction | None:
    """What the file's top level binds to ``DIRECTION``; None when it says nothing."""
    try:
        body = ast.parse(source.text).body
    except (SyntaxError, ValueError):
        return None  # Loading the file says what is wrong with it.
    found: list[ast.expr | None] = []
    for stmt in body:
        match stmt:
            case ast.Assign(targets=[ast.Name(id="DIRECTION")], value=value):
                found.append(value)
            case ast.AnnAssign(target=ast.Name(id="DIRECTION"), value=value):
                found.append(value)
    match found:
        case []:
            return None
        case [ast.Constant(value=str() as text)] if text in DIRECTIONS:
            return next(d for d in DIRECTIONS if d == text)
    known = ", ".join(f'"{d}"' for d in DIRECTIONS)
    raise ProblemError(f"{source.main_file}: {NAME} must be one of {known}, written as a string.")
