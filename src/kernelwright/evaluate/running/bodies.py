"""Which runner a build is handed to, per lane."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from kernelwright.core.candidate import Lane
from kernelwright.core.cards import passed_on
from kernelwright.core.problem import Problem
from kernelwright.evaluate.building.builder import Built
from kernelwright.evaluate.isolation import sandbox
from kernelwright.evaluate.native.programs import executable, gate, gpu_runner
from kernelwright.evaluate.running.runner import Body, threads
from kernelwright.evaluate.running.zygote import GPU_MODULE_SETTINGS, Program, Request, Zygote
from kernelwright.problems.reference import Device

_PACKAGE = "kernelwright.evaluate.running"
_MEMORY_BYTES = 16 << 30
# torch.compile inside a module would precompile headers of more bytes than a file may have.
_MODULE_SETTINGS = {"TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS": "0"}
# Contexts on one device are made one after the other. With few queues that takes half the time: of
# six at once 105 ms each instead of 182 on an H100.
_FEW_QUEUES = {"CUDA_DEVICE_MAX_CONNECTIONS": "2"}
NO_HANDLES = "-"  # a runner on a GPU has device memory of its own


def body(
    built: Built,
    lane: Lane,
    environment: Mapping[str, str],
    setup: Path,
    *,
    device: Device,
    sanitize: bool = False,
    thread_count: int | None = None,
    zygote: Zygote | None = None,
    scalars: str = "",
    timed: bool = False,
) -> Body:
    """The runner for `built`. `setup` is the file that `module_runner` reads; see `write_setup`.

    The variables of a language are set for the runner alone, behind the sandbox's own programs.
    `thread_count` is by default that of the processors. From `zygote` modules can be forked.
    `scalars` has a 1 for each input that is a number, for a native runner on a GPU.
    A runner on a GPU that is not `timed` gets few of the device's queues.
    A sanitizer and CUDA reserve terabytes of address space, so theirs is not limited that way.
    """
    gpu = device == "cuda"
    own = {"OMP_NUM_THREADS": str(thread_count or threads()), **environment}
    settings = _settings(own, lane, gpu=gpu, timed=timed)
    assignments = [f"{name}={value}" for name, value in settings.items()]
    forked = None
    if lane == "native" and gpu:
        program = [str(gpu_runner()), scalars, NO_HANDLES]
        reads = [gpu_runner(), built.folder]
    elif lane == "native":
        program = [str(executable())]
        reads = [executable(), built.folder]
    else:
        program = [*_python("module_runner"), str(setup), NO_HANDLES]
        reads = [setup, built.folder, *sandbox.python_folders()]
        reads += [gate()] if gpu else []
        arguments = (str(setup), NO_HANDLES, str(built.artifact))
        forked = _forked(zygote, "module_runner", arguments, settings)
    return Body(
        argv=("/usr/bin/env", *assignments, *program, str(built.artifact)),
        reads=tuple(reads),
        environment={},
        limits=sandbox.Limits(memory_bytes=None if sanitize or gpu else _MEMORY_BYTES),
        # A delivered module builds its source on first use.
        processes=lane == "module",
        gpu=gpu,
        forked=forked,
    )


def _settings(own: dict[str, str], lane: Lane, *, gpu: bool, timed: bool) -> dict[str, str]:
    """A runner's variables: its `own`, and those that follow from what it is."""
    settings = (_MODULE_SETTINGS if lane == "module" else {}) | own
    settings |= GPU_MODULE_SETTINGS if gpu and lane == "module" else {}
    settings |= passed_on() if gpu else {}
    return settings | ({} if timed or not gpu else _FEW_QUEUES)


def ahead_body(built: Built, order: str, setup: Path, *, zygote: Zygote | None, gpu: bool) -> Body:
    """The process that compiles the kernels of a module as `order` says; see `running.ahead`. It
    has no use for a device. Those that are forked from a zygote `gpu` see what that one sees."""
    settings = {"OMP_NUM_THREADS": "1"}
    arguments = (str(setup), order, str(built.artifact))
    return Body(
        argv=("/usr/bin/env", "OMP_NUM_THREADS=1", *_python("ahead"), *arguments),
        reads=(setup, built.folder, *sandbox.python_folders()),
        environment={},
        limits=sandbox.Limits(memory_bytes=None if gpu else _MEMORY_BYTES),
        processes=True,  # the assembler
        gpu=gpu,
        forked=_forked(zygote, "ahead", arguments, settings),
    )


def _forked(
    zygote: Zygote | None, program: Program, arguments: Sequence[str], settings: Mapping[str, str]
) -> tuple[Zygote, Request] | None:
    if zygote is None:
        return None
    return zygote, Request(program=program, arguments=arguments, environment=settings)


def _python(program: Program) -> tuple[str, ...]:
    return (sys.executable, "-I", "-B", "-m", f"{_PACKAGE}.{program}")


def scalar_mask(problem: Problem) -> str:
    """A 1 for each input that is a number, a 0 for each tensor."""
    return "".join("1" if spec.role == "scalar" else "0" for spec in problem.inputs)


def lent(runner: Body, lane: Lane, handles: str) -> Body:
    """`runner`, one on a GPU, in device memory that is lent to it by `handles`."""
    given = handles if lane == "native" else f"{gate()}:{handles}"

    def told(words: Iterable[str]) -> tuple[str, ...]:
        return tuple(given if word == NO_HANDLES else word for word in words)

    forked = runner.forked
    if forked is not None:
        zygote, request = forked
        forked = zygote, dataclasses.replace(request, arguments=told(request.arguments))
    return dataclasses.replace(runner, argv=told(runner.argv), forked=forked)


def write_setup(problem: Problem, device: Device, file: Path) -> None:
    """What the module runner must know: the device, the problem without its workloads, and the
    constants of the reference file that belong to each choice of sizes."""
    sizes = [
        {"axes": [w.axes[name] for name in problem.axes], "constants": w.constants}
        for w in problem.workloads
    ]
    bare = problem.model_copy(update={"workloads": ()})
    setup = {"device": device, "problem": bare.model_dump(mode="json"), "sizes": sizes}
    file.write_text(json.dumps(setup))
