"""The builders: side by side, once per text, aside while something is timed, and the cache."""

import os
import time
from pathlib import Path

import pytest

from kernelwright.core.errors import WorkerError
from kernelwright.core.evaluation import BuildFailed, TimedOut
from kernelwright.core.protocols import BuildPlan
from kernelwright.evaluate.building.builder import REMEMBERED, Builder, Built
from kernelwright.evaluate.building.compile_cache import CompileCache, Kept
from kernelwright.evaluate.building.gate import Gate
from kernelwright.evaluate.isolation.levels import isolation_level

LEVEL, _ = isolation_level()


def plan(command="cat in > out", text="hello"):
    return BuildPlan(
        files={"in": text}, commands=(("sh", "-c", command),), artifact="out", lane="native"
    )


@pytest.fixture
def builder(tmp_path):
    made = Builder(tmp_path, LEVEL, gate=Gate(2))
    yield made
    made.close()


@pytest.fixture
def cache(tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    return CompileCache(folder, limit_bytes=1500)


def test_equal_plans_are_built_once_and_others_are_not(builder):
    first = builder.build(plan("date +%N > out"))
    again = builder.build(plan("date +%N > out"))
    assert first is again
    assert builder.build(plan("date +%N > out", "other")).folder != first.folder


def test_builds_run_side_by_side_and_ahead_of_who_asks(builder):
    """Each waits for the other's mark, so one after the other neither would end."""
    shared = [builder.ahead(plan(f"sleep 0.5; echo {n} > out", str(n))) for n in range(2)]
    start = time.monotonic()
    made = [future.result() for future in shared]
    assert time.monotonic() - start < 0.95
    assert [one.artifact.read_text() for one in made] == ["0\n", "1\n"]
    assert builder.build(plan("sleep 0.5; echo 0 > out", "0")) is made[0]


def test_no_build_runs_while_something_is_timed(builder):
    slow = builder.ahead(plan("sleep 0.3; cat in > out"))
    time.sleep(0.1)
    with builder.quiet():
        assert slow.done()
        later = builder.ahead(plan(text="later"))
        time.sleep(0.3)
        assert not later.done()
    assert isinstance(later.result(timeout=10), Built)


def test_what_fails_says_why_and_a_limit_is_a_limit(tmp_path):
    builder = Builder(tmp_path, LEVEL, limit_s=0.5, gate=Gate(1))
    failed = builder.build(plan("echo no such thing; exit 3"))
    assert failed == BuildFailed(diagnostics="no such thing")
    assert builder.build(plan("sleep 9")) == TimedOut(stage="build", limit_s=0.5)
    assert builder.build(plan("ln -s in out")).diagnostics.startswith("out is not a plain file")
    assert builder.build(plan("true")).diagnostics.startswith("The build made no out")
    builder.close()


def test_a_build_that_somebody_holds_is_not_given_up(builder):
    held, other = plan(text="held"), plan(text="other")
    with builder.holding(held):
        kept, left = builder.build(held), builder.build(other)
        for n in range(REMEMBERED + 10):
            builder.build(plan(text=str(n)))
        assert kept.folder.exists()
        assert not left.folder.exists()
    for n in range(REMEMBERED):
        builder.build(plan(text=f"more {n}"))
    assert not kept.folder.exists()


def test_a_judge_keeps_a_bounded_number_of_builds_on_its_disk(tmp_path):
    builder = Builder(tmp_path, "process", gate=Gate(2))
    made = [builder.build(plan(text=str(n))) for n in range(REMEMBERED + 10)]
    assert sum(one.folder.exists() for one in made) == REMEMBERED
    assert made[-1].folder.exists()
    assert not made[0].folder.exists()
    assert builder.build(plan(text="0")).artifact.read_text() == "0"
    builder.close()


def test_so_many_builds_wait_ahead_and_no_more(tmp_path):
    builder = Builder(tmp_path, "process", gate=Gate(1))
    with builder.quiet():
        started = [builder.ahead(plan(text=str(n))) for n in range(40)]
        assert sum(one is not None for one in started) == 32
    assert isinstance(builder.build(plan(text="39")), Built)
    builder.close()


def test_closing_ends_what_runs_and_what_waits(tmp_path):
    builder = Builder(tmp_path, LEVEL, gate=Gate(1))
    futures = [builder.ahead(plan("sleep 60", str(n))) for n in range(3)]
    time.sleep(0.3)
    start = time.monotonic()
    builder.close()
    assert time.monotonic() - start < 5
    assert all(future.done() for future in futures)
    with pytest.raises(WorkerError, match="closed"):
        builder.build(plan())


def test_a_disk_that_refuses_is_our_fault_and_is_not_remembered(tmp_path):
    folder = tmp_path / "gone"
    builder = Builder(folder, LEVEL, gate=Gate(1))
    with pytest.raises(WorkerError, match="could not be written"):
        builder.build(plan())
    folder.mkdir()
    assert isinstance(builder.build(plan()), Built)
    builder.close()


def test_what_was_half_written_does_not_stand_in_the_way(cache, tmp_path, monkeypatch):
    """As when the disk is full for a moment."""
    first = built_with(cache, tmp_path / "one")
    write_bytes, refusals = Path.write_bytes, [OSError(28, "No space left on device")]

    def full(path, content):
        if path.name == "out" and refusals:
            raise refusals.pop()
        return write_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    (tmp_path / "two").mkdir()
    builder = Builder(tmp_path / "two", LEVEL, gate=Gate(1), cache=cache)
    made = plan("date +%N > out; echo said")
    with pytest.raises(WorkerError, match="No space left"):
        builder.build(made)
    assert builder.build(made).artifact.read_text() == first[0]
    builder.close()


def built_with(cache, folder, level=LEVEL, **given):
    folder.mkdir()
    builder = Builder(folder, level, gate=Gate(1), cache=cache)
    made = builder.build(plan("date +%N > out; echo said", **given))
    builder.close()
    return made.artifact.read_text(), made.log


def test_another_judge_finds_what_was_built(cache, tmp_path):
    first = built_with(cache, tmp_path / "one")
    assert first[1] == "said"
    assert built_with(cache, tmp_path / "two") == first
    assert built_with(cache, tmp_path / "three", text="other") != first


def test_an_entry_that_does_not_agree_with_its_hash_is_thrown_away(cache, tmp_path):
    first = built_with(cache, tmp_path / "one")
    (entry,) = (tmp_path / "cache").iterdir()
    content = bytearray(entry.read_bytes())
    content[-1] ^= 1
    entry.write_bytes(content)
    again, _ = built_with(cache, tmp_path / "two")
    assert again != first[0]
    assert again[:-1].isdigit()
    assert again.endswith("\n")
    assert entry.read_bytes() != content
    entry.unlink()
    entry.symlink_to(tmp_path / "nowhere")
    assert cache.get(entry.name) is None


def test_what_was_used_longest_ago_goes_when_the_cache_is_full(cache, tmp_path):
    for number in range(4):
        cache.put(f"key{number}", Kept({"out": bytes(200)}, ""))
        os.utime(tmp_path / "cache" / f"key{number}", ns=(number, number))
    assert cache.get("key0") is not None
    cache.put("key4", Kept({"out": bytes(200)}, ""))
    kept = {p.name for p in (tmp_path / "cache").iterdir()}
    assert "key0" in kept
    assert "key4" in kept
    assert "key1" not in kept


def test_too_large_a_build_is_not_kept(cache, tmp_path):
    cache.put("key", Kept({"out": bytes(65 << 20)}, ""))
    assert cache.get("key") is None


def test_there_is_no_cache_where_candidates_or_others_could_write_to_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert CompileCache.of_user("process") is None
    assert CompileCache.of_user("bubblewrap+seccomp") is not None
    (tmp_path / "kernelwright" / "builds").chmod(0o777)
    assert CompileCache.of_user("bubblewrap+seccomp") is None


def test_a_candidate_that_is_built_sees_no_cache(cache, tmp_path):
    """Neither to read another's build, nor to leave one there."""
    if LEVEL == "process":
        pytest.skip("this machine has no sandbox")
    builder = Builder(tmp_path, LEVEL, gate=Gate(1), cache=cache)
    folder = tmp_path / "cache"
    made = builder.build(plan(f"ls {folder}; touch {folder}/entry; echo 1 > out"))
    assert "No such file" in made.log
    assert not (folder / "entry").exists()
    builder.close()
