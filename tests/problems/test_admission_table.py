"""The committed table of admission is about the problems that there are, and holds no secret."""

import importlib.util
import json
from pathlib import Path

import pytest

from kernelwright.problems import suite
from kernelwright.problems.admission import Admission

_ROOT = Path(__file__).parents[2]
_RESULTS = _ROOT / "docs" / "results"
RERUN = ["row_max", "moe_routing"]


@pytest.fixture(scope="module")
def script():
    path = _ROOT / "benchmarks" / "admission_table.py"
    spec = importlib.util.spec_from_file_location("admission_table", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def rows():
    return {row["id"]: row for row in json.loads((_RESULTS / "admission.json").read_text())}


def _admission(row):
    return Admission.model_validate(row["admission"])


def test_the_table_names_every_built_in_problem_and_no_other(rows):
    assert sorted(rows) == suite.names()


def test_no_survivor_is_without_a_reason(rows, script):
    for name, row in rows.items():
        found = _admission(row)
        unmet = {m.name for m in found.survivors} | {r.name for r in found.missed}
        assert unmet == set(script.EXPLAINED.get(name, {})), name


def test_every_mutant_of_the_protocol_is_tried_or_said_not_to_apply(rows):
    kinds = ["zeros", "mean", "stale", "another seed", "last row stale", "last column stale",
             "last tile stale", "rows shifted", "transposed", "fewer bits", "passthrough",
             "a slice fewer", "wrong axis", "epsilon", "ignored"]  # fmt: skip
    for name, row in rows.items():
        mutants = [m.name for m in _admission(row).mutants]
        assert [k for k in kinds if not any(k in m for m in mutants)] == [], name


def test_a_mutant_does_not_apply_only_for_a_stated_reason(rows):
    for row in rows.values():
        for mutant in _admission(row).mutants:
            if mutant.status == "not_applicable":
                assert len(mutant.reason.split()) > 2


def test_the_page_is_made_from_the_figures(rows, script):
    page = (_RESULTS / "admission.md").read_text()
    for row in rows.values():
        assert script.row(row) in page


@pytest.mark.parametrize("name", RERUN)
def test_a_rerun_finds_what_the_table_says(rows, script, name):
    again = _admission(script.run(name))
    before = _admission(rows[name])
    assert again.problem_id == before.problem_id
    assert {m.name: m.status for m in again.mutants} == {m.name: m.status for m in before.mutants}
    assert {r.name: r.status for r in again.requirements} == {
        r.name: r.status for r in before.requirements
    }
