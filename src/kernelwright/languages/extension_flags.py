"""The flags that a torch extension may ask for, and what becomes of them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence

from kernelwright.core.errors import BuildRefused
from kernelwright.languages import cpp, cuda

# Of a candidate's own text, or of what is said about it.
_COMMON = (
    r"-std=(c|gnu)\+\+\d\w", r"-D\w+(=[\w.+-]*)?", r"-U\w+", r"-w", r"-W(no-)?[a-z][\w-]*", r"-g",
)  # fmt: skip
COMPILE = (
    *cpp.ALLOWED_OPTIONS, *_COMMON, r"-O0", r"-fPIC", r"-fopenmp", r"-march=native", r"-ffast-math",
    r"-mtune=native", r"-m(avx|avx2|fma|f16c|avx512\w+|sse4\.[12])", r"-funsafe-math-optimizations",
)  # fmt: skip
_ARCH = r"(sm|compute)_\d{2,3}[af]?"
DEVICE = (
    *cuda.ALLOWED_OPTIONS, *_COMMON, r"--std=c\+\+\d\w", r"--?(generate-)?line-?info",
    r"--?expt-(relaxed-constexpr|extended-lambda)", r"--?extended-lambda",
    rf"--?(gpu-architecture|arch)={_ARCH}",
    rf"--?(gencode|generate-code)=arch={_ARCH},code={_ARCH}",
    r"(-Xptxas|--ptxas-options)=(-v|-O[0123]|-warn-spills)", r"--?threads=\d{1,2}",
    r"--?(prec-div|prec-sqrt|ftz)=(true|false)",
    r"(-Xcompiler|--compiler-options)=(-O[0123]|-fPIC|-fopenmp|-march=native|-w)",
)  # fmt: skip
LINK = (
    r"-l(cublas|cublasLt|cudnn|curand|cusparse|cusolver|cufft|cuda|cudart|nvrtc)", r"-fopenmp",
    r"-l(c10|c10_cuda|torch|torch_cpu|torch_cuda|torch_python|gomp|m|pthread|dl)",
)  # fmt: skip
# Followed by what it sets, in a word of its own.
_PAIRED = (
    "-Xptxas", "--ptxas-options", "-Xcompiler", "--compiler-options", "-gencode", "--generate-code",
    "-arch", "--gpu-architecture", "-std", "--std", "--threads", "-maxrregcount", "--maxrregcount",
)  # fmt: skip
# torch's headers say which standard they need; the header that is precompiled is optimised.
_LEFT_OUT = r"--?std=.*|--?threads=.*|-O0|-g"
# A header that is precompiled is made for each choice of these, so there can be eight.
_OF_HEADERS = ("-fopenmp", "-march=native", "-ffast-math")


def checked(given: Iterable[str], allowed: Sequence[str], argument: str) -> tuple[str, ...]:
    """The flags of `argument` as single words, without those that torch's headers decide.

    Raises:
        BuildRefused: naming the first flag that is not in `allowed`.
    """
    words = _words(given, argument)
    for word in words:
        if not any(re.fullmatch(pattern, word) for pattern in allowed):
            shown = ", ".join(pattern.replace("\\", "") for pattern in allowed)
            raise BuildRefused(f"The flag {word!r} in {argument} is not allowed. Allowed: {shown}.")
    return tuple(word for word in words if not re.fullmatch(_LEFT_OUT, word))


def _words(given: Iterable[str], argument: str) -> list[str]:
    try:
        words = [word for text in given for word in shlex.split(text)]
    except ValueError as error:
        raise BuildRefused(f"The flags in {argument} cannot be read: {error}.") from error
    joined: list[str] = []
    waiting = None
    for word in words:
        if waiting is not None:
            joined.append(f"{waiting}={word}")
            waiting = None
        elif word in _PAIRED:
            waiting = word
        else:
            joined.append(word)
    return [*joined, waiting] if waiting else joined


def of_headers(flags: Sequence[str]) -> tuple[str, ...]:
    """Those of `flags` that a precompiled header is made with. Where another one keeps the compiler
    from using it, the text is read instead, which takes longer."""
    return tuple(flag for flag in _OF_HEADERS if flag in flags)


def names_an_architecture(flags: Iterable[str]) -> bool:
    """Whether a candidate chose what nvcc compiles for."""
    return any("arch" in flag for flag in flags)
