"""A candidate's file as a module, inside the sandbox."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any


def import_file(artifact: Path) -> Any:
    """The module in `artifact`; its own folder can be imported from."""
    sys.path.insert(0, str(artifact.parent))
    spec = importlib.util.spec_from_file_location(artifact.stem, artifact)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[artifact.stem] = module
    spec.loader.exec_module(module)
    return module
