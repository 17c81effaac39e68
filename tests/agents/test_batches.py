"""`judge --batch` and `import`: judged elsewhere, taken in here, in parts and twice."""

import asyncio
import contextlib
import json
import shutil

import pytest

from kernelwright.agents import opening
from kernelwright.agents.limits import Refused
from kernelwright.apps.cli.batch import judge_folder
from kernelwright.apps.cli.main import run
from kernelwright.core.evaluation import Fault
from kernelwright.evaluate.batches import BatchResult, judge_batch, problem_key
from kernelwright.run import importing
from kernelwright.testing.agents import text
from kernelwright.testing.evaluators import row_problem
from kernelwright.testing.judges import FakeJudge, worded

from .conftest import handed


@pytest.fixture
def opened():
    """Opens fake judges, and remembers for what."""

    @contextlib.contextmanager
    def opening(origin, direction):
        opening.asked.append((str(origin), direction))
        judge = FakeJudge()
        opening.judges.append(judge)
        yield judge

    opening.asked, opening.judges = [], []
    return opening


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "batch"
    for problem, name, word in (
        ("row_sum", "a.cpp", 2.0), ("row_sum", "b.cpp", "error"), ("softmax", "c.cpp", 3.0),
    ):  # fmt: skip
        (made / problem).mkdir(parents=True, exist_ok=True)
        (made / problem / name).write_text(worded(word))
    (made / "row_sum" / "none.cpp").write_text("int x;\n")
    (made / "row_sum" / "notes.txt").write_text("not a candidate")
    return made


def results(folder):
    return sorted((folder / "results").rglob("*.json"))


def judge(folder, opened, **given):
    return judge_folder(
        folder, device="cpu", require_isolation="process", as_json=False, opening=opened, **given
    )


def test_every_candidate_of_every_problem_gets_a_result(folder, opened, capsys):
    assert judge(folder, opened) == 0
    assert opened.asked == [("builtin:row_sum", None), ("builtin:softmax", None)]
    said = capsys.readouterr().out
    assert "row_sum/a.cpp: passed: 2.00×" in said
    assert "row_sum/none.cpp: not judged: There is no function kernel." in said
    made = [BatchResult.model_validate_json(p.read_text()) for p in results(folder)]
    assert [(m.file, m.evaluation and m.evaluation.outcome.kind) for m in made] == [
        ("a.cpp", "passed"), ("b.cpp", "build_failed"), ("none.cpp", None), ("c.cpp", "passed"),
    ]  # fmt: skip
    assert all(m.candidate.id == m.evaluation.candidate_id for m in made if m.evaluation)


def test_what_has_a_result_is_not_judged_again_and_what_changed_is(folder, opened):
    judge(folder, opened)
    judge(folder, opened)
    assert len(opened.asked) == 2
    (folder / "softmax" / "c.cpp").write_text(worded(4.0))
    judge(folder, opened)
    assert opened.asked[2:] == [("builtin:softmax", None)]
    assert opened.judges[-1].judged == ["4.0"]
    assert len(results(folder)) == 5


def test_a_batch_that_is_cut_off_keeps_what_it_has(folder, opened):
    verdicts = judge_batch(folder, opened)
    next(verdicts)
    verdicts.close()
    assert len(results(folder)) == 2  # with that of the file that is no candidate
    judge(folder, opened)
    assert sum(len(j.judged) for j in opened.judges) == 3
    assert not list((folder / "results").rglob(".*"))


def test_a_failure_of_ours_leaves_no_result_and_the_next_time_it_is_judged(folder, opened, capsys):
    (folder / "softmax" / "c.cpp").write_text(worded("unavailable"))
    assert judge(folder, opened) == 1
    assert "1 file got no result" in capsys.readouterr().err
    assert len(results(folder)) == 3
    found = [one.found for one in judge_batch(folder, opened)]
    assert isinstance(found[0], Fault)


