"""Plans that have other plans in them: parts, headers of ours, second tries, and what follows."""

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from kernelwright.core.errors import BuildRefused, WorkerError
from kernelwright.core.evaluation import BuildFailed
from kernelwright.core.protocols import HEADER_FOLDER, BuildPlan
from kernelwright.evaluate.building.builder import REMEMBERED, Builder, Built
from kernelwright.evaluate.building.compile_cache import CompileCache
from kernelwright.evaluate.building.gate import Gate
from kernelwright.evaluate.building.headers import Headers
from kernelwright.evaluate.isolation.levels import isolation_level

LEVEL, _ = isolation_level()


def plan(command="cat in > out", text="hello", **more):
    return BuildPlan(
        files={"in": text}, commands=(("sh", "-c", command),), artifact="out", lane="native", **more
    )


def stamp(text):
    """A build that comes out another way each time that it is made."""
    return plan("date +%N > out", text)


def whole(first, second, command="cat a b > out", **more):
    return plan(command, parts={"a": first, "b": second}, **more)


@pytest.fixture
def folders(tmp_path):
    for name in ("work", "cache", "headers"):
        (tmp_path / name).mkdir(mode=0o700)
    return tmp_path


@pytest.fixture
def opened(folders):
    """Builders of one user, each another judge's."""
    made = []

    def opened(level=LEVEL, places=2):
        folder = folders / "work" / str(len(made))
        folder.mkdir()
        cache = CompileCache(folders / "cache")
        headers = Headers(folders / "headers")
        made.append(Builder(folder, level, gate=Gate(places), cache=cache, headers=headers))
        return made[-1]

    yield opened
    for builder in made:
        builder.close()


def text(made):
    assert isinstance(made, Built), made
    return made.artifact.read_text()


def test_an_edit_of_one_part_makes_that_part_alone_again(opened):
    """In this judge, and in the next."""
    first, second = text(opened().build(whole(stamp("1"), stamp("2")))).split()
    builder = opened()
    edited = text(builder.build(whole(stamp("1"), stamp("3")))).split()
    assert edited[0] == first
    assert edited[1] != second
    assert text(builder.build(whole(stamp("1"), stamp("2")))).split() == [first, second]


def test_parts_are_built_side_by_side(opened):
    first, second = (plan(f"sleep 0.5; echo {n} > out", str(n)) for n in range(2))
    start = time.monotonic()
    assert text(opened().build(whole(first, second))) == "0\n1\n"
    assert time.monotonic() - start < 0.95


def test_a_builder_with_one_place_can_still_put_parts_together(opened):
    inner = whole(stamp("1"), stamp("2"))
    builder = opened(places=1)
    started = [builder.ahead(whole(inner, stamp(str(n)))) for n in range(8)]
    assert all(isinstance(future.result(timeout=30), Built) for future in started)


def test_a_part_that_fails_says_why_the_whole_does(opened):
    failed = opened().build(whole(stamp("1"), plan("echo no such part; exit 1")))
    assert failed == BuildFailed(diagnostics="no such part")


def test_a_second_try_is_made_when_the_first_fails_and_only_then(opened):
    builder = opened()
    assert text(builder.build(plan("exit 1", otherwise=plan("echo 2 > out")))) == "2\n"
    assert text(builder.build(plan("echo 1 > out", otherwise=plan("echo 2 > out")))) == "1\n"
    both = plan("exit 1", otherwise=plan("echo neither; exit 1"))
    assert builder.build(both) == BuildFailed(diagnostics="neither")


HEADER = replace(plan("date +%N > out", "header"), ours=True)
READS = f"cp {HEADER_FOLDER}/out out"


def test_a_header_of_ours_is_made_once_for_the_machine(opened):
    first = text(opened().build(plan(READS, "1", header=HEADER)))
    assert text(opened().build(plan(READS, "2", header=HEADER))) == first
    assert text(opened().build(plan(READS, "2", header=replace(HEADER, artifact="in")))) != first


def test_who_reads_a_header_can_neither_change_it_nor_see_others(opened, folders):
    if LEVEL == "process":
        pytest.skip("this machine has no sandbox")
    other = text(opened().build(plan(READS, header=replace(HEADER, files={"in": "other"}))))
    tries = f"""
        echo forged > {HEADER_FOLDER}/out; rm -f {HEADER_FOLDER}/out; mv {HEADER_FOLDER} away
        touch {HEADER_FOLDER}/new; cat {HEADER_FOLDER}/../*/out > out
    """
    made = opened().build(plan(tries, header=HEADER))
    assert len(text(made).split()) == 1
    assert text(opened().build(plan(READS, header=HEADER))) == text(made) != other
    assert not list((folders / "headers").rglob("new"))


