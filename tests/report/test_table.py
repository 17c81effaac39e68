"""What the table of a suite says beside its rows."""

from kernelwright.report.html import render_table
from kernelwright.report.table import Entry, Table, markdown


def table(*problems):
    return Table(
        suite="builtin", device="cpu", versions={}, commit="new", environment=None,
        problems=problems,
    )  # fmt: skip


def passed(name, **given):
    return Entry(id=name, outcome="passed", **given)


def test_rows_of_other_commits_are_named_with_theirs():
    made = table(passed("a", commit="old"), passed("b"), passed("c", commit="new"),
                 passed("d", commit="old"), passed("e", commit="older"))  # fmt: skip
    said = "Judged by Kernelwright at other commits: a, d at old; e at older."
    assert said in markdown(made)
    assert said in render_table(made)


def test_where_all_rows_are_of_one_commit_no_other_is_spoken_of():
    assert "other commits" not in markdown(table(passed("a"), passed("b", commit="new")))


def test_a_table_of_before_has_no_commits_of_rows():
    before = table(passed("a")).model_dump(mode="json")
    del before["problems"][0]["commit"]
    assert Table.model_validate(before).problems[0].commit is None