def test_a_manifest_says_the_problem_the_direction_and_the_effort(folder, opened):
    (folder / "batch.toml").write_text(
        'effort = "promotion"\n[problems.softmax]\nproblem = "builtin:row_max"\n'
        'direction = "backward"\n'
    )
    (folder / "row_sum" / "problem.py").write_text("class Model: ...\n")
    judge(folder, opened)
    own = str(folder / "row_sum" / "problem.py")
    assert opened.asked == [(own, None), ("builtin:row_max", "backward")]
    made = [BatchResult.model_validate_json(p.read_text()) for p in results(folder)]
    assert {m.evaluation.effort for m in made if m.evaluation} == {"promotion"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("effort = 3", "'effort' in"),
        ("[problems.nothing]\n", "no such folder"),
        ("effort = ", "cannot be read"),
        ('[problems.softmax]\nproblem = "builtin:sofmax"\n', "Did you mean 'softmax'"),
    ],
)
def test_a_manifest_that_says_something_else_is_a_sentence(folder, capsys, text, said):
    (folder / "batch.toml").write_text(text)
    assert run(["judge", "--batch", str(folder)]) == 2
    told = capsys.readouterr().err
    assert (said in told, len(told.splitlines())) == (True, 1)


def test_a_batch_takes_no_other_flags(folder, tmp_path, capsys):
    assert run(["judge", "builtin:softmax", "--batch", str(folder)]) == 2
    assert "as its batch.toml says" in capsys.readouterr().err
    assert run(["judge", "--batch", str(tmp_path / "nothing")]) == 2


@pytest.fixture
def taken(folder, opened, monkeypatch, capsys):
    """The results of the batch's first problem, and a way to import into a run."""
    monkeypatch.setattr(importing, "EVALUATOR", "scripted")
    judge(folder, opened)

    def take(where, *paths):
        capsys.readouterr()
        code = run(["import", str(where), *map(str, paths or [folder]), "--json"])
        said = capsys.readouterr()
        return json.loads(said.out) if code == 0 else said.err

    take.opened = opened
    return take


@pytest.fixture
def agents_run(desk):
    desk.equip.asks = row_problem()
    desk.run(lambda session: session.submit(handed("error: x")))
    return desk.folder


def test_results_become_attempts_of_a_run_and_twice_is_once(taken, agents_run):
    told = taken(agents_run)
    assert (told["judged"], told["new"]) == ([2, 3, 4], [2, 3, 4])
    assert told["no_candidate"] == 1
    again = taken(agents_run)
    assert (again["judged"], again["new"], again["known"]) == ([], [], 3)
    attempts = opening.read(agents_run).attempts()
    assert [a.outcome for a in attempts.attempts[1:]] == ["passed", "build_failed", "passed"]
    assert (attempts.best.step, attempts.best.speedup) == (4, pytest.approx(3.0, rel=0.01))
    assert {a.writer for a in attempts.attempts} == {"agent:tester"}


def test_a_verdict_goes_to_the_attempt_that_has_the_candidate(taken, desk, folder):
    """As one that waits for a judge elsewhere does."""
    desk.equip.asks = row_problem()
    desk.equip.evaluator.delay_s = 30.0

    async def left_behind():
        async with desk.session(grace_s=0.0) as session:
            asking = asyncio.create_task(session.submit(handed(2.0)))
            await asyncio.sleep(0.05)
            session._judging._closing = True
            asking.cancel()

    asyncio.run(left_behind())
    (folder / "row_sum" / "a.cpp").write_text(text(2.0))
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder / "results")
    judge(folder, taken.opened)
    told = taken(desk.folder, folder / "results" / "row_sum")
    assert told["new"] == [2]
    assert opening.read(desk.folder).attempts().attempts[0].outcome == "passed"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"problem_key": "other"}, "Import it into a run of that problem"),
        ({"evaluator": "1"}, "judged by version 1 of the judge"),
        ({"device": "NVIDIA H100"}, "was judged on NVIDIA H100"),
        ({"candidate_id": "another"}, "the verdict on another candidate"),
        ({"format": "x"}, "is no result of"),
    ],
)
def test_a_result_that_does_not_belong_is_refused_and_none_is_taken(
    taken, folder, agents_run, change, said
):
    path = results(folder)[-1]
    made = json.loads(path.read_text())
    for key, value in change.items():
        if key == "device":
            made["evaluation"]["environment"]["device"] = value
        else:
            (made if key in made else made["evaluation"])[key] = value
    path.write_text(json.dumps(made))
    assert said in taken(agents_run)
    assert len(opening.read(agents_run).state.steps) == 1


