"""The build step of the module lane: a script that says whether a file parses and has its class.

It is copied beside the candidate and run there, so it imports nothing of ours and never runs what
it reads. Exit status 1 is the candidate's fault, with the reason on stderr.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path


def fault(file: str, class_name: str) -> str | None:
    """Why `file` cannot be the module of a candidate; None when it can."""
    try:
        tree = ast.parse(Path(file).read_bytes(), file)
    except SyntaxError as error:
        line = (error.text or "").rstrip()
        return f"{file}:{error.lineno}: {error.msg}\n{line}".rstrip()
    except (ValueError, RecursionError, MemoryError) as error:
        return f"{file}: cannot be parsed: {error or type(error).__name__}"
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    bound = {name.id for name in ast.walk(tree) if isinstance(name, ast.Name)}
    if class_name not in defined | bound:
        return f"{file}: there is no class {class_name}. Define `class {class_name}(nn.Module):`."
    return None


if __name__ == "__main__":
    said = fault(sys.argv[1], sys.argv[2])
    if said is not None:
        sys.exit(said)
