import io

from rich.console import Console

from kernelwright.apps.cli.progress import Progress, attempt_line
from kernelwright.core.candidate import Plan
from kernelwright.store.fold import fold
from kernelwright.store.memory import MemoryStore
from kernelwright.testing.runs import Log, write_run


def watched(*, terminal: bool = False, quiet: bool = False, skip: int = 0) -> str:
    store = MemoryStore()
    write_run(store)
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100, highlight=False)
    events = store.records()
    with Progress(console, quiet=quiet, past=events[:skip]) as progress:
        for event in events[skip:]:
            progress.watch(event)
    return out.getvalue()


def test_every_attempt_has_a_line_with_its_plan_writer_outcome_speedup_and_cost():
    lines = watched().splitlines()
    rows = [line.split() for line in lines if line.lstrip()[:1].isdigit() and "cpp" in line]
    assert [row[0] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert rows[4][1:7] == ["refine", "of", "1", "llm", "cpp", "passed"]
    assert rows[4][7] == "$0.0123"
    assert "×" in rows[4][8]


def test_it_tells_the_admission_the_faults_the_promotion_and_the_end():
    said = watched()
    for text in (
        "2 of 3 wrong programs", "did not answer", "attempt 6, measured afresh: passed", "used up",
    ):  # fmt: skip
        assert text in said


def test_off_a_terminal_there_are_no_control_codes():
    assert "\x1b" not in watched()


def test_on_a_terminal_the_attempts_under_way_stand_below():
    said = watched(terminal=True)
    assert "\x1b" in said
    assert "attempts ·" in said


def test_on_a_terminal_an_attempt_takes_one_row_and_in_a_file_it_is_whole():
    on_terminal = [row for row in watched(terminal=True).splitlines() if "wrong result" in row]
    assert [row.rstrip().endswith("…") for row in on_terminal] == [True]
    assert "(allowed error 4.1e-06)" in watched()


def test_quiet_says_nothing():
    assert watched(quiet=True) == ""
    assert watched(quiet=True, terminal=True) == ""


def test_what_a_resumed_run_did_before_is_not_told_again():
    everything, later = watched(), watched(skip=9)
    assert "2 of 3 wrong programs" not in later
    assert "  4  refine of 1" in later
    assert everything.endswith(later.splitlines()[-1] + "\n")


def test_a_line_names_the_action_that_was_asked_for():
    log = Log(MemoryStore())
    log.start()
    plan = Plan(kind="refine", language="cpp", writer="llm", action="keep-on-chip")
    log.attempt(1, plan, None, reason="The reply holds no code block.")
    state = fold(log.store.records())
    line = attempt_line(state, state.steps[1]).plain
    assert line.endswith("keep-on-chip: The reply holds no code block.")
