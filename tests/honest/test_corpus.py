"""The honest corpus: every program says why it is here, and a part of it is judged each time.

The whole of it takes many minutes: `kernelwright judge --self-check`, and the slow test below.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from kernelwright.corpora.bench import Bench
from kernelwright.corpora.loading import Honest, Program, honest
from kernelwright.corpora.self_check import judge_programs

FEWEST = 80
# Small problems whose baselines are quick, and programs on them that differ in kind.
SUBSET = {
    "column_sum": (
        "column_sum_atomic",
        "column_sum_compare_exchange",
        "column_sum_critical",
        "column_sum_fixed_point",
        "column_sum_kahan",
        "column_sum_shuffled",
        "column_sum_static_partials",
        "column_sum_tasks",
        "column_sum_triton_atomics",
    ),
    "row_energy": (
        "row_energy_avx512_mask",
        "row_energy_big_stack",
        "row_energy_exceptions",
        "row_energy_flush_to_zero_inside",
        "row_energy_function_versions",
        "row_energy_loads_slowly",
        "row_energy_mapped_workspace",
        "row_energy_maskload",
        "row_energy_prints",
        "row_energy_slow_first_call",
        "row_energy_spin_pool",
        "row_energy_thread_pool",
        "row_energy_threads",
    ),
}


def alarms(bench: Bench, programs: list[Program[Honest]]) -> dict[str, str]:
    """What was not passed, by name, with the judge's reason."""
    judged = {program.name: bench.judge(program) for program in programs}
    return {
        name: f"{found.verdict}: {found.why}"
        for name, found in judged.items()
        if not found.is_one_of(("passed",))
    }


def searched(program: Program[Honest]) -> Program[Honest]:
    """The same, judged as a search does."""
    spec = program.spec.model_copy(update={"effort": "search"})
    return Program(name=program.name, path=program.path, origin=program.origin, spec=spec)


@pytest.fixture(scope="module")
def programs() -> dict[str, Program[Honest]]:
    return {program.name: program for program in honest()}


@pytest.fixture(scope="module")
def benches() -> Iterator[Callable[[str], Bench]]:
    """One judge for each problem, opened when first asked for."""
    with ExitStack() as opened:
        yield cache(lambda origin: opened.enter_context(Bench(origin)))


def test_there_are_enough_programs_and_no_name_is_used_twice():
    names = Counter(program.name for program in honest())
    assert len(names) >= FEWEST
    assert max(names.values()) == 1


def test_every_program_says_in_a_sentence_of_its_own_why_it_is_here(programs):
    pretexts = Counter(program.spec.pretext for program in programs.values())
    assert max(pretexts.values()) == 1, pretexts.most_common(1)
    assert all(text.endswith(".") and len(text) > 30 for text in pretexts)


def test_the_programs_cover_every_language_that_can_be_judged_here(programs):
    languages = Counter(program.spec.language for program in programs.values())
    assert languages["cpp"] >= 60
    assert languages["python"] >= 15
    assert languages["triton"] >= 4


def test_every_file_of_a_problem_is_used(programs):
    used = {Path(program.origin).name for program in programs.values()}
    assert {path.name for path in (Path(__file__).parent / "_problems").glob("*.py")} <= used


@pytest.mark.parametrize("problem", SUBSET)
def test_nothing_honest_is_turned_away(programs, benches, problem):
    chosen = [searched(programs[name]) for name in SUBSET[problem]]
    assert alarms(benches(chosen[0].origin), chosen) == {}


def test_the_same_text_with_one_number_wrong_is_turned_away(programs, benches, tmp_path):
    """So that the test above can fail."""
    right = searched(programs["row_energy_restrict"])
    text = right.path.read_text()
    assert "1.0f /" in text
    wrong = tmp_path / right.path.name
    wrong.write_text(text.replace("1.0f /", "1.001f /"))
    broken = Program(name="wrong", path=wrong, origin=right.origin, spec=right.spec)
    assert "wrong_value" in alarms(benches(right.origin), [broken])["wrong"]


@pytest.mark.slow
def test_the_whole_corpus_raises_no_alarm():
    """As `kernelwright judge --self-check` does, at the effort that each program asks for."""
    rows = judge_programs(honest()).rows
    assert [f"{row.name}: {row.verdict} {row.note}" for row in rows if row.ok is False] == []
