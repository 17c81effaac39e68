"""What a reference file raises, as a sentence that names its line and what it was doing."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from kernelwright.core.errors import DeviceFull, ProblemError
from kernelwright.core.problem import Source
from kernelwright.core.record import content_id

_NO_CUDA = ("no nvidia driver", "not compiled with cuda", "no cuda gpus", "cuda is not available",
            "cuda driver", "cuda error", "deserialize object on a cuda device")  # fmt: skip


@contextmanager
def explained(source: Source, doing: str) -> Iterator[None]:
    """Turn what the file raises into a `ProblemError` that names the file, line and step.

    This is the boundary to somebody's code, which may raise anything.

    Raises:
        DeviceFull: the GPU had no memory for it, which says nothing about the file while others use
            that too.
    """
    try:
        yield
    except ProblemError:
        raise
    except torch.OutOfMemoryError as error:
        raise DeviceFull(_no_memory(source, doing, error)) from error
    except (Exception, SystemExit) as error:
        raise ProblemError(_explanation(source, doing, error)) from error


def _no_memory(source: Source, doing: str, error: BaseException) -> str:
    return (
        f"{_where(source, error)}: {doing} found no memory on the GPU. See in `nvidia-smi` who has "
        "it, and judge with fewer processes at once; if it is nobody, make the sizes smaller. "
        f"({_text(error)})"
    )


def _where(source: Source, error: BaseException) -> str:
    file = file_name(source)
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    return f"{source.main_file} line {lines[-1]}" if lines else source.main_file


def _text(error: BaseException) -> str:
    return " ".join(str(error).split())[:400]


def _explanation(source: Source, doing: str, error: BaseException) -> str:
    name, where, text = source.main_file, _where(source, error), _text(error)
    if isinstance(error, SystemExit):
        return f"{where}: {doing} ends the process (SystemExit {text}). Remove the exit."
    if any(sign in text.lower() for sign in _NO_CUDA):
        return (
            f"{where}: {doing} needs a CUDA device, and the reference runs on the CPU here. "
            f"Remove .cuda() and device='cuda' from {name}; tensors are moved for you. ({text})"
        )
    if isinstance(error, ModuleNotFoundError):
        return (
            f"{where}: {doing} needs the module {error.name!r}, which cannot be imported. "
            f"Install it in this environment, or put its code into {name}."
        )
    if isinstance(error, MemoryError) or "can't allocate memory" in text:
        return f"{where}: {doing} needs more memory than there is. Make its sizes smaller. ({text})"
    return f"{where}: {doing} raised {type(error).__name__}: {text}"


def file_name(source: Source) -> str:
    """A name that no real file has, so that tracebacks and `inspect` find this text."""
    return f"<reference {content_id(source.text)}>/{source.main_file}"
