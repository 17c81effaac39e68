"""What an agent may do, what it costs, what is kept, and what happens when somebody goes away."""

import asyncio
import functools
import json

import pytest

from kernelwright.agents import opening
from kernelwright.agents.benches import Benches
from kernelwright.agents.limits import Refused, Turns
from kernelwright.agents.submission import Submission
from kernelwright.apps.cli.main import run as command
from kernelwright.core.errors import JudgeBroken, SandboxError, SpecError, UsageError
from kernelwright.run.log import RunLog
from kernelwright.run.optimize import resume
from kernelwright.store.fold import fold
from kernelwright.store.sql import FILE_NAME, SqlStore
from kernelwright.testing.agents import SECRETS, WORDS, text

from .conftest import handed


def log_of(desk):
    with SqlStore.open(desk.folder / FILE_NAME, "run", writable=False) as store:
        return store.records()


def test_a_whole_piece_of_work_is_an_ordinary_run(desk):
    async def work(session):
        built = await session.build(handed("error"))
        assert (built.builds, "does not build" not in built.said) == (False, True)
        drafts = [await session.submit(handed(w)) for w in ("error", "wrong", 0.5, 2.0)]
        assert [d.verdict.outcome for d in drafts] == [
            "build_failed", "wrong_result", "passed", "passed",
        ]  # fmt: skip
        better = await session.submit(handed(3.0, parent=4, idea="Fewer passes over memory."))
        assert (better.attempt.kind, better.attempt.parents) == ("refine", (4,))
        assert better.best.step == 5
        promoted = await session.promote()
        assert (promoted.step, promoted.files) == (5, ("best.cpp",))
        return session.attempts()

    made = desk.run(work)
    assert [a.outcome for a in made.attempts] == [
        "build_failed", "wrong_result", "passed", "passed", "passed",
    ]  # fmt: skip
    assert [e.kind for e in log_of(desk)][-3:] == ["admission", "promotion", "finished"]
    assert {a.writer for a in made.attempts} == {"agent:tester"}


def test_show_report_and_resume_read_it(desk, capsys):
    async def work(session):
        await session.submit(handed(2.0, input_tokens=1200, output_tokens=300, cost_usd=0.25))
        await session.submit(handed(3.0, parent=1, cost_usd=0.5))
        await session.promote()

    desk.run(work)
    assert command(["show", str(desk.folder), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [a["writer"] for a in shown["attempts"]] == ["agent:tester"] * 2
    assert [a["cost_usd"] for a in shown["attempts"]] == [0.25, 0.5]
    assert shown["attempts"][0]["tokens"] == 1500
    assert shown["result"]["writer"] == "agent:tester"
    assert command(["report", str(desk.folder)]) == 0
    resumed = resume(desk.folder, equip=desk.equip)
    assert (len(resumed.state.steps), resumed.best.number) == (2, 2)


@pytest.mark.parametrize("word", [*WORDS, "error", 2.0])
def test_nothing_that_is_hidden_is_in_any_answer(desk, word):
    async def work(session):
        answers = [session.describe(), await session.submit(handed(word, tunable=True))]
        answers += [await session.look_up(q) for q in ("", "hidden sizes seeds prime-secret 31337")]
        answers += [await session.build(handed(word)), session.attempts(), session.show(1)]
        answers += [session.budget(), await session.profile(1)]
        if word == 2.0:
            answers += [await session.tune(1, 2), await session.promote()]
        return "".join(answer.model_dump_json() for answer in answers)

    told = desk.run(work).replace("prime-secret 31337", "")
    assert all(secret not in told for secret in SECRETS)


def test_the_task_is_told_without_hidden_sizes(desk):
    async def work(session):
        return session.describe()

    told = desk.run(work)
    assert told.hidden_workloads == 1
    assert [w.split for w in told.workloads] == ["search", "report"]
    assert told.entry_point == "kernel.cpp::kernel"
    assert 'extern "C" void kernel(' in told.guide
    assert "at most 0.0001" in told.tolerance[0]


def test_the_same_candidate_again_costs_nothing_and_gets_its_verdict(desk):
    async def work(session):
        first = await session.submit(handed(2.0))
        again = await session.submit(handed(2.0))
        assert (again.repeated, again.verdict) == (1, first.verdict)
        both = await asyncio.gather(*(session.submit(handed(4.0)) for _ in range(2)))
        assert sorted(b.repeated or 0 for b in both) == [0, 2]
        return session.attempts().attempts

    assert len(desk.run(work)) == 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"source": "int x;"}, "no function kernel"),
        ({"source": ""}, "no function kernel"),
        ({"source": text(1), "language": "cuda"}, "is in cpp, and not in 'cuda'"),
        ({"source": text(1), "files": {"../up.h": ""}}, "is not plain"),
        ({"source": text(1), "files": {"/etc/passwd": ""}}, "is not plain"),
        ({"source": text(1), "files": {"kernel.cpp": ""}}, "Rename the other"),
        ({"source": text(1), "files": {"a.h": "\0"}}, "NUL"),
        ({"source": text(1), "files": {"a.h": "x" * 250_000, "b.h": "x" * 250_000}}, "bytes"),
        ({"source": "// tunable: TILE = 3 in {1}\n" + text(1)}, "not one of its own choices"),
    ],
)
def test_what_is_no_candidate_is_refused_and_costs_nothing(desk, given, said):
    async def work(session):
        for ask in (session.submit, session.build):
            with pytest.raises(Refused, match=said):
                await ask(Submission(**given))
        return session.attempts().attempts

    assert desk.run(work) == ()


