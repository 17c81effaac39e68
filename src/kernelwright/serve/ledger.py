"""The ledger: every submission and its answer in one SQLite file, so that a restart loses nothing.

A submission is on disk before its ticket is given. What a killed server had not answered is found
again by `unfinished`.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kernelwright.core.errors import StoreError, UsageError
from kernelwright.core.evaluation import Evaluation
from kernelwright.serve.records import Answer, State, Submission, speedup_of

FILE_NAME = "service.sqlite"
_VERSION = 1
_APPLICATION_ID = 0x4B575345
_TABLE = """
CREATE TABLE IF NOT EXISTS submission (
    id TEXT PRIMARY KEY, at REAL NOT NULL, asked TEXT NOT NULL,
    state TEXT NOT NULL, message TEXT, evaluation TEXT
)
"""


@dataclass(frozen=True)
class Task:
    """A submission under its id."""

    id: str
    submission: Submission

    @property
    def problem(self) -> str:
        """Its problem in words."""
        return self.submission.problem or "its own source"


class Ledger:
    """The submissions of one server. Safe to use from any thread; a context manager."""

    def __init__(self, connection: sqlite3.Connection, where: Path, lock: int):
        self._connection = connection
        self._where = where
        self._file_lock = lock
        self._lock = threading.Lock()

    @classmethod
    @contextmanager
    def open(cls, folder: Path) -> Iterator[Ledger]:
        """The ledger in `folder`, made if it is not there, and closed when the block is left.

        Raises:
            UsageError: another server uses it, or the file is not a ledger of this version.
            StoreError: it cannot be written.
        """
        where = folder / FILE_NAME
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(folder / "service.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                f"The folder {folder} cannot be written ({error.strerror}). Choose another "
                "with --folder."
            ) from error
        try:
            _lock_alone(lock, folder)
            with _errors(where):
                connection = _connect(where)
            try:
                yield cls(connection, where, lock)
            finally:
                connection.close()
        finally:
            os.close(lock)

    def add(self, tasks: Sequence[Task]) -> None:
        """Write all of `tasks`, queued, or none.

        Raises:
            StoreError: none was written.
        """
        rows = [(t.id, time.time(), t.submission.model_dump_json(), "queued") for t in tasks]
        with self._lock, _errors(self._where), self._connection:
            self._connection.executemany(
                "INSERT INTO submission (id, at, asked, state) VALUES (?, ?, ?, ?)", rows
            )

    def finish(
        self, ids: Sequence[str], state: State, message: str | None, evaluation: Evaluation | None
    ) -> None:
        """Write how the submissions `ids` ended.

        Raises:
            StoreError: it was not written.
        """
        found = None if evaluation is None else evaluation.model_dump_json()
        with self._lock, _errors(self._where), self._connection:
            self._connection.executemany(
                "UPDATE submission SET state = ?, message = ?, evaluation = ? WHERE id = ?",
                [(state, message, found, one) for one in ids],
            )

    def answer(self, submission_id: str) -> Answer | None:
        """Where a submission stands; None when there is none of this id."""
        with self._lock, _errors(self._where):
            row = self._connection.execute(
                "SELECT asked, state, message, evaluation FROM submission WHERE id = ?",
                (submission_id,),
            ).fetchone()
        if row is None:
            return None
        asked, state, message, found = row
        task = Task(submission_id, Submission.model_validate_json(asked))
        evaluation = None if found is None else Evaluation.model_validate_json(found)
        return Answer(
            id=submission_id,
            state=state,
            problem=task.problem,
            language=task.submission.language,
            effort=task.submission.effort,
            message=message,
            speedup=speedup_of(evaluation),
            evaluation=evaluation,
        )

    def unfinished(self) -> list[Task]:
        """What has no answer yet, the oldest first."""
        with self._lock, _errors(self._where):
            rows = self._connection.execute(
                "SELECT id, asked FROM submission WHERE state = 'queued' ORDER BY rowid"
            ).fetchall()
        return [Task(one, Submission.model_validate_json(asked)) for one, asked in rows]

    def forget(self, older_than_s: float) -> int:
        """Remove answers to what was submitted longer ago than this; how many there were."""
        with self._lock, _errors(self._where), self._connection:
            return self._connection.execute(
                "DELETE FROM submission WHERE at < ? AND state != 'queued'",
                (time.time() - older_than_s,),
            ).rowcount


def _lock_alone(lock: int, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise UsageError(
            f"Another server keeps its submissions in {folder}. Stop it, or choose another "
            "folder with --folder."
        ) from error


def _connect(where: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(where, check_same_thread=False, timeout=10.0)
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and (application, version) != (_APPLICATION_ID, _VERSION):
            raise UsageError(
                f"{where} is not the file of this version's server. Choose another folder with "
                "--folder, or move that file away."
            )
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        with connection:
            connection.execute(_TABLE)
            connection.execute(f"PRAGMA user_version={_VERSION}")
            connection.execute(f"PRAGMA application_id={_APPLICATION_ID}")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def _errors(where: Path) -> Iterator[None]:
    """Turn the database's exceptions into ours, here and nowhere else."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(
            f"{where} cannot be used: {error}. Is the disk full, or the file damaged?"
        ) from error
