"""A run's log in a database: two tables, `event` and `blob`, and nothing else.

SQLite by default, one file in the run's folder; any other database that SQLAlchemy knows, by URL.
What the events mean is in `fold`. One process writes a run at a time: `run.folder` holds the lock,
and two writers that got past it collide on the primary key, which is an error and not a mix.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from kernelwright.core.errors import StoreError, Unavailable, UsageError
from kernelwright.core.run import Event

FILE_NAME = "run.sqlite"
SCHEMA_VERSION = 1
_ONLY_RUN = "run"
# Bytes 68 to 71 of the file, so that `file` and we can tell our database from anyone's.
_APPLICATION_ID = 0x4B575254
_BUSY_TIMEOUT_S = 10.0

_METADATA = sa.MetaData()
_EVENT = sa.Table(
    "event",
    _METADATA,
    sa.Column("run", sa.String, primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("data", sa.Text, nullable=False),
)
_BLOB = sa.Table(
    "blob",
    _METADATA,
    sa.Column("key", sa.String, primary_key=True),
    sa.Column("content", sa.LargeBinary, nullable=False),
)


class SqlStore:
    """The events of one run, and blobs by content."""

    def __init__(self, engine: Engine, run: str, where: str) -> None:
        self._engine = engine
        self._run = run
        self._where = where

    @classmethod
    def open(cls, target: Path | str, run: str, *, writable: bool = True) -> SqlStore:
        """The store of `run` in the file or database `target`, made if it is not there.

        A file holds one run, whatever its name, so that its folder may be renamed; a database
        that is given by its URL holds many. With `writable=False` a file must exist and is never
        written, so that a run in a read-only folder can still be read.

        Raises:
            UsageError: not a log of ours, one of a newer version, or an address of no database.
            StoreError: it cannot be opened or made.
        """
        if isinstance(target, Path) or "://" not in target:
            return _open_file(Path(target), writable=writable)
        url = _parse(target)
        where = url.render_as_string(hide_password=True)
        with _database_errors(where):
            engine = _engine_of(url)
            _METADATA.create_all(engine)
        return cls(engine, run, where)

    def append(self, event: Event) -> int:
        """Write `event` durably and return its `seq`.

        Raises:
            StoreError: it was not written; the log is as it was.
        """
        following = sa.select(
            sa.literal(self._run),
            sa.func.coalesce(sa.func.max(_EVENT.c.seq), 0) + 1,
            sa.literal(event.at, sa.Double),
            sa.literal(event.kind),
            sa.literal(json.dumps(event.data, allow_nan=False, separators=(",", ":"))),
        ).where(_EVENT.c.run == self._run)
        insert = _EVENT.insert().from_select(["run", "seq", "at", "kind", "data"], following)
        with _database_errors(self._where), self._engine.begin() as connection:
            return int(connection.execute(insert.returning(_EVENT.c.seq)).scalar_one())

    def records(self, after: int = 0) -> Sequence[Event]:
        """The events with a `seq` above `after`, in order."""
        query = (
            sa.select(_EVENT.c.seq, _EVENT.c.at, _EVENT.c.kind, _EVENT.c.data)
            .where(_EVENT.c.run == self._run, _EVENT.c.seq > after)
            .order_by(_EVENT.c.seq)
        )
        with _database_errors(self._where), self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return [self._event(*row) for row in rows]

    def _event(self, seq: int, at: float, kind: Any, data: str) -> Event:
        try:
            return Event(seq=seq, at=at, kind=kind, data=json.loads(data))
        except ValueError as error:
            raise StoreError(
                f"Event {seq} in {self._where} cannot be read; the file is damaged or was written "
                f"by another version of Kernelwright."
            ) from error

    def put(self, blob: bytes) -> str:
        """Keep `blob` and return its key, the SHA-256 of its content."""
        key = hashlib.sha256(blob).hexdigest()
        known = sa.select(_BLOB.c.key).where(_BLOB.c.key == key)
        with _database_errors(self._where), self._engine.begin() as connection:
            if connection.execute(known).first() is None:
                connection.execute(_BLOB.insert().values(key=key, content=blob))
        return key

    def get(self, key: str) -> bytes:
        """The blob under `key`.

        Raises:
            StoreError: there is none.
        """
        query = sa.select(_BLOB.c.content).where(_BLOB.c.key == key)
        with _database_errors(self._where), self._engine.connect() as connection:
            content = connection.execute(query).scalar()
        if content is None:
            raise StoreError(f"{self._where} has no blob {key!r}.")
        return bytes(content)

    def close(self) -> None:
        """Let go of the database; SQLite folds its write-ahead log into the file."""
        self._engine.dispose()

    def __enter__(self) -> SqlStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _parse(target: str) -> URL:
    try:
        return make_url(target)
    except (ArgumentError, ValueError) as error:
        raise UsageError(
            f"{target.partition('://')[0]}://… is no address of a database. An address looks like "
            "postgresql://user@host/name."
        ) from error


def _engine_of(url: URL) -> Engine:
    try:
        return sa.create_engine(url)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise Unavailable(
            f"The store {url.drivername}:// needs a driver that is not installed ({error}). "
            "Install it, or leave the store out to use a file in the run's folder."
        ) from error


def _open_file(path: Path, *, writable: bool) -> SqlStore:
    if not writable and not path.is_file():
        raise UsageError(f"{path} does not exist, so there is no run to read.")
    where = str(path)
    engine = _sqlite(path, writable=writable)
    try:
        with _database_errors(where), engine.connect() as connection:
            tables = _check_ours(connection, path)
            if writable:
                _prepare(connection)
            elif not tables:
                raise UsageError(f"The run of {path} was stopped before it began; it says nothing.")
    except BaseException:
        engine.dispose()
        raise
    return SqlStore(engine, _ONLY_RUN, where)


def _sqlite(path: Path, *, writable: bool) -> Engine:
    """One connection, kept: a run has one writer, and opening costs more than a row does."""
    mode = "rwc" if writable else _reading_mode(path)
    address = f"{path.absolute().as_uri()}?mode={mode}"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(address, uri=True, check_same_thread=False, timeout=_BUSY_TIMEOUT_S)

    engine = sa.create_engine("sqlite://", creator=connect, poolclass=StaticPool)
    sa.event.listen(engine, "connect", _set_pragmas if writable else _keep_reading)
    return engine


def _reading_mode(path: Path) -> str:
    """A reader of a write-ahead log has to make files beside it, unless the log is at rest."""
    at_rest = not path.with_name(path.name + "-wal").exists()
    return "ro&immutable=1" if at_rest else "ro"


def _set_pragmas(connection: Any, _record: object) -> None:
    """Write ahead, and sync each commit.

    An attempt costs seconds and may cost money; a sync costs a millisecond. NORMAL would already
    survive `kill -9`, FULL also survives a power cut.
    """
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


def _keep_reading(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA query_only=1")


def _check_ours(connection: sa.Connection, path: Path) -> int:
    """How many tables the file has, which is none when its maker died before its first commit."""
    application = connection.exec_driver_sql("PRAGMA application_id").scalar()
    version = int(connection.exec_driver_sql("PRAGMA user_version").scalar() or 0)
    tables = int(connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar() or 0)
    if application != _APPLICATION_ID and tables:
        raise UsageError(f"{path} is a database, but not the log of a Kernelwright run.")
    if version > SCHEMA_VERSION:
        raise UsageError(
            f"{path} was written by a newer Kernelwright (log version {version}, this one reads up "
            f"to {SCHEMA_VERSION}). Update Kernelwright to read it."
        )
    return tables


def _prepare(connection: sa.Connection) -> None:
    """Make the tables and sign the file, in one transaction."""
    connection.rollback()
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    _METADATA.create_all(connection)
    connection.exec_driver_sql(f"PRAGMA user_version={SCHEMA_VERSION}")
    connection.exec_driver_sql(f"PRAGMA application_id={_APPLICATION_ID}")
    connection.commit()


_REMEDIES = {
    "disk is full": "the disk is full. What was written before is safe; make room, then resume.",
    "disk i/o error": "the disk refused a write. It may be full or failing; make room, then "
    "resume.",
    "readonly": "it is read-only. Choose a folder that can be written.",
    "read-only": "it is read-only. Choose a folder that can be written.",
    "unable to open": "it cannot be opened. Does its folder exist, and may you write there?",
    "not a database": "it is not the log of a Kernelwright run, or it is damaged.",
    "malformed": "it is damaged. Restore it from a copy, or start a new run.",
    "locked": "another process is using it. Wait for that process, or end it.",
}


@contextmanager
def _database_errors(where: str) -> Iterator[None]:
    """Turn the database's exceptions into ours, here and nowhere else."""
    try:
        yield
    except IntegrityError as error:
        raise StoreError(f"Another process is writing the same run to {where}.") from error
    except SQLAlchemyError as error:
        said = str(getattr(error, "orig", None) or error)
        for symptom, remedy in _REMEDIES.items():
            if symptom in said.lower():
                raise StoreError(f"The log {where} cannot be used: {remedy}") from error
        raise StoreError(f"The log {where} cannot be used: {said}.") from error
