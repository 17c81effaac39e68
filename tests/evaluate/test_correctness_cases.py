"""Which cases a candidate meets, where they lie, and in which order."""

from __future__ import annotations

import itertools
import mmap
from collections import Counter, defaultdict

import numpy as np
import pytest

from kernelwright.core.problem import Problem, Source, TensorSpec, Workload
from kernelwright.evaluate.correctness import plan
from kernelwright.evaluate.correctness.cases import CaseSet
from kernelwright.evaluate.correctness.empty import empty_case
from kernelwright.evaluate.correctness.exam import Exam
from kernelwright.evaluate.correctness.plan import plan_audit, plan_core, plan_screen
from kernelwright.evaluate.defences import ALL_ON, Defences
from kernelwright.evaluate.running.arena import PAGE, Arena
from kernelwright.problems.case import Case

NAMES = ("file", "normal", "shifted", "offset", "far", "heavy", "large", "ties", "structured",
         "integer")  # fmt: skip


@pytest.fixture(scope="module")
def core(problem, reference):
    exam = Exam(problem, reference, ALL_ON)
    with exam.lend("core", "native") as cases:
        yield cases
    exam.close()


def test_the_core_has_every_workload_and_every_distribution(problem):
    planned = plan_core(problem, NAMES, ALL_ON)
    assert {w.id for w, _ in planned} == {w.id for w in problem.workloads}
    assert {name for _, name in planned} == set(NAMES)
    assert 16 <= len(planned) <= 30


def test_the_report_size_is_asked_several_times_and_differently(problem):
    asked = [name for w, name in plan_core(problem, NAMES, ALL_ON) if w.split == "report"]
    assert len(set(asked)) == len(asked) == 6
    assert {"file", "integer", "large", "offset", "far"} <= set(asked)


def test_where_the_report_size_is_large_what_overflows_is_asked_of_the_next(problem, monkeypatch):
    monkeypatch.setattr(plan, "_LARGE_BYTES", problem.traffic_bytes(problem.report_workload) - 1)
    planned = plan_core(problem, NAMES, ALL_ON)
    smaller = [w for w in problem.workloads if problem.traffic_bytes(w) <= plan._LARGE_BYTES]
    next_ = max(smaller, key=problem.traffic_bytes)
    assert [n for w, n in planned if w.split == "report"] == ["file", "integer"]
    assert {"large", "offset", "far"} <= {n for w, n in planned if w == next_}


def test_a_small_workload_is_asked_under_two_distributions(problem):
    planned = [(w.id, n) for w, n in plan_core(problem, NAMES, ALL_ON) if w.split == "hidden"]
    assert set(Counter(name for name, _ in planned).values()) == {2}


def test_two_plans_differ(problem):
    assert plan_core(problem, NAMES, ALL_ON) != plan_core(problem, NAMES, ALL_ON)


def test_a_defence_that_is_off_takes_its_cases_away(problem):
    seen = plan_core(problem, NAMES, Defences(hidden_workloads=False))
    assert "hidden" not in {w.split for w, _ in seen}
    assert {n for _, n in plan_core(problem, NAMES, Defences(distributions=False))} == {"file"}
    inexact = Defences(exact_integers=False)
    for planned in (plan_screen, plan_core, plan_audit):
        assert "integer" not in {name for _, name in planned(problem, NAMES, inexact)}


def test_every_case_is_called_twice_at_two_addresses_over_two_poisons(core):
    calls = defaultdict(set)
    for step in core.schedule(repeats=False):
        calls[step.case].add((step.row, step.poison))
    assert set(calls) == set(range(len(core.cases)))
    for found in calls.values():
        assert len(found) == len({row for row, _ in found}) == len({p for _, p in found}) == 2


def test_some_calls_come_again_at_once_and_some_addresses_change_content_at_once(core):
    steps = core.schedule()
    pairs = list(itertools.pairwise(steps))
    assert any(a.row == b.row and a.case == b.case for a, b in pairs)
    assert any(a.row == b.row and a.case != b.case for a, b in pairs)


def test_the_order_is_mixed_over_workloads_and_another_each_time(core):
    one, other = core.schedule(), core.schedule()
    assert one != other
    order = [core.cases[step.case][0].id for step in one]
    changes = sum(a != b for a, b in itertools.pairwise(order))
    assert changes > len(set(order)) * 2


def test_a_row_holds_the_inputs_of_the_step_it_was_prepared_for(core):
    core.empty()
    for step in core.schedule():
        core.prepare(step)
        _, case = core.cases[step.case]
        (slot,) = core.calls[step.row].inputs
        assert np.array_equal(core.inputs.data(slot), case.inputs["x"].view(np.uint8))
        assert all((data == step.poison).all() for data in core.output_bytes(step.row))


def test_tensors_touch_the_guard_before_them_or_the_one_behind_or_are_barely_aligned():
    arena = Arena()
    start, flush, odd = (arena.place(4000, p, 4) for p in ("start", "flush", "odd"))
    assert start.offset - PAGE in [*arena.guards, 0]
    assert flush.offset + flush.nbytes in arena.guards
    assert odd.offset % 8 == 4


def test_with_the_defence_off_every_case_has_addresses_of_its_own():
    apart = CaseSet(*weighted([1.0, 1.0]), share_rows=False)
    try:
        assert len(apart.calls) == 6
    finally:
        apart.close()


def test_a_case_of_size_zero_is_part_of_the_core(core, problem, reference):
    (empty,) = [w for w, _ in core.cases if w.id == "empty"]
    assert empty.split == "hidden"
    assert 0 in empty.axes.values()
    found = empty_case(problem, reference)
    assert found is not None
    assert all(e.values.size == 0 for e in found[1].expected)


def test_sealed_inputs_cannot_be_mapped_writable(core):
    with pytest.raises(PermissionError):
        mmap.mmap(core.inputs.fd, PAGE)


def weighted(weights):
    """A problem with one weight, and a case for each of `weights`, at one workload."""
    problem = Problem(
        id="p", title="p", origin="p", axes=("n",),
        inputs=(
            TensorSpec(name="x", shape=("n",), dtype="float32", role="input"),
            TensorSpec(name="w", shape=(2,), dtype="float32", role="weight"),
        ),
        outputs=(TensorSpec(name="out", shape=("n",), dtype="float32", role="output"),),
        reference=Source(files={"p.py": ""}, entry_point="p.py::Model"),
        workloads=(Workload(id="report", split="report", axes={"n": 4}),),
    )  # fmt: skip
    cases = [
        (
            problem.workloads[0],
            Case(
                workload_id="report", distribution="normal", eager_s=0.0, expected=(),
                inputs={"x": np.full(4, at, np.float32), "w": np.full(2, w, np.float32)},
            ),
        )
        for at, w in enumerate(weights)
    ]  # fmt: skip
    return problem, cases


def test_only_cases_with_the_same_weights_take_turns_where_a_model_keeps_its_weights():
    cases = CaseSet(*weighted([1.0, 1.0, 2.0]), sealed=False, keeps_weights=True)
    try:
        assert len(cases.calls) == 6
        weights = defaultdict(set)
        cases.empty()
        for step in cases.schedule():
            cases.prepare(step)
            slot = cases.calls[step.row].inputs[1]
            weights[step.row].add(cases.inputs.data(slot).tobytes())
        assert {len(seen) for seen in weights.values()} == {1}
    finally:
        cases.close()


def test_a_kernel_gets_weights_with_every_call_so_theirs_take_turns_too():
    cases = CaseSet(*weighted([1.0, 1.0, 2.0]))
    try:
        assert len(cases.calls) == 3
    finally:
        cases.close()