def test_a_header_that_cannot_be_made_is_our_fault(opened):
    broken = replace(plan("echo broken; exit 1"), ours=True)
    with pytest.raises(WorkerError, match="broken"):
        opened().build(plan(READS, header=broken))


def test_without_a_store_each_judge_makes_its_own_header(tmp_path):
    stamps = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        builder = Builder(tmp_path / name, "process", gate=Gate(2))
        made = {text(builder.build(plan(READS, str(n), header=HEADER))) for n in range(2)}
        assert len(made) == 1
        stamps |= made
        builder.close()
    assert len(stamps) == 2


def test_few_headers_are_kept_and_none_that_is_in_use(tmp_path):
    headers = Headers(tmp_path)
    for number in range(8):
        made = tmp_path / "made"
        made.mkdir()
        headers.keep(f"key{number}", made)
    assert len(list(tmp_path.iterdir())) == 8
    for folder in tmp_path.iterdir():
        os.utime(folder, (int(folder.name[-1]), int(folder.name[-1])))
    assert headers.find("key0") is not None
    (tmp_path / "made").mkdir()
    headers.keep("key8", tmp_path / "made")
    assert {p.name for p in tmp_path.iterdir()} == {"key8", "key0", "key7", "key6"}


def test_no_headers_are_kept_where_candidates_or_others_could_write(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert Headers.of_user("process") is None
    assert Headers.of_user("bubblewrap+seccomp") is not None
    (tmp_path / "kernelwright" / "headers").chmod(0o777)
    assert Headers.of_user("bubblewrap+seccomp") is None


@dataclass(frozen=True)
class Following:
    """Whatever was written is what is built."""

    refuses: bool = False

    def __call__(self, wrote):
        if self.refuses:
            raise BuildRefused(f"{wrote.decode().strip()} is refused.")
        return plan("cp in out; ls >> out", wrote.decode())


def test_what_follows_is_planned_from_what_was_written_and_sees_nothing_else(opened):
    made = opened().build(plan("echo text > out; echo forged > other", follow=Following()))
    assert text(made).split() == ["text", "in", "out"]
    refused = plan("echo text > out", follow=Following(refuses=True))
    assert opened().build(refused) == BuildFailed(diagnostics="text is refused.")


def test_what_is_written_at_length_is_not_read_to_its_end(opened):
    made = opened().build(plan("head -c 3000000 /dev/zero | tr '\\0' x > out", follow=Following()))
    assert len(text(made).partition("in")[0]) == 1 << 20


def test_a_whole_lasts_when_what_it_was_made_of_is_given_up(opened):
    builder = opened(level="process")
    held = plan("echo kept > out", follow=Following())
    with builder.holding(held):
        kept = builder.build(held)
        for number in range(REMEMBERED + 10):
            builder.build(plan(text=str(number)))
        assert text(kept).startswith("kept")


def test_closing_ends_a_build_whose_parts_wait(tmp_path):
    builder = Builder(tmp_path, LEVEL, gate=Gate(1))
    future = builder.ahead(whole(plan("sleep 60", "1"), plan("sleep 60", "2")))
    time.sleep(0.3)
    builder.close()
    with pytest.raises(WorkerError, match="closed"):
        future.result(timeout=10)


def test_plans_that_differ_inside_are_not_taken_for_one_another(tmp_path):
    builder = Builder(tmp_path, "process", gate=Gate(2))
    bare = plan("cat a b header/out > out 2>/dev/null; true")
    inner = [
        bare,
        replace(bare, parts={"a": plan(text="1")}),
        replace(bare, parts={"b": plan(text="1")}),
        replace(bare, parts={"a": plan(text="2")}),
        replace(bare, header=HEADER),
        replace(bare, otherwise=plan(text="3")),
        replace(bare, follow=Following()),
        replace(bare, follow=Following(refuses=True)),
        replace(bare, reads=(str(Path("/usr")),)),
    ]
    futures = {id(builder.ahead(one)) for one in inner}
    assert len(futures) == len(inner)
    builder.close()
