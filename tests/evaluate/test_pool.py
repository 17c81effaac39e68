"""Several cards, one queue: with judges of paper on cards of paper."""

import threading
import time
from collections import Counter

import pytest

from kernelwright.core.errors import DeviceLost, JudgeBroken, ProblemError, WorkerError
from kernelwright.core.evaluation import Evaluation, Fault, Passed
from kernelwright.evaluate.batch import judge_many
from kernelwright.evaluate.pool import Pool
from kernelwright.testing.evaluators import evaluation_of, number_candidate, passed, row_problem


class Paper:
    """A judge on a card, whose failures come in turn; each verdict takes a moment."""

    def __init__(self, name, *failures, places=2, refuses=None, delay_s=0.01):
        self.name, self.failures, self.places = name, list(failures), places
        self.refuses, self.delay_s = refuses, delay_s
        self.judged, self.asked, self.closed = [], 0, False
        self.works = threading.Event()
        self.inside, self.most = 0, 0
        self.counting = threading.Lock()

    def open(self):
        if self.refuses:
            raise self.refuses
        return row_problem(), self.places

    def judge(self, candidate, effort):
        with self.counting:
            self.inside += 1
            self.most = max(self.most, self.inside)
            failure = self.failures.pop(0) if self.failures else None
        time.sleep(self.delay_s)
        with self.counting:
            self.inside -= 1
        if failure is not None:
            raise failure
        self.judged.append(candidate.id)
        return evaluation_of(candidate, passed(2.0), effort)

    def refuse(self, candidate, effort, evidence):
        return evaluation_of(candidate, passed(1.0), effort)

    def require(self):
        self.asked += 1
        if not self.works.is_set():
            raise DeviceLost(f"{self.name} hangs still.")

    def close(self):
        self.closed = True


@pytest.fixture
def opened():
    pools = []

    def pool(*members, rest_s=60.0):
        pools.append(Pool.open(members, rest_s=rest_s))
        return pools[-1]

    yield pool
    for one in pools:
        one.close()


def many(pool, count):
    candidates = [number_candidate(n) for n in range(1, count + 1)]
    return dict(judge_many(pool, candidates, "search", pause_s=0.0))


LOST = DeviceLost("The GPU one hangs.")


def test_every_card_takes_from_one_queue_and_no_more_than_it_has_places_for(opened):
    one, other = Paper("one"), Paper("other", places=3)
    pool = opened(one, other)
    assert pool.places == 5
    found = many(pool, 40)
    assert all(isinstance(evaluation.outcome, Passed) for evaluation in found.values())
    assert sorted(found) == list(range(40))
    assert len(one.judged) + len(other.judged) == 40
    assert (one.most, other.most) == (2, 3)


def test_a_lost_cards_work_goes_to_another_and_nothing_more_to_it(opened, caplog):
    one, other = Paper("one", LOST, LOST), Paper("other")
    pool = opened(one, other)
    found = many(pool, 20)
    assert all(isinstance(verdict, Evaluation) for verdict in found.values())
    assert one.judged == []
    assert len(other.judged) == 20
    assert pool.lost == {"one": "The GPU one hangs."}
    assert [record.getMessage() for record in caplog.records] == [
        "The GPU one hangs. The others go on without it."
    ]


def test_what_loses_three_cards_is_given_up_and_not_charged(opened):
    members = [Paper(str(n), DeviceLost(f"GPU {n}")) for n in range(4)]
    pool = opened(*members)
    ((_, fault),) = judge_many(pool, [number_candidate(1)], "search")
    assert isinstance(fault, Fault)
    assert fault.where == "device"
    assert len(pool.lost) == 3


def test_when_every_card_is_lost_nobody_waits_and_all_is_said(opened):
    pool = opened(Paper("one", LOST), Paper("two", DeviceLost("The GPU two hangs.")))
    with pytest.raises(DeviceLost, match=r"one hangs.*two hangs|two hangs.*one hangs"):
        pool.judge(number_candidate(1), "search")
    started = time.monotonic()
    with pytest.raises(DeviceLost):
        pool.judge(number_candidate(2), "search")
    assert time.monotonic() - started < 1


def test_a_lost_card_is_used_again_once_it_works(opened):
    one = Paper("one", LOST)
    pool = opened(one, Paper("other", places=1), rest_s=0.01)
    pool.judge(number_candidate(1), "search")
    assert "one" in pool.lost
    while one.asked < 2:
        time.sleep(0.01)
    assert pool.lost == {"one": "one hangs still."}
    one.works.set()
    while pool.lost:
        time.sleep(0.01)
    many(pool, 10)
    assert one.judged


def test_who_waits_for_a_place_is_told_when_the_last_card_is_lost(opened):
    one = Paper("one", LOST, places=1, delay_s=0.2)
    pool = opened(one)
    found = Counter()

    def ask(number):
        try:
            pool.judge(number_candidate(number), "search")
        except DeviceLost:
            found["lost"] += 1

    threads = [threading.Thread(target=ask, args=(n,)) for n in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert found == {"lost": 2}


def test_a_failure_that_is_not_the_cards_is_the_batchs_to_try_again(opened):
    pool = opened(Paper("one", WorkerError("It broke.")), Paper("other", WorkerError("It broke.")))
    found = many(pool, 6)
    assert all(isinstance(verdict, Evaluation) for verdict in found.values())
    assert pool.lost == {}


def test_the_same_candidate_gets_one_verdict_from_whichever_card(opened):
    one, other = Paper("one"), Paper("other")
    pool = opened(one, other)
    candidates = [number_candidate(1)] * 12
    found = dict(judge_many(pool, candidates, "search"))
    assert len(one.judged) + len(other.judged) == 1
    assert sum("repeats it" in str(one.not_checked) for one in found.values()) == 11


def test_what_a_broken_judge_said_is_forgotten(opened):
    broken = JudgeBroken("The canary passed.", ("x",))
    one = Paper("one", places=1)
    pool = opened(one)
    pool.judge(number_candidate(1), "search")
    one.failures = [broken]
    with pytest.raises(JudgeBroken):
        pool.judge(number_candidate(2), "search")
    pool.judge(number_candidate(1), "search")
    assert len(one.judged) == 2


def test_a_card_that_does_not_come_up_is_lost_while_another_does(opened):
    pool = opened(Paper("one", refuses=ProblemError("CUDA error")), Paper("other"))
    assert pool.lost == {"one": "CUDA error"}
    assert isinstance(pool.judge(number_candidate(1), "search").outcome, Passed)


def test_when_none_comes_up_the_reason_is_given_and_all_are_closed():
    members = [Paper(name, refuses=ProblemError("It has no Model.")) for name in ("one", "two")]
    with pytest.raises(ProblemError, match="no Model"):
        Pool.open(members)
    assert all(member.closed for member in members)


def test_a_text_that_is_no_candidate_takes_no_place(opened):
    pool = opened(Paper("one", refuses=ProblemError("CUDA error")), Paper("other", places=1))
    assert isinstance(pool.refuse(number_candidate(1), "search", "why"), Evaluation)
