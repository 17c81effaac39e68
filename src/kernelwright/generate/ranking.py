"""Which passages fit some words: SQLite's full-text search, in memory, over all there are.

The index is made anew for each question. A hundred passages take some milliseconds, and nothing has
to be kept in step with what they are made from.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing

from kernelwright.core.errors import Unavailable
from kernelwright.core.protocols import Passage

# How much a word in a title counts against one in the text.
_TITLE, _TEXT = 5.0, 1.0
_MOST_TERMS = 200
_WORD = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")


def ranked(query: str, passages: Sequence[Passage]) -> list[Passage]:
    """Those of `passages` that share a word with `query`, the best first by bm25; all of them, as
    they come, for a query without words. Of equals the earlier goes first.

    Raises:
        Unavailable: this Python's SQLite cannot search in texts.
    """
    terms = list(dict.fromkeys(_words(query).lower().split()))[:_MOST_TERMS]
    if not terms:
        return list(passages)
    with closing(_indexed(passages)) as index:
        # Each term in quotes, so that none is taken for an operator.
        wanted = " OR ".join(f'"{term}"' for term in terms)
        rows = index.execute(
            f"SELECT rowid FROM passage WHERE passage MATCH ? "
            f"ORDER BY bm25(passage, {_TITLE}, {_TEXT}), rowid",
            (wanted,),
        ).fetchall()
    return [passages[row] for (row,) in rows]


def _indexed(passages: Sequence[Passage]) -> sqlite3.Connection:
    index = sqlite3.connect(":memory:")
    try:
        index.execute(
            "CREATE VIRTUAL TABLE passage USING fts5(title, body, tokenize='porter unicode61')"
        )
    except sqlite3.OperationalError as error:
        index.close()
        raise Unavailable(
            f"Passages cannot be searched: this Python's SQLite lacks FTS5 ({error})."
        ) from error
    index.executemany(
        "INSERT INTO passage(rowid, title, body) VALUES (?, ?, ?)",
        (
            (number, _words(f"{passage.source} {passage.title}"), _words(passage.text))
            for number, passage in enumerate(passages)
        ),
    )
    return index


def _words(text: str) -> str:
    """The words of a text, those that are joined in a name apart: ``LayerNorm``, ``row_sum``."""
    return " ".join(_WORD.findall(_HUMP.sub(" ", text)))
