"""The service with a judge of paper: one answer for each submission, whatever happens."""

import contextlib
import time

import pytest

from kernelwright.core.errors import StoreError, UnknownName, UsageError, WorkerError
from kernelwright.serve.ledger import Ledger, Task
from kernelwright.serve.records import FINAL, Submission
from kernelwright.serve.service import QueueFull, Service, Stopping
from kernelwright.testing.judges import FakeJudges, worded


def submission(number=2, **given):
    given = {"problem": "builtin:row_sum"} | given
    return Submission(candidate=worded(number), **given)


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(tmp_path) as opened:
        yield opened


@contextlib.contextmanager
def service_of(ledger, judges=None, **given):
    service = Service(ledger, judges or FakeJudges(), **given)
    try:
        yield service
    finally:
        service.close(5.0)


def wait_for(service, ids):
    for one in ids:
        done = service.done(one)
        if done is not None:
            done.result(timeout=10)
    return [service.answer(one) for one in ids]


def test_every_submission_gets_its_own_verdict(ledger):
    with service_of(ledger) as service:
        ids = service.submit([submission(2), submission("nonsense"), submission(4)])
        fast, broken, faster = wait_for(service, ids)
    assert (fast.state, broken.state, faster.state) == ("judged",) * 3
    assert (fast.speedup.median, faster.speedup.median) == (2.0, 4.0)
    assert broken.speedup is None
    assert broken.evaluation.outcome.kind == "build_failed"


def test_a_text_that_is_no_candidate_is_judged_and_rejected(ledger):
    with service_of(ledger) as service:
        given = Submission(problem="builtin:row_sum", candidate="int x;")
        (answer,) = wait_for(service, service.submit([given]))
    assert answer.evaluation.outcome.rule == "not_a_candidate"
    assert "There is no function kernel" in answer.evaluation.outcome.evidence


def test_a_fault_is_tried_three_times_and_the_next_judge_is_a_new_one(ledger):
    judges = FakeJudges()
    with service_of(ledger, judges) as service:
        (answer,) = wait_for(service, service.submit([submission("fault")]))
        assert (answer.state, answer.evaluation) == ("fault", None)
        assert "The sandbox broke" in answer.message
        (answer,) = wait_for(service, service.submit([submission(2)]))
        assert answer.state == "judged"
    assert judges.opened[0][1].judged == ["fault"] * 3
    assert judges.opened[0][1].closed
    assert len(judges.opened) == 2


def test_a_bug_costs_one_batch_its_verdicts_and_not_the_server(ledger):
    with service_of(ledger) as service:
        (answer,) = wait_for(service, service.submit([submission("bug")]))
        assert answer.state == "fault"
        assert "ZeroDivisionError" in answer.message
        (answer,) = wait_for(service, service.submit([submission(2)]))
    assert answer.state == "judged"


def test_what_this_machine_lacks_is_refused_at_once(ledger):
    judges = FakeJudges()
    with service_of(ledger, judges) as service:
        (answer,) = wait_for(service, service.submit([submission("unavailable")]))
    assert (answer.state, answer.message) == ("refused", "There is no compiler.")
    assert judges.opened[0][1].judged == ["unavailable"]


@pytest.mark.parametrize(
    ("error", "state"), [(UsageError("No problem."), "refused"), (WorkerError("Broke."), "fault")]
)
def test_a_problem_that_does_not_open_answers_all_that_asked_for_it(ledger, error, state):
    def refusing(origin):
        raise error

    with service_of(ledger, refusing) as service:
        answers = wait_for(service, service.submit([submission(), submission()]))
    assert [(a.state, a.message) for a in answers] == [(state, str(error))] * 2


def test_problems_take_turns_and_the_one_unused_for_longest_is_closed(ledger):
    judges = FakeJudges()
    with service_of(ledger, judges, open_problems=1) as service:
        asked = [submission(problem=f"builtin:{name}") for name in ("row_sum", "softmax")]
        wait_for(service, service.submit([*asked, *asked]))
    assert [origin for origin, _ in judges.opened] == ["builtin:row_sum", "builtin:softmax"]
    assert all(judge.closed for _, judge in judges.opened)


