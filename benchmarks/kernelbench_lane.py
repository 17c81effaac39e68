"""One candidate through KernelBench's own evaluation, in a process of its own, as its scripts do.

    python kernelbench_lane.py CHECKOUT REFERENCE CANDIDATE BACKEND BUILD_FOLDER ANSWER

Nothing of KernelBench is in this project: its `eval_kernel_against_ref` is imported from the
checkout, with the numbers of trials that its scripts ask for. Libraries that it imports to ask
models are replaced by nothing, since no model is asked; that spares it their import. Baselines,
which some of its scripts time as well, are not asked for either.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

_TRIALS = {"num_correct_trials": 5, "num_perf_trials": 100}
_NOT_NEEDED = {"litellm": "completion", "openai": "OpenAI", "dotenv": "load_dotenv"}
_LIMIT_S = 240.0


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What KernelBench says of a candidate, why, and how long it took."""

    s: float
    said: Literal["right", "wrong", "fails"]
    detail: str


def why_not(checkout: Path) -> str | None:
    """Why it cannot be run; None when it can."""
    if _module(checkout) is None:
        return f"{checkout} is no checkout of KernelBench: it has no eval.py where that has one."
    try:
        subprocess.run(["nvidia-smi", "-L"], capture_output=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return "KernelBench runs its candidates on a GPU, and this machine has none."
    return None


def judged(checkout: Path, reference: Path, text: str, backend: str) -> Heard:
    """The verdict on `text`. One that takes longer than the limit "fails", at the limit."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        candidate, builds, answer = (Path(folder, n) for n in ("new.py", "builds", "answer.json"))
        candidate.write_text(text)
        builds.mkdir()
        given = (checkout, reference, candidate, backend, builds, answer)
        command = [sys.executable, __file__, *map(str, given)]
        # Caches of its own, so that each candidate is compiled.
        caches = {"TRITON_CACHE_DIR": str(builds), "TORCH_EXTENSIONS_DIR": str(builds)}
        start = time.perf_counter()
        # What it prints goes to a file: a compiler that it leaves behind would keep a pipe open.
        with Path(folder, "printed").open("w+", errors="replace") as printed:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.STDOUT,
                env={**os.environ, **caches}, start_new_session=True,
            )  # fmt: skip
            try:
                status = child.wait(_LIMIT_S)
            except subprocess.TimeoutExpired:
                return Heard(s=_LIMIT_S, said="fails", detail=f"longer than {_LIMIT_S:g} s")
            finally:
                _end(child)
            spent = time.perf_counter() - start
            if answer.exists():
                return Heard(s=spent, **json.loads(answer.read_text()))
            printed.seek(0)
            last = (printed.read().strip().splitlines() or ["nothing"])[-1][:200]
            return Heard(s=spent, said="fails", detail=f"it ended with {status}, saying {last}")


def _end(child: subprocess.Popen[bytes]) -> None:
    """End what is left of the process and of the compilers that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _module(checkout: Path) -> tuple[Path, str] | None:
    """What to put on the path, and the module's name; older checkouts have another layout."""
    if (checkout / "src" / "kernelbench" / "eval.py").is_file():
        return checkout / "src", "kernelbench.eval"
    if (checkout / "src" / "eval.py").is_file():
        return checkout, "src.eval"
    return None


def _evaluation(checkout: Path) -> Callable[..., Any]:
    """KernelBench's function."""
    for name, what in _NOT_NEEDED.items():
        module = ModuleType(name)
        setattr(module, what, lambda *_, **__: None)
        sys.modules[name] = module
    place = _module(checkout)
    assert place is not None
    sys.path.insert(0, str(place[0]))
    evaluate: Callable[..., Any] = importlib.import_module(place[1]).eval_kernel_against_ref
    return evaluate


def _said(result: Any) -> dict[str, str]:
    """The class that a `KernelExecResult` puts a candidate into, and its reason."""
    if result is None:
        # So it does for every build error with "lock" in its text, as "block" has.
        return {"said": "fails", "detail": "it takes the error for a locked build, to be retried"}
    if result.compiled and result.correctness:
        return {"said": "right", "detail": f"{result.runtime:g} ms a call"}
    errors = {key: value for key, value in result.metadata.items() if "error" in key}
    said = "fails" if errors or not result.compiled else "wrong"
    return {"said": said, "detail": str(errors or result.metadata)[:400]}


def main(
    checkout: str, reference: str, candidate: str, backend: str, builds: str, answer: str
) -> None:
    """Evaluate one candidate with KernelBench's function, and write what it says to `answer`."""
    evaluate = _evaluation(Path(checkout))
    try:
        heard = _said(
            evaluate(
                Path(reference).read_text(encoding="utf-8"),
                Path(candidate).read_text(encoding="utf-8"),
                measure_performance=True,
                build_dir=builds,
                backend=backend,
                **_TRIALS,
            )
        )
    except Exception as error:  # its scripts take whatever leaves it for a candidate that fails
        heard = {"said": "fails", "detail": f"{type(error).__name__}: {error}"[:400]}
    Path(answer).write_text(json.dumps(heard))


if __name__ == "__main__":
    main(*sys.argv[1:])
