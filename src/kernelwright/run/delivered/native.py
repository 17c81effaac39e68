"""A delivered kernel behind a C ABI: build it on first use, then call it through ctypes.

The text of this file is copied into ``best_module.py`` after that of `checks`; it imports nothing
else of Kernelwright.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import struct
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kernelwright.run.delivered.checks import (
    Arguments,
    Facts,
    NotVerified,
    Returned,
    Scalars,
    Sizes,
    Warner,
    check_mode,
    load_module,
    positional,
    weights_of,
)
from kernelwright.run.delivered.gradients import in_calling_order, in_direction

_CPU = torch.device("cpu")
_Parameter = nn.Parameter
_BUILD_TIMEOUT_S = 300
_MOST_SHAPES = 4096
_C_SCALARS: Mapping[str, Any] = {
    "float64": ctypes.c_double, "int64": ctypes.c_int64, "bool": ctypes.c_bool,
}  # fmt: skip

Outputs = Sequence[tuple[tuple[int, ...], torch.dtype]]


def cache_folder() -> Path:
    """A folder of this user alone for built kernels; a temporary one when there is none."""
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(base, "kernelwright", "kernels")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = folder.stat()
        # Others could put a library of their own where they may write.
        ours = state.st_uid == os.geteuid() and not state.st_mode & 0o022
        if ours and os.access(folder, os.W_OK | os.X_OK):
            return folder
    # Someone without a home is a RuntimeError.
    except (OSError, RuntimeError):
        pass
    return Path(tempfile.mkdtemp(prefix="kernelwright-"))


def built(facts: Facts, home: Path) -> Path:
    """The shared object, from the cache or from the compiler.

    Raises:
        NotVerified: it cannot be built here, or its text is not the one that was verified.
    """
    source = home / facts["file"]
    try:
        text = source.read_bytes()
    except OSError as error:
        raise NotVerified("build", f"{source} cannot be read ({error.strerror}).") from error
    if hashlib.sha256(text).hexdigest() != facts["sha256"]:
        raise NotVerified("build", f"{source} was changed after it was verified.")
    command = list(facts["command"])
    if shutil.which(command[0]) is None:
        raise NotVerified("build", f"{command[0]}, which builds it, is not on the PATH.")
    folder = cache_folder()
    target = folder / f"{_build_id(text, command)}.so"
    if not target.exists():
        _build(text, facts, command, target)
    return target


def _build_id(text: bytes, command: Sequence[str]) -> str:
    """Of everything that the result depends on: the folder may be shared between machines."""
    version = subprocess.run(
        [command[0], "--version"], capture_output=True, timeout=_BUILD_TIMEOUT_S, check=False
    ).stdout
    parts = [text, " ".join(command).encode(), version, _processor().encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:32]


def _processor() -> str:
    """What ``-march=native`` depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    wanted = ("model name", "flags", "CPU part", "Features")
    found = dict.fromkeys(line for line in lines if line.startswith(wanted))
    return "\n".join([platform.machine(), *found] if found else [platform.platform()])


def _build(text: bytes, facts: Facts, command: Sequence[str], target: Path) -> None:
    """Build beside `target` and rename, so that no process ever sees half a file."""
    try:
        with tempfile.TemporaryDirectory(dir=target.parent) as work:
            Path(work, facts["file"]).write_bytes(text)
            done = subprocess.run(
                command, cwd=work, capture_output=True, timeout=_BUILD_TIMEOUT_S, check=False
            )
            if done.returncode:
                said = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
                raise NotVerified("build", f"{command[0]} cannot build it here: {said[0]}.")
            Path(work, facts["artifact"]).replace(target)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotVerified("build", f"building it failed ({error}).") from error


class Call:
    """One set of shapes: what to allocate, and how to pass it."""

    def __init__(self, axes: Mapping[str, int], order: Sequence[str], outputs: Outputs) -> None:
        self.sizes = axes
        self.axes = struct.pack(f"{len(order)}q", *(axes[axis] for axis in order))
        self.outputs = outputs


