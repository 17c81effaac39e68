"""What stands in for torch's `load_inline` and `load`: copied beside a candidate, run with it.

In the build (`python kw_extension.py MAIN COLLECTED`) the candidate's file is run where there is no
device, and each call is written down. In a life, `candidate` runs it again, and each call is
answered with the shared object that was built for the same arguments. Nothing of ours is imported
here, and no verdict is formed: whoever wrote the candidate can change all of it in either process.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.machinery
import importlib.util
import inspect
import json
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

FIELDS = (
    "name", "cpp", "cuda", "files", "functions", "cflags", "cuda_cflags", "ldflags",
    "include_paths", "with_cuda", "checked", "python",
)  # fmt: skip
_HERE = Path(__file__).resolve().parent
_NOT_BUILT = (
    "Neither SYCL sources nor programs are built here. Give C++ or CUDA sources of a module."
)
_CALLED_EARLY = (
    "An extension was called while the file was imported. The build only collects its source; call "
    "it in forward."
)


def object_name(call: dict[str, Any]) -> str:
    """The file that is built for one call of `load_inline`: all of its arguments decide."""
    text = json.dumps([call[field] for field in FIELDS], sort_keys=True)
    return f"kw_ext_{hashlib.sha256(text.encode()).hexdigest()[:32]}.so"


def _texts(given: Any) -> list[str]:
    if given is None:
        return []
    return [given] if isinstance(given, str) else [str(text) for text in given]


def _plain(path: Any) -> str:
    """A path below the candidate's folder as it is named there; any other as it was given."""
    found = Path(path)
    whole = (found if found.is_absolute() else _HERE / found).resolve()
    return str(whole.relative_to(_HERE)) if whole.is_relative_to(_HERE) else str(path)


def _call(given: dict[str, Any]) -> dict[str, Any]:
    """One call by its fields, from what it was given under torch's names. Where or how loudly to
    compile is taken and has no effect."""
    functions = given.get("functions")
    if isinstance(functions, str):
        functions = [functions]
    if functions is not None and not isinstance(functions, dict):
        functions = {str(function): str(function) for function in functions}
    return {
        "name": str(given["name"]),
        "cpp": _texts(given.get("cpp_sources")),
        "cuda": _texts(given.get("cuda_sources")),
        "files": [_plain(path) for path in _texts(given.get("sources"))],
        "functions": functions and {str(key): str(doc) for key, doc in functions.items()},
        "cflags": _texts(given.get("extra_cflags")),
        "cuda_cflags": _texts(given.get("extra_cuda_cflags")),
        "ldflags": _texts(given.get("extra_ldflags")),
        "include_paths": [_plain(path) for path in _texts(given.get("extra_include_paths"))],
        "with_cuda": given.get("with_cuda"),
        "checked": bool(given.get("with_pytorch_error_handling", True)),
        "python": bool(given.get("is_python_module", True)),
    }


def install(answer: Callable[[dict[str, Any]], Any]) -> None:
    """Put our functions in the place of torch's; `answer` is given each call."""
    # Not at the top: the judge reads this file's constants without loading torch.
    import torch.utils.cpp_extension as extensions

    def instead_of(theirs: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(theirs)

        @functools.wraps(theirs)
        def ours(*args: Any, **kwargs: Any) -> Any:
            given = signature.bind(*args, **kwargs).arguments
            if given.get("sycl_sources") or given.get("with_sycl") or given.get("is_standalone"):
                raise RuntimeError(_NOT_BUILT)
            return answer(_call(given))

        return ours

    extensions.load_inline = instead_of(extensions.load_inline)
    extensions.load = instead_of(extensions.load)


class Unbuilt:
    """An extension while its source is collected: it has any attribute, and none can be called."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Unbuilt()

    def __call__(self, *_: Any, **__: Any) -> Any:
        """Nothing was built yet."""
        raise RuntimeError(_CALLED_EARLY)


def _import(main: str) -> Any:
    """The candidate's file as a module of its own name, from the folder that this file is in."""
    sys.path.insert(0, str(_HERE))
    name = Path(main).stem
    spec = importlib.util.spec_from_file_location(name, _HERE / main)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def candidate(main: str) -> Any:
    """The candidate's file, imported in a life: its extensions are those that were built."""
    install(_load)
    return _import(main)


def _load(call: dict[str, Any]) -> Any:
    path = _HERE / object_name(call)
    if not path.exists():
        count = len(list(_HERE.glob("kw_ext_*.so")))
        raise RuntimeError(
            f"The extension {call['name']!r} was not built with these arguments ({count} were "
            "built). Call load_inline when the file is imported, not in the class, and with text "
            "and flags that are the same each time and everywhere: no time, no random number, no "
            "question to the device."
        )
    if not call["python"]:
        import torch  # as above

        torch.ops.load_library(str(path))  # type: ignore[no-untyped-call]
        return str(path)
    loader = importlib.machinery.ExtensionFileLoader(call["name"], str(path))
    spec = importlib.util.spec_from_loader(call["name"], loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def main(arguments: Sequence[str]) -> int:
    """Run the candidate's file `arguments[0]` and write its calls to `arguments[1]`.

    A file that stops after its calls, for want of a device perhaps, has said what is to be built.
    """
    calls: list[dict[str, Any]] = []

    def note(call: dict[str, Any]) -> Unbuilt:
        calls.append(call)
        return Unbuilt()

    install(note)
    try:
        _import(arguments[0])
    except BaseException:  # the candidate's file may raise anything
        if not calls:
            # Without our own frames, and those of the import system.
            traceback.print_exc()
            return 1
    Path(arguments[1]).write_text(json.dumps(calls), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
