"""Names that are identifiers in Python and in C++, and that no two things share."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable
from pathlib import PurePath

_CPP = """
alignas alignof asm auto bool case catch char concept const constexpr default delete do double
enum explicit export extern float friend goto inline int long mutable namespace new noexcept
operator private protected public register restrict short signed sizeof static struct switch
template this throw typedef typename union unsigned using virtual void volatile main errno std
NULL
"""
_CPP_WORDS = frozenset(_CPP.split())


def identifier(text: str) -> str:
    """`text` as an identifier of both languages.

    >>> identifier("layers.0.weight"), identifier("double"), identifier("0th")
    ('layers_0_weight', 'double_', 'n_0th')
    """
    name = re.sub(r"[^0-9A-Za-z_]", "_", text).strip("_") or "value"
    if name[0].isdigit():
        name = f"n_{name}"
    return f"{name}_" if keyword.iskeyword(name) or name in _CPP_WORDS else name


def distinct(wanted: Iterable[str], *, taken: Iterable[str] = (), suffix: str = "") -> list[str]:
    """Identifiers for `wanted`, changed where they would repeat or collide with `taken`.

    >>> distinct(["x", "x", "a.b"], taken=["a_b"], suffix="_param")
    ['x', 'x_param', 'a_b_param']
    """
    used, names = set(taken), []
    for text in wanted:
        base = name = identifier(text)
        if name in used and suffix:
            base = name = f"{base}{suffix}"
        count = 2
        while name in used:
            name, count = f"{base}_{count}", count + 1
        used.add(name)
        names.append(name)
    return names


def workloads_file(name: str) -> str:
    """What the file is called in which the workloads of the reference file `name` are declared.

    >>> workloads_file("region_1.py")
    'region_1.workloads.json'
    """
    return f"{PurePath(name).stem}.workloads.json"