def test_a_full_queue_takes_all_or_none_and_says_when_to_try_again(ledger):
    with service_of(ledger, FakeJudges(delay_s=0.3), queue=3) as service:
        service.submit([submission()])
        time.sleep(0.1)
        service.submit([submission(), submission()])
        with pytest.raises(QueueFull) as refused:
            service.submit([submission(), submission()])
        assert refused.value.retry_after_s >= 1
        assert service.health().room == 1
        service.submit([submission()])


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"problem": "builtin:row_sun"}, UnknownName, "Did you mean 'row_sum'"),
        ({"problem": "/etc/passwd"}, UsageError, "builtin:<name>"),
        ({"problem": "builtin:../../x"}, UnknownName, "No built-in problem"),
        ({"language": "rust"}, UnknownName, "No language"),
        ({"problem": None, "problem_source": "import os"}, UsageError, "--allow-problems"),
    ],
)
def test_what_cannot_be_judged_is_not_taken(ledger, given, error, said):
    with service_of(ledger) as service:
        with pytest.raises(error, match=said):
            service.submit([submission(), submission(**given)])
        assert service.health().waiting == 0


def test_the_text_of_a_problem_is_taken_where_that_is_allowed(ledger):
    judges = FakeJudges()
    given = submission(problem=None, problem_source="import torch\n")
    with service_of(ledger, judges, allow_problems=True) as service:
        (answer,) = wait_for(service, service.submit([given]))
    assert answer.state == "judged"
    assert judges.opened[0][0].files == {"problem.py": "import torch\n"}


def test_stopping_finishes_the_one_under_way_and_hands_the_others_back(ledger):
    with service_of(ledger, FakeJudges(delay_s=0.4)) as service:
        ids = service.submit([submission(n) for n in (2, 3, 4)])
        time.sleep(0.1)
        assert service.answer(ids[0]).state == "judging"
        waiting = service.submit([submission(5, effort="promotion")])
        service.stop()
        with pytest.raises(Stopping):
            service.submit([submission()])
        answers = wait_for(service, [*ids, *waiting])
    assert [a.state for a in answers] == ["judged", "not_judged", "not_judged", "not_judged"]
    assert "Submit it again" in answers[1].message


def test_what_takes_longer_than_the_grace_is_handed_back(ledger):
    service = Service(ledger, FakeJudges(delay_s=2.0))
    (one,) = service.submit([submission()])
    time.sleep(0.1)
    service.close(0.1)
    assert service.answer(one).state == "not_judged"
    service._thread.join()


def test_answers_are_there_after_a_restart_and_what_was_killed_is_judged(tmp_path):
    with Ledger.open(tmp_path) as ledger, service_of(ledger) as service:
        (old,) = service.submit([submission(2)])
        wait_for(service, [old])
    with Ledger.open(tmp_path) as ledger:
        ledger.add([Task("killed", submission(4))])
    with Ledger.open(tmp_path) as ledger, service_of(ledger) as service:
        assert service.answer(old).speedup.median == 2.0
        (answer,) = wait_for(service, ["killed"])
        assert answer.speedup.median == 4.0
        assert service.answer("unknown") is None


def test_a_disk_that_refuses_loses_nothing(ledger):
    class Full:
        """The ledger on a disk that is full for the first few answers."""

        refusals = 2

        def __getattr__(self, name):
            return getattr(ledger, name)

        def finish(self, *given):
            if self.refusals:
                self.refusals -= 1
                raise StoreError("The disk is full.")
            ledger.finish(*given)

    with service_of(Full()) as service:
        (answer,) = wait_for(service, service.submit([submission(2)]))
    assert answer.state == "judged"


def test_two_servers_do_not_share_a_ledger(tmp_path, ledger):
    with pytest.raises(UsageError, match="Another server"), Ledger.open(tmp_path):
        pass


def test_a_file_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "service.sqlite").write_text("not a database, and long enough to be looked at" * 9)
    with pytest.raises(StoreError, match="not a database"), Ledger.open(tmp_path):
        pass


def test_old_answers_are_forgotten_and_open_questions_are_not(ledger):
    ledger.add([Task("old", submission()), Task("open", submission())])
    ledger.finish(["old"], "not_judged", "no", None)
    assert ledger.forget(3600) == 0
    assert ledger.forget(-1) == 1
    assert ledger.answer("old") is None
    assert [task.id for task in ledger.unfinished()] == ["open"]
    assert ledger.answer("open").state not in FINAL