class Kernel:
    """The built kernel. `run` is the way in; everything that it needs twice is kept."""

    def __init__(self, facts: Facts, home: Path, scalars: Scalars) -> None:
        self._facts = facts
        self._home = home
        self._scalars = scalars
        # Gradients are asked for in so many words; nobody expects those of the kernel's own.
        self._forward = facts["direction"] == "forward"
        self._held: dict[int, Any] = {}
        self._sizes = Sizes(facts)
        self._dtypes = [
            None if spec["role"] == "scalar" else getattr(torch, spec["dtype"])
            for spec in facts["inputs"]
        ]
        self._pack = struct.Struct(f"{len(facts['inputs']) + len(facts['outputs'])}P").pack
        self._calls: dict[tuple[Any, ...], Call] = {}
        self._entry: Callable[[bytes, bytes], None] | None = None
        self._refusal: NotVerified | None = None
        self._lock = threading.Lock()

    def run(
        self, inputs: Sequence[Any], weights: Sequence[Any], asked: Sequence[tuple[str, int]]
    ) -> list[Tensor]:
        """The outputs, newly allocated.

        Raises:
            NotVerified: this case is not covered, or the kernel cannot be built.
        """
        values = in_calling_order(inputs, weights, self._facts)
        if len(values) != len(self._dtypes):
            raise NotVerified("count", f"it was verified with {len(self._dtypes)} arguments.")
        shapes, pointers = [], []
        for at, (value, dtype) in enumerate(zip(values, self._dtypes, strict=True)):
            if dtype is None:
                pointers.append(self._scalar(at, value))
                continue
            kind = type(value)
            if kind is not Tensor and kind is not _Parameter:
                raise NotVerified("type", f"argument {at} is a {kind.__name__}.")
            if value.dtype is not dtype or not value.is_cpu:
                raise self._refused_tensor(at, value)
            if value.requires_grad and self._forward and torch.is_grad_enabled():
                raise _gradients()
            if not value.is_contiguous():
                # Kept in `values`, so that it lives as long as the call.
                value = values[at] = value.contiguous()
            shapes.append(value.shape)
            pointers.append(value.data_ptr())
        call = self._calls.get(tuple(shapes)) or self._prepare(tuple(shapes))
        for axis, size in asked:
            if call.sizes[axis] != size:
                raise NotVerified("shape", f"ModelNew was made for {size} as the size of {axis}.")
        outputs = [torch.empty(s, dtype=d, device=_CPU) for s, d in call.outputs]
        pointers += [output.data_ptr() for output in outputs]
        entry = self._entry or self._load()
        entry(self._pack(*pointers), call.axes)
        return outputs

    def _prepare(self, shapes: tuple[Sequence[int], ...]) -> Call:
        axes = self._sizes.axes(shapes)
        dtypes = [getattr(torch, spec["dtype"]) for spec in self._facts["outputs"]]
        outputs = list(zip(self._sizes.output_shapes(axes), dtypes, strict=True))
        call = Call(axes, self._facts["axes"], outputs)
        if len(self._calls) >= _MOST_SHAPES:
            self._calls.clear()
        self._calls[shapes] = call
        return call

    def _refused_tensor(self, at: int, value: Tensor) -> NotVerified:
        spec = self._facts["inputs"][at]
        if not value.is_cpu:
            return NotVerified(
                "device", f"{spec['name']} is on {value.device}, and it needs a CPU."
            )
        return NotVerified("dtype", f"{spec['name']} is {value.dtype}, not {spec['dtype']}.")

    def _scalar(self, at: int, value: object) -> int:
        """The address of the number that was verified, which `value` must be."""
        if at not in self._held:
            c_type = _C_SCALARS[self._facts["inputs"][at]["dtype"]]
            self._held[at] = c_type(self._scalars.verified(at, value))
        self._scalars.verified(at, value)
        return ctypes.addressof(self._held[at])

    def _load(self) -> Callable[[bytes, bytes], None]:
        with self._lock:
            if self._refusal is not None:
                raise self._refusal
            try:
                if self._entry is None:
                    self._entry = self._open()
                return self._entry
            except NotVerified as why:
                # Kept: a compiler that failed once is not started again at each call.
                self._refusal = why
                raise

    def _open(self) -> Callable[[bytes, bytes], None]:
        path = built(self._facts, self._home)
        try:
            entry = ctypes.CDLL(str(path)).kw_entry
        except (OSError, AttributeError) as error:
            raise NotVerified("build", f"{path} cannot be loaded ({error}).") from error
        # A bytes object is passed as the address of its content, which is how structs travel.
        entry.argtypes, entry.restype = [ctypes.c_char_p, ctypes.c_char_p], None
        found: Callable[[bytes, bytes], None] = entry
        return found


def _gradients() -> NotVerified:
    return NotVerified(
        "gradients",
        "an input or a weight requires grad, and the kernel computes no gradients. Call it under "
        "torch.no_grad() to use the kernel.",
    )


def make_model(facts: Facts, text: str, home: Path, module_name: str) -> type[nn.Module]:
    """The class ``ModelNew``: the reference's own class, with the kernel in its `forward`."""
    reference = load_module(text, f"{module_name}_reference", f"<reference {facts['problem']}>")
    base = in_direction(getattr(reference, facts["entry"]), facts)
    kernel = Kernel(facts, home, Scalars(reference, facts))
    arguments = Arguments(reference, facts["entry"], facts)
    warner, returned = Warner(facts["problem"]), Returned()

    class ModelNew(base):  # type: ignore[misc, valid-type]
        def __init__(self, *args: Any, **named: Any) -> None:
            super().__init__(*args, **named)
            self._kw_unverified, self._kw_asked = arguments.check(args, named)
            self._kw_made_with = (args, named)
            self._kw_training = self.training
            self._kw_weights = weights_of(self)

        def forward(self, *inputs: Any, **named: Any) -> Any:
            # What is being compiled becomes a graph of the reference.
            if torch.compiler.is_compiling():
                return super().forward(*inputs, **named)
            if named:
                inputs = positional(super().forward, inputs, named)
            try:
                if self._kw_unverified:
                    raise NotVerified("arguments", self._kw_unverified)
                if facts["mode_matters"]:
                    check_mode(self, self._kw_training)
                weights = [table[name] for table, name in self._kw_weights]
                outputs = kernel.run(inputs, weights, self._kw_asked)
            except (NotVerified, KeyError) as why:
                warner.warn(why if isinstance(why, NotVerified) else _replaced())
                return super().forward(*inputs)
            if not returned.known:
                args, kwargs = self._kw_made_with
                if not returned.learn_from(lambda: base(*args, **kwargs), inputs):
                    returned.learn(super().forward(*inputs))
            return returned.restore(outputs)

    ModelNew.__module__, ModelNew.__qualname__ = module_name, "ModelNew"
    return ModelNew


def _replaced() -> NotVerified:
    return NotVerified("weights", "a weight was taken out of the module.")
