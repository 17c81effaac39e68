import io

from rich.console import Console

from kernelwright.core.candidate import Plan
from kernelwright.core.evaluation import Rejected
from kernelwright.core.problem import TensorSpec, Workload
from kernelwright.problems.admission import Requirement
from kernelwright.report import text
from kernelwright.report.attempts import rows
from kernelwright.report.result import result_of
from kernelwright.report.story import Story
from kernelwright.store.memory import MemoryStore
from kernelwright.testing.runs import ADMISSION, PROBLEM, Log, candidate, evaluation

HOSTILE = "[/bold][link=x]\x1b[2J\u202e[nope"


def printed(shown) -> str:
    out = io.StringIO()
    Console(file=out, width=200, highlight=False).print(shown)
    return out.getvalue()


def test_hostile_text_is_neither_markup_nor_a_control_code():
    log = Log(MemoryStore())
    log.start()
    plan = Plan(kind="draft", language=HOSTILE, writer=HOSTILE)
    made = candidate(HOSTILE)
    log.attempt(1, plan, made, Rejected(rule=HOSTILE, evidence=HOSTILE))
    story = Story.of(log.store.records())
    problem = PROBLEM.model_copy(
        update={"inputs": (TensorSpec(name=HOSTILE, shape=(), dtype="int64", role="scalar"),)}
    )
    verdict = evaluation(made, Rejected(rule=HOSTILE, evidence=HOSTILE))
    for shown in (
        text.attempts_table(story),
        text.attempt(story, story.steps[0]),
        text.problem_facts(problem),
        text.verdict(verdict),
    ):
        said = printed(shown)
        assert "[/bold][link=x]␛[2J⟨U+202E⟩[nope" in said
        assert "\x1b" not in said


def test_hidden_workloads_are_counted_and_not_shown():
    hidden = Workload(id="secret", split="hidden", axes={"n0": 7919, "n1": 104729})
    problem = PROBLEM.model_copy(update={"workloads": (*PROBLEM.workloads, hidden)})
    said = printed(text.problem_facts(problem))
    assert "and 1 hidden workload" in said
    assert "7,919" not in said
    assert "n0 2,048, n1 4,096" in said


def test_the_best_attempt_is_marked(story):
    rows = printed(text.attempts_table(story)).splitlines()
    assert [row.split()[0] for row in rows[1:]] == ["1", "2", "3", "4", "5", "6*"]


def test_the_summary_has_the_sentence_and_what_goes_with_it(story):
    said = printed(text.summary(result_of(story, path=None)))
    assert "times as fast as with torch.compile" in said
    assert "Against eager PyTorch" in said


def test_a_verdict_has_both_regimes_and_what_was_not_checked(story):
    said = printed(text.verdict(story.headline))
    assert "each call returns a fresh output" in said
    assert "the output's memory is already there" in said
    assert "not checked: data races" in said


def test_admission_shows_what_else_is_required_and_what_is_missed():
    missed = Requirement(name="sensitivity to y", status="missed", reason="it hardly moves")
    shown = printed(text.admission_table(ADMISSION.model_copy(update={"requirements": (missed,)})))
    assert "down_cast" in shown
    assert "requirement" in shown
    assert "sensitivity to y: it hardly moves." in " ".join(shown.split())
    assert "requirement" not in printed(text.admission_table(ADMISSION))


def test_an_attempt_says_which_action_it_was_asked_for():
    log = Log(MemoryStore())
    log.start()
    plan = Plan(kind="refine", language="cpp", writer="llm", action="keep-on-chip")
    log.attempt(1, plan, None, reason="nothing")
    log.attempt(2, plan.model_copy(update={"action": None}), None, reason="nothing")
    story = Story.of(log.store.records())
    with_one, without = (printed(text.attempt(story, step)) for step in story.steps)
    assert "It was asked for the action keep-on-chip." in with_one
    assert "action" not in without
    assert [row.action for row in rows(story)] == ["keep-on-chip", None]
