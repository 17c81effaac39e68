"""A judge in another process, over a judge of paper that listens in a thread."""

import contextlib
import os
import socket
import subprocess
import threading
import time

import pytest

from kernelwright.core.cards import Card
from kernelwright.core.errors import DeviceLost, JudgeBroken, ProblemError, WorkerError
from kernelwright.core.evaluation import BuildFailed, Passed, Rejected
from kernelwright.evaluate import card_judge
from kernelwright.evaluate.batch import judge_many
from kernelwright.evaluate.card_judge import CardJudge, Order, shares
from kernelwright.evaluate.card_process import serve
from kernelwright.evaluate.isolation import sandbox
from kernelwright.evaluate.pool import Pool
from kernelwright.problems.suite import read_source
from kernelwright.testing.evaluators import number_candidate, row_problem
from kernelwright.testing.judges import FakeJudge, worded

CARD = Card("GPU-a", "GPU-a")
ORDER = Order(origin="builtin:row_sum", direction=None, require_isolation="process")


class Judge(FakeJudge):
    """Raises what the test says instead of a verdict, if it says something."""

    failure = None
    lost = False

    def judge(self, candidate, effort):
        if self.failure is not None:
            raise self.failure
        return super().judge(candidate, effort)

    def require(self):
        if self.lost:
            raise DeviceLost("It hangs still.")


class Thread:
    """What `subprocess.Popen` would be of a process, of a thread that serves `judge`."""

    def __init__(self, descriptor, judge, seen):
        self.socket = socket.socket(fileno=os.dup(descriptor))
        self.thread = threading.Thread(target=self.run, args=(judge, seen), daemon=True)
        self.thread.start()

    def run(self, judge, seen):
        @contextlib.contextmanager
        def opening(order):
            seen.append(order)
            if isinstance(judge, Exception):
                raise judge
            yield judge

        with self.socket:
            serve(self.socket, opening)

    def wait(self, timeout=None):
        self.thread.join(timeout)
        if self.thread.is_alive():
            raise subprocess.TimeoutExpired("a thread", timeout)
        return 0

    def dies(self):
        self.socket.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def started(monkeypatch):
    """From a judge of paper to the one that asks it; with the processes so far, and what they were
    told to judge."""
    processes, orders, opened, judges = [], [], [], []

    def start(processors, argv, *, descriptor, log, card):
        log.write(b"Illegal instruction")
        log.flush()
        processes.append(Thread(descriptor, judges[-1], orders))
        return processes[-1]

    monkeypatch.setattr(card_judge, "_started_within", start)

    def judge(fake):
        judges.append(fake)
        opened.append(CardJudge(CARD, ORDER))
        return opened[-1]

    judge.processes, judge.orders, judge.judges = processes, orders, judges
    yield judge
    for one in opened:
        one.close()


def candidate(word):
    made = number_candidate(1)
    source = made.source.model_copy(update={"files": {"kernel.cpp": worded(word)}})
    return made.model_copy(update={"source": source})


def test_a_verdict_and_the_problem_come_as_they_were_given(started):
    judge = started(Judge(places=3))
    assert judge.open() == (row_problem(), 3)
    assert started.orders == [ORDER]
    right, broken = candidate(2.0), candidate("error")
    assert judge.judge(right, "search").candidate_id == right.id
    assert isinstance(judge.judge(right, "search").outcome, Passed)
    assert isinstance(judge.judge(broken, "promotion").outcome, BuildFailed)
    assert isinstance(judge.refuse(right, "search", "no text").outcome, Rejected)
    assert len(started.processes) == 1