def test_a_problem_is_the_same_whatever_it_is_called():
    one = row_problem()
    assert problem_key(one) == problem_key(one.model_copy(update={"id": "x", "origin": "y"}))
    other = one.model_copy(update={"axes": ("columns",)})
    assert problem_key(one) != problem_key(other)


@pytest.fixture
def carried(desk, tmp_path, opened, monkeypatch):
    """A run whose verdicts are carried to it, and a way to carry them."""
    monkeypatch.setattr(importing, "EVALUATOR", "scripted")
    desk.equip.asks = row_problem()
    there = tmp_path / "there"

    def carry(effort="search"):
        shutil.copytree(desk.folder / "batch", there, dirs_exist_ok=True)
        manifest = there / "batch.toml"
        text = manifest.read_text()
        assert 'effort = "search"' in text
        manifest.write_text(text.replace('effort = "search"', f'effort = "{effort}"'))
        judge(there, opened)
        assert run(["import", str(desk.folder), str(there)]) == 0

    carry.folder = there
    return carry


def submitted(desk, candidate, **given):
    return desk.run(lambda session: session.submit(candidate), **given)


def test_an_attempt_waits_until_its_verdict_is_carried_here_and_keeps_its_idea(
    desk, carried, opened
):
    told = submitted(desk, handed(2.0, idea="Two rows at a time."), judge="batch")
    assert (told.attempt.state, told.verdict) == ("waiting", None)
    assert "judge --batch" in told.next
    assert str(desk.folder) in told.next
    carried()
    assert opened.asked == [("builtin:softmax", None)]
    (attempt,) = opening.read(desk.folder).attempts().attempts
    assert (attempt.step, attempt.outcome, attempt.idea) == (1, "passed", "Two rows at a time.")


def test_what_waits_is_asked_of_nobody_when_the_work_goes_on(desk, carried):
    submitted(desk, handed(2.0), judge="batch")
    told = submitted(desk, handed(2.0), again=True)
    assert (told.attempt.step, told.attempt.state) == (1, "waiting")
    assert desk.equip.evaluator.asked == []


def test_what_waits_and_is_not_in_the_folder_is_put_there_when_the_work_goes_on(desk, carried):
    """As after a session that was killed between writing an attempt down and putting it aside."""
    submitted(desk, handed(2.0), judge="batch")
    shutil.rmtree(desk.folder / "batch")
    desk.run(lambda session: asyncio.sleep(0), again=True)
    carried()
    (attempt,) = opening.read(desk.folder).attempts().attempts
    assert attempt.outcome == "passed"


def test_a_promotion_is_carried_too(desk, carried):
    submitted(desk, handed(2.0), judge="batch")
    carried()
    carried("promotion")
    promoted = desk.run(lambda session: session.promote(), again=True)
    assert promoted.step == 1
    assert desk.equip.evaluator.asked == []


def test_what_a_batch_cannot_do_is_refused_before_anything_is_written(desk):
    two = handed(2.0, files={"more.h": "int x;\n"})
    with pytest.raises(Refused, match="is one file"):
        submitted(desk, two, judge="batch")
    assert not (desk.folder / "batch").exists()
    desk.run(lambda session: session.submit(handed(2.0)), again=True)
    with pytest.raises(Refused, match="a judge that answers"):
        desk.run(lambda session: session.tune(1, 4), again=True)
