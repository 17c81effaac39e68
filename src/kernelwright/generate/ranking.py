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
# Words that say nothing of what is looked for. A query of nothing else is taken as it is.
_EMPTY = frozenset(
    {
        "a", "an", "and", "are", "as", "at", "be", "by", "can", "do", "does", "for", "from", "has",
        "how", "i", "if", "in", "into", "is", "it", "its", "not", "of", "on", "or", "that", "the",
        "their", "then", "there", "this", "to", "was", "what", "when", "where", "which", "who",
        "why", "with", "you",
    }
)  # fmt: skip
_WORD = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")


def ranked(query: str, passages: Sequence[Passage]) -> list[Passage]:
    """Those of `passages` that share a word with `query`, the best first by bm25; all of them, as
    they come, for a query without words. Of equals the earlier goes first.

    Raises:
        Unavailable: this Python's SQLite cannot search in texts.
    """
    terms = _terms(query)
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


def _terms(query: str) -> list[str]:
    """The words of a query, and those as one that are joined in it: ``memory_bound`` asks for
    both together before it asks for either."""
    joined = [_words(part).lower() for part in query.split()]
    apart = [word for part in joined for word in part.split()]
    terms = [part for part in (*joined, *apart) if part]
    return list(dict.fromkeys([t for t in terms if t not in _EMPTY] or terms))[:_MOST_TERMS]


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
