"""Constants are found and replaced however a file assigns them."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelwright.problems.constants import (
    find_constants,
    text_with_constants,
    with_constants,
)

NAMES = st.from_regex(r"[a-z][a-z0-9]{0,5}_", fullmatch=True)


def _run(text, values):
    scope = {}
    exec(compile(with_constants(ast.parse(text), values), "f", "exec"), scope)
    return scope


@pytest.mark.parametrize(
    "text",
    ["a = 4", "a: int = 4", "a = b = 4", "b, a = 3, 4", "(b, [a, c]) = 3, (4, 5)", "a = 2 * 2"],
)
def test_every_kind_of_assignment_is_found_and_replaced(text):
    assert find_constants(text)["a"] == 4
    assert _run(text, {"a": 9})["a"] == 9


def test_only_the_named_constant_of_a_chain_changes():
    assert _run("a = b = 4", {"b": 7}) | {"__builtins__": None} == {
        "__builtins__": None,
        "a": 4,
        "b": 7,
    }


def test_what_follows_from_a_constant_follows_its_new_value():
    assert _run("a = 4\nhidden = a * 4", {"a": 5})["hidden"] == 20


@pytest.mark.parametrize(
    "text",
    [
        "a = True",
        "a = 1.5",
        "a = 'x'",
        "a = len('xy')",
        "a = 1\na = 2",
        "a = 1\nfor a in range(3): pass",
        "a = 1\na += 1",
        "def f():\n    a = 1",
        "a = 2 ** 10_000",
        "a = 1 // 0",
    ],
)
def test_what_is_no_constant_is_left_alone(text):
    assert "a" not in find_constants(text)


def test_a_local_variable_of_the_same_name_does_not_matter():
    assert find_constants("a = 3\ndef f():\n    a = 1\n    return a") == {"a": 3}


@given(st.dictionaries(NAMES, st.integers(0, 10**6), min_size=1, max_size=5), st.integers(1, 99))
def test_rewritten_text_means_the_same_as_replaced_constants(values, new):
    text = "".join(f"{name} = {value}  # = {value}\n" for name, value in values.items())
    name = next(iter(values))
    again = text_with_constants(text, {name: new})
    assert find_constants(again) == {**values, name: new}
    assert again.count("#") == len(values)
