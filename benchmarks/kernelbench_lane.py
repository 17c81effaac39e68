"""One candidate through KernelBench's own evaluation, in a process of its own, as its scripts do.

    python kernelbench_lane.py CHECKOUT REFERENCE CANDIDATE BACKEND BUILD_FOLDER

Nothing of KernelBench is in this project: its function is imported from the checkout, with the
numbers of trials that its scripts ask for. Libraries that it imports to ask models are replaced by
nothing, since no model is asked.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType

_TRIALS = {"num_correct_trials": 5, "num_perf_trials": 100}
_NOT_NEEDED = {"litellm": "completion", "openai": "OpenAI"}
_LIMIT_S = 400.0


def why_not(checkout: Path) -> str | None:
    """Why it cannot be run; None when it can."""
    if _module(checkout) is None:
        return f"{checkout} is no checkout of KernelBench: it has no eval.py where that has one."
    try:
        subprocess.run(["nvidia-smi", "-L"], capture_output=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return "KernelBench runs its candidates on a GPU, and this machine has none."
    return None


def judged(checkout: Path, reference: Path, text: str, backend: str) -> tuple[float, str]:
    """The seconds that a verdict takes, and what it says: "right", "wrong" or "fails"; or the last
    line that was printed."""
    with tempfile.TemporaryDirectory() as folder:
        candidate, builds = Path(folder, "candidate.py"), Path(folder, "builds")
        candidate.write_text(text)
        builds.mkdir()
        command = [sys.executable, __file__, *map(str, (checkout, reference, candidate)), backend]
        # Caches of its own, so that each candidate is compiled.
        caches = {"TRITON_CACHE_DIR": str(builds), "TORCH_EXTENSIONS_DIR": str(builds)}
        start = time.perf_counter()
        try:
            done = subprocess.run(
                [*command, str(builds)], capture_output=True, text=True, check=False,
                timeout=_LIMIT_S, env={**os.environ, **caches},
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return _LIMIT_S, "it took too long"
        spent = time.perf_counter() - start
    return spent, _said((done.stdout.strip().splitlines() or done.stderr.splitlines() or [""])[-1])


def _said(line: str) -> str:
    try:
        found = json.loads(line)
    except ValueError:
        return f"fails: {line[:200]}"
    if not found["compiled"]:
        return "fails"
    return "right" if found["correct"] else found["why"]


def _module(checkout: Path) -> tuple[Path, str] | None:
    """What to put on the path, and the module's name; older checkouts have another layout."""
    if (checkout / "src" / "kernelbench" / "eval.py").is_file():
        return checkout / "src", "kernelbench.eval"
    if (checkout / "src" / "eval.py").is_file():
        return checkout, "src.eval"
    return None


def main(checkout: str, reference: str, candidate: str, backend: str, builds: str) -> None:
    """Evaluate one candidate with KernelBench's function, and print a line of JSON."""
    for name, what in _NOT_NEEDED.items():
        module = ModuleType(name)
        setattr(module, what, None)
        sys.modules.setdefault(name, module)
    place = _module(Path(checkout))
    assert place is not None
    sys.path.insert(0, str(place[0]))
    evaluate = importlib.import_module(place[1]).eval_kernel_against_ref
    result = evaluate(
        Path(reference).read_text(encoding="utf-8"),
        Path(candidate).read_text(encoding="utf-8"),
        measure_performance=True,
        build_dir=builds,
        backend=backend,
        **_TRIALS,
    )
    compiled = result is not None and result.compiled
    said = {} if result is None else {k: str(v)[:200] for k, v in result.metadata.items()}
    failed = any("error" in key for key in said)
    print(
        json.dumps(
            {
                "compiled": compiled,
                "correct": compiled and result.correctness,
                "why": "fails" if failed else "wrong",
                "metadata": said,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