def test_several_are_judged_at_once_and_each_gets_its_own(started):
    judge = started(Judge(places=4, delay_s=0.05))
    words = [candidate(float(n)) for n in range(1, 13)]
    found = {}
    threads = [
        threading.Thread(target=lambda c=c: found.update({c.id: judge.judge(c, "search")}))
        for c in words
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {one: evaluation.candidate_id for one, evaluation in found.items()} == {
        c.id: c.id for c in words
    }


@pytest.mark.parametrize(
    ("failure", "kind", "said"),
    [
        (DeviceLost("It hangs."), DeviceLost, "It hangs."),
        (ZeroDivisionError("oh"), WorkerError, "ZeroDivisionError: oh"),
        (sandbox.SandboxError("No."), sandbox.SandboxError, "No."),
    ],
)
def test_an_error_comes_as_what_it_is(started, failure, kind, said):
    fake = Judge()
    fake.failure = failure
    with pytest.raises(kind, match=said) as raised:
        started(fake).judge(candidate(1.0), "search")
    assert type(raised.value) is kind


def test_a_broken_judge_names_whom_it_judged(started):
    fake = Judge()
    fake.failure = JudgeBroken("The canary passed.", ("a", "b"))
    with pytest.raises(JudgeBroken) as raised:
        started(fake).judge(candidate(1.0), "search")
    assert raised.value.candidate_ids == ("a", "b")


def test_whether_the_card_works_is_asked_there(started):
    fake = Judge()
    judge = started(fake)
    judge.require()
    fake.lost = True
    with pytest.raises(DeviceLost, match="hangs still"):
        judge.require()


def test_a_problem_that_cannot_be_opened_is_told_and_leaves_no_process(started):
    judge = started(ProblemError("It has no Model."))
    with pytest.raises(ProblemError, match="no Model"):
        judge.open()
    started.processes[0].thread.join(5)
    assert not started.processes[0].thread.is_alive()


def test_who_waits_when_the_process_ends_is_told_and_it_is_started_again(started):
    fake = Judge(delay_s=0.5)
    judge = started(fake)
    judge.open()
    threading.Timer(0.1, started.processes[0].dies).start()
    with pytest.raises(WorkerError, match=r"GPU-a ended.*Illegal instruction"):
        judge.judge(candidate(1.0), "search")
    assert isinstance(judge.judge(candidate(1.0), "search").outcome, Passed)
    assert len(started.processes) == 2


def test_a_card_on_which_no_judge_starts_any_more_is_lost(started):
    judge = started(Judge())
    judge.open()
    started.processes[0].dies()
    started.judges.append(ProblemError("CUDA error: no device"))
    while not judge._running.over:
        time.sleep(0.01)
    with pytest.raises(DeviceLost, match=r"GPU-a cannot be started again: CUDA error"):
        judge.judge(candidate(1.0), "search")


def test_processors_are_divided_and_where_there_are_too_few_nobody_has_its_own(monkeypatch):
    cards = [Card(str(n), None) for n in range(3)]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(10, 18)))
    assert [share for _, share in shares(cards)] == [(10, 11), (12, 13), (14, 15)]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    assert [share for _, share in shares(cards)] == [(), (), ()]


def test_a_process_has_its_card_and_its_processors_from_the_beginning(tmp_path):
    log = (tmp_path / "log").open("w+b")
    only = min(os.sched_getaffinity(0))
    said = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'], os.sched_getaffinity(0))"
    before = os.sched_getaffinity(0)
    with log, socket.socket() as any_socket:
        process = card_judge._started_within(
            [only], ["python3", "-c", said], descriptor=any_socket.fileno(), log=log, card=CARD
        )
        assert process.wait(20) == 0
        log.seek(0)
        assert log.read().decode() == f"GPU-a {{{only}}}\n"
    assert os.sched_getaffinity(0) == before


@pytest.mark.slow
def test_a_real_process_judges_and_ends_with_whoever_started_it():
    order = ORDER.model_copy(update={"device": "cpu"})
    judge = CardJudge(CARD, order)
    try:
        problem, places = judge.open()
        assert places == 1
        source, _ = read_source("builtin:row_sum", sizes="cpu")
        assert problem.reference == source
        made = number_candidate(1).model_copy(update={"problem_id": problem.id})
        assert isinstance(judge.judge(made, "search").outcome, BuildFailed)
    finally:
        process = judge._running._process
        judge.close()
    assert process.poll() == 0


@pytest.mark.slow
def test_real_processes_share_a_queue_and_one_that_is_killed_costs_no_verdict():
    order = ORDER.model_copy(update={"device": "cpu"})
    members = [CardJudge(card, order, share) for card, share in shares([CARD, Card("b", "b")])]
    with Pool.open(members) as pool:
        broken = [number_candidate(f"error {n}") for n in range(12)]
        verdicts = judge_many(pool, broken, "search", pause_s=0.0)
        found = dict([next(verdicts)])
        members[0]._running._process.kill()
        found |= dict(verdicts)
    assert sorted(found) == list(range(12))
    assert all(isinstance(verdict.outcome, BuildFailed) for verdict in found.values())
