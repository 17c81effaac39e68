"""Both stores keep their promises, and a file says what is wrong with it."""

import os
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from kernelwright.core.errors import StoreError, Unavailable, UsageError
from kernelwright.store.memory import MemoryStore
from kernelwright.store.sql import FILE_NAME, SCHEMA_VERSION, SqlStore
from kernelwright.testing.store import StoreContract, note


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self):
        return MemoryStore()


class TestSqlStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path):
        with SqlStore.open(tmp_path / FILE_NAME, "r") as store:
            yield store


@pytest.fixture
def path(tmp_path):
    return tmp_path / FILE_NAME


def test_a_file_keeps_events_and_blobs_after_it_is_closed(path):
    with SqlStore.open(path, "r") as store:
        store.append(note("a"))
        key = store.put(b"x")
    with SqlStore.open(path, "r") as store:
        assert [e.data["reason"] for e in store.records()] == ["a"]
        assert store.get(key) == b"x"
        assert store.append(note("b")) == 2


def test_runs_that_share_a_database_do_not_see_each_other(path):
    url = f"sqlite:///{path}"
    with SqlStore.open(url, "one") as one, SqlStore.open(url, "two") as two:
        one.append(note("a"))
        assert two.append(note("b")) == 1
        assert [e.data["reason"] for e in two.records()] == ["b"]


def test_a_run_may_be_renamed(path):
    with SqlStore.open(path, "before") as store:
        store.append(note("a"))
    with SqlStore.open(path, "after", writable=False) as store:
        assert len(store.records()) == 1


def test_a_folder_name_may_hold_signs_that_mean_something_in_an_address(tmp_path):
    folder = tmp_path / "a?b=%41 #é"
    folder.mkdir()
    with SqlStore.open(folder / FILE_NAME, "r") as store:
        store.append(note("a"))
    assert [p.name for p in tmp_path.iterdir()] == [folder.name]
    with SqlStore.open(folder / FILE_NAME, "r", writable=False) as store:
        assert len(store.records()) == 1


def test_an_address_opens_the_same_two_tables(path):
    with SqlStore.open(f"sqlite:///{path}", "r") as store:
        assert store.append(note("a")) == 1
        assert store.get(store.put(b"x")) == b"x"
    tables = sqlite3.connect(path).execute("SELECT name FROM sqlite_master WHERE type='table'")
    assert {name for (name,) in tables} == {"event", "blob"}


@pytest.mark.parametrize("address", ["nosuchbase://host/name", "postgresql+nosuch://host/name"])
def test_an_address_without_a_driver_says_what_to_install(address):
    with pytest.raises(Unavailable, match="needs a driver"):
        SqlStore.open(address, "r")


def test_an_address_that_is_none_is_refused_without_its_password():
    with pytest.raises(UsageError, match="no address") as caught:
        SqlStore.open("postgresql://me:secret@host:port/name", "r")
    assert "secret" not in str(caught.value)


def test_a_committed_event_survives_a_process_that_is_killed(path):
    script = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        from kernelwright.store.sql import SqlStore
        from kernelwright.testing.store import note
        store = SqlStore.open(Path(sys.argv[1]), "r")
        store.append(note("kept"))
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    done = subprocess.run([sys.executable, "-c", script, path], timeout=60, check=False)
    assert done.returncode == -9
    with SqlStore.open(path, "r") as store:
        assert [e.data["reason"] for e in store.records()] == ["kept"]


def test_a_reader_follows_a_writer(path):
    with SqlStore.open(path, "r") as writer:
        writer.append(note("a"))
        with SqlStore.open(path, "r", writable=False) as reader:
            writer.append(note("b"))
            assert [e.data["reason"] for e in reader.records()] == ["a", "b"]


def test_a_reader_never_writes(path):
    SqlStore.open(path, "r").close()
    before = path.read_bytes()
    with (
        SqlStore.open(path, "r", writable=False) as reader,
        pytest.raises(StoreError, match="read-only"),
    ):
        reader.append(note("a"))
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [FILE_NAME]


def test_reading_a_run_that_is_not_there_says_so(path):
    with pytest.raises(UsageError, match="does not exist"):
        SqlStore.open(path, "r", writable=False)
    assert not path.exists()


def test_a_file_that_is_no_database_is_refused_and_left_alone(path):
    path.write_bytes(b"just some text, and enough of it to be read as a header" * 40)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not the log"):
        SqlStore.open(path, "r")
    assert path.read_bytes() == before


def test_a_database_of_someone_else_is_refused_and_left_alone(path):
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (x)")
    other.commit()
    other.close()
    with pytest.raises(UsageError, match="not the log"):
        SqlStore.open(path, "r")
    tables = sqlite3.connect(path).execute("SELECT name FROM sqlite_master").fetchall()
    assert tables == [("theirs",)]


def test_a_log_of_a_newer_version_asks_for_an_update(path):
    SqlStore.open(path, "r").close()
    raw = sqlite3.connect(path)
    raw.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    raw.close()
    with pytest.raises(UsageError, match="newer Kernelwright"):
        SqlStore.open(path, "r")


def test_a_file_whose_maker_died_before_its_first_commit_is_made_anew(path):
    path.touch()
    with pytest.raises(UsageError, match="stopped before it began"):
        SqlStore.open(path, "r", writable=False)
    with SqlStore.open(path, "r") as store:
        assert store.append(note("a")) == 1


def test_a_damaged_row_names_its_event(path):
    with SqlStore.open(path, "r") as store:
        store.append(note("a"))
    raw = sqlite3.connect(path)
    raw.execute("UPDATE event SET data = '{'")
    raw.commit()
    raw.close()
    with (
        SqlStore.open(path, "r") as store,
        pytest.raises(StoreError, match=r"Event 1 .* cannot be read"),
    ):
        store.records()


def test_a_folder_that_is_missing_is_an_error_that_asks_about_it(tmp_path):
    with pytest.raises(StoreError, match="Does its folder exist"):
        SqlStore.open(tmp_path / "missing" / FILE_NAME, "r")


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere, so a mode stops nothing")
def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="cannot be"):
        SqlStore.open(tmp_path / FILE_NAME, "r")


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 256 KiB, which only root may mount."""
    if os.getuid() != 0:
        pytest.skip("only root may mount a small file system to fill")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True, timeout=20, check=False)
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], timeout=20, check=True)


def _fill(store: SqlStore) -> None:
    while True:
        store.append(note("x" * 4000))


def test_a_full_disk_loses_nothing_that_was_written(tiny_disk: Path):
    store = SqlStore.open(tiny_disk / FILE_NAME, "r")
    ballast = tiny_disk / "ballast"
    ballast.write_bytes(bytes(64 * 1024))
    with pytest.raises(StoreError, match=r"disk is full|refused a write"):
        _fill(store)
    written = len(store.records())
    assert written > 0
    ballast.unlink()
    assert store.append(note("after")) == written + 1
    store.close()
    with SqlStore.open(tiny_disk / FILE_NAME, "r") as again:
        assert [e.seq for e in again.records()] == list(range(1, written + 2))


def test_a_read_only_disk_refuses_a_new_run_and_still_shows_an_old_one(tiny_disk: Path):
    path = tiny_disk / FILE_NAME
    with SqlStore.open(path, "r") as store:
        store.append(note("a"))
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], timeout=20, check=True)
    with pytest.raises(StoreError, match=r"cannot be used: .*(read-only|opened)"):
        SqlStore.open(tiny_disk / "other.sqlite", "r")
    with SqlStore.open(path, "r", writable=False) as store:
        assert [e.data["reason"] for e in store.records()] == ["a"]
