"""Innermost loops of small graphs, each drawn in its test's name."""

from kernelwright.evaluate.profile.cycles import innermost


def test_a_straight_line_has_no_loop():
    assert innermost({1: [2], 2: [3], 3: []}) == []
    assert innermost({}) == []


def test_a_node_that_leads_to_itself_is_a_loop():
    assert innermost({1: [1, 2], 2: []}) == [[1]]


def test_two_loops_side_by_side_in_one_are_both_innermost():
    graph = {1: [2], 2: [2, 3], 3: [4], 4: [4, 5], 5: [1, 6], 6: []}
    assert innermost(graph) == [[2], [4]]


def test_what_lies_after_an_inner_loop_is_no_loop_though_a_branch_goes_back_to_it():
    """An outer loop that is entered in its middle, as compilers lay them out: 5 leads back."""
    graph = {1: [4], 2: [3], 3: [2, 4], 4: [5, 6], 5: [2], 6: []}
    assert innermost(graph) == [[2, 3]]


def test_three_deep_only_the_deepest_is_found():
    graph = {1: [2], 2: [3], 3: [3, 4], 4: [2, 5], 5: [1, 6], 6: []}
    assert innermost(graph) == [[3]]


def test_a_long_function_needs_no_deep_recursion():
    size = 20_000
    graph = {n: [n + 1] for n in range(size)} | {size: [0]}
    assert innermost(graph) == [list(range(size + 1))]