def test_a_parent_that_is_not_there_is_refused(desk):
    async def work(session):
        with pytest.raises(Refused, match="no attempt 7; there are none yet"):
            await session.submit(handed(1, parent=7))
        return session.attempts().attempts

    assert desk.run(work) == ()


def test_when_attempts_are_used_up_what_is_left_is_said(desk):
    desk.budget = {"max_attempts": 2}

    async def work(session):
        last = [await session.submit(handed(n)) for n in (1.5, 2.0)][-1]
        assert last.left.attempts == 0
        assert "promote the best attempt" in last.next
        with pytest.raises(Refused, match=r"budget of 2 attempts is used up.*promote"):
            await session.submit(handed(3.0))
        assert (await session.submit(handed(2.0))).repeated == 2
        assert "submit" not in session.budget().allowed
        return await session.promote()

    assert desk.run(work).step == 2


def test_a_budget_in_dollars_wants_prices_and_is_kept(desk):
    desk.budget = {"max_cost_usd": 1.0}

    async def work(session):
        with pytest.raises(Refused, match="as cost_usd"):
            await session.submit(handed(2.0))
        await session.submit(handed(2.0, cost_usd=0.75))
        assert session.budget().dollars == pytest.approx(0.25)
        await session.submit(handed(3.0, cost_usd=0.5))
        with pytest.raises(Refused, match="budget of 1 dollars is used up"):
            await session.submit(handed(4.0, cost_usd=0.1))

    desk.run(work)


def test_a_price_that_is_not_told_is_not_known(desk):
    async def work(session):
        told = await session.submit(handed(2.0))
        return told.attempt.cost_usd, told.left.spent_usd

    assert desk.run(work) == (None, None)


def test_a_budget_in_seconds_counts_all_sessions_and_not_what_is_between(desk, monkeypatch):
    now = [0.0]
    clocked = functools.partial(RunLog, clock=lambda: now[0])
    monkeypatch.setattr("kernelwright.agents.opening.RunLog", clocked)
    desk.budget = {"max_wall_s": 20}

    async def slow(session):
        now[0] += 15
        return await session.submit(handed(2.0))

    async def more(session):
        assert session.budget().exhausted is None
        await session.submit(handed(3.0))
        assert session.budget().exhausted is None
        now[0] += 15
        with pytest.raises(Refused, match=r"budget of 20 seconds"):
            await session.submit(handed(4.0))

    desk.run(slow)
    now[0] += 30
    desk.run(more, again=True)


def test_the_tuner_tries_settings_of_one_attempt_and_the_budget_counts_them(desk):
    desk.budget = {"max_attempts": 4}

    async def work(session):
        await session.submit(handed(2.0, tunable=True))
        with pytest.raises(Refused, match="1 to 64"):
            await session.tune(1, 0)
        tuned = await session.tune(1, 10)
        assert len(tuned.trials) == 3
        assert {t.writer for t in tuned.trials} == {"tuner"}
        assert len({t.settings["TILE"] for t in tuned.trials} - {1}) == 3
        assert all(t.parents for t in tuned.trials)
        assert "4 attempts is used up" in tuned.ended
        assert tuned.best.speedup >= 2.0

    desk.run(work)


def test_only_what_passed_and_has_tunables_is_tuned(desk):
    async def work(session):
        await session.submit(handed(2.0))
        await session.submit(handed("wrong", tunable=True))
        with pytest.raises(Refused, match="declares no tunables"):
            await session.tune(1, 3)
        with pytest.raises(Refused, match="did not pass"):
            await session.tune(2, 3)

    desk.run(work)


def test_a_diff_is_of_two_attempts(desk):
    async def work(session):
        await session.submit(handed(1.5))
        await session.submit(handed(2.5, parent=1))
        return session.diff(1, 2).text

    told = desk.run(work)
    assert "-// 1.5" in told
    assert "+// 2.5" in told


def test_a_session_goes_on_where_another_was_killed(desk):
    """Its attempt under way is judged by the next, and nothing is judged twice."""

    desk.run(lambda s: s.submit(handed(1.5)))
    desk.equip.evaluator.delay_s = 5.0

    async def killed():
        async with desk.session(again=True, grace_s=0.0) as session:
            task = asyncio.create_task(session.submit(handed(3.0)))
            await asyncio.sleep(0.05)
            session._judging._closing = True
            task.cancel()

    asyncio.run(killed())
    state = fold(log_of(desk))
    assert (state.steps[1].finished, state.steps[2].finished) == (True, False)
    desk.equip.evaluator.delay_s = 0.0

    async def after(session):
        told = await session.submit(handed(3.0))
        return told.repeated, told.verdict.outcome

    assert desk.run(after, again=True) == (2, "passed")
    asked = [c for c, _ in desk.equip.evaluator.asked]
    assert asked.count(state.steps[1].candidate.id) == 1


def test_a_caller_that_goes_away_loses_no_verdict_that_is_under_way(desk):
    desk.equip.evaluator.delay_s = 0.1

    async def work(session):
        judged = asyncio.create_task(session.submit(handed(2.0)))
        waits = asyncio.create_task(session.submit(handed(3.0)))
        await asyncio.sleep(0.05)
        judged.cancel()
        waits.cancel()
        await asyncio.sleep(0.2)
        return session.attempts().attempts

    first, second = desk.run(work)
    assert (first.state, first.outcome) == ("judged", "passed")
    assert (second.state, second.summary) == ("declined", "It was withdrawn before it was judged.")


def test_at_most_a_few_attempts_of_a_run_are_under_way(desk):
    desk.equip.evaluator.delay_s = 0.05

    async def work(session):
        asked = [asyncio.create_task(session.submit(handed(n))) for n in range(1, 8)]
        done = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(d, Refused) for d in done) == 3
        assert next(str(d) for d in done if isinstance(d, Refused)).startswith("4 attempts")
        return len(session.attempts().attempts)

    assert desk.run(work) == 4


def test_a_judge_that_broke_costs_a_retry_and_in_the_end_a_fault(desk):
    desk.equip.evaluator.faults += [SandboxError("It broke.")] * 3

    async def work(session):
        told = await session.submit(handed(2.0))
        assert (told.attempt.state, told.attempt.summary) == ("fault", "It broke.")
        assert "Submit it again as it is" in told.next
        again = await session.submit(handed(2.0))
        assert (again.attempt.step, again.repeated, again.verdict.outcome) == (2, None, "passed")
        return (await session.submit(handed(3.0))).verdict.outcome

    assert desk.run(work) == "passed"


def test_what_a_broken_judge_said_lately_is_asked_again(desk):
    async def work(session):
        first = await session.submit(handed(2.0))
        candidate = session.candidate(first.attempt.step)
        desk.equip.evaluator.faults.append(JudgeBroken("The canary died.", (candidate.id,)))
        await session.submit(handed(3.0))
        for _ in range(100):
            await asyncio.sleep(0.01)
            if not session.state.unfinished:
                break
        return [a.outcome for a in session.attempts().attempts]

    assert desk.run(work) == ["passed", "passed"]
    assert "void" in {e.kind for e in log_of(desk)}


def test_a_run_that_was_promoted_may_go_on(desk):
    async def work(session):
        with pytest.raises(Refused, match="No attempt has passed"):
            await session.promote()
        await session.submit(handed(2.0))
        await session.promote()
        await session.submit(handed(3.0))
        assert session.state.finish is None
        return (await session.promote()).step

    assert desk.run(work) == 2
    assert [e.kind for e in log_of(desk)].count("resumed") == 1


def test_two_processes_do_not_work_on_one_run(desk):
    async def work(session):
        with pytest.raises(UsageError, match="in use by process"):
            await opening.go_on(Benches(desk.equip, Turns()), desk.folder)
        # Reading is free.
        await session.submit(handed(2.0))
        return opening.read(desk.folder).attempts().best.step

    assert desk.run(work) == 1


def test_a_run_that_a_search_leads_is_no_agents(tmp_path, run_of_a_search):
    with pytest.raises(UsageError, match="led by a search"):
        opening.read(run_of_a_search)


@pytest.mark.parametrize("name", ["", "a b", "../x", "x" * 41, "é", "-x"])
def test_an_agents_name_is_a_plain_word(name):
    with pytest.raises(SpecError, match="no name for an agent"):
        opening.agent_spec("builtin:softmax", name, device="cpu")


def test_requests_without_end_are_slowed_down(desk):
    async def work(session):
        for _ in range(240):
            session.attempts()
        with pytest.raises(Refused, match=r"in a minute\. Wait"):
            session.attempts()

    desk.run(work)
