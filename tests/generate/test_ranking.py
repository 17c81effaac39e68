"""Which passages fit some words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelwright.core.protocols import Passage
from kernelwright.generate.ranking import ranked


def passage(title, text="", source="notes"):
    return Passage(source=source, title=title, text=text)


TILE = passage("tile", "Work on blocks that stay near the arithmetic.")
FUSE = passage("fuse", "Compute in one pass what takes several. Do not tile.")
LAYER = passage("LayerNorm", "The mean of each row_sum is taken off.")
ALL = [TILE, FUSE, LAYER]


def test_a_word_in_the_title_counts_for_more_than_one_in_the_text():
    assert ranked("tile", ALL) == [TILE, FUSE]
    assert ranked("tile", ALL[::-1]) == [TILE, FUSE]


def test_what_shares_no_word_is_left_out():
    assert ranked("zebra", ALL) == []


@pytest.mark.parametrize("query", ["", "  ", "?!", "\n"])
def test_a_query_without_words_asks_for_everything(query):
    assert ranked(query, ALL) == ALL


@pytest.mark.parametrize("query", ["tiling", "tiles", "TILE", "a tile, please", "til\u00e9"])
def test_other_forms_of_a_word_are_the_same_word(query):
    assert ranked(query, ALL)[0] == TILE


@pytest.mark.parametrize("query", ["layer_norm", "layer norm", "LayerNorm", "layer-norm"])
def test_words_that_are_joined_in_a_name_are_found_apart_and_together(query):
    assert ranked(query, ALL) == [LAYER]


def test_joined_words_ask_for_both_together_first():
    apart = passage("limits", "It has memory, and it is bound.")
    both = passage("limits", "It is memory bound, as it is.")
    assert ranked("memory_bound", [apart, both]) == [both, apart]


def test_words_that_say_nothing_count_only_where_there_are_no_others():
    assert ranked("which of the zebras", ALL) == []
    assert ranked("not", ALL) == [FUSE]


def test_of_equals_the_earlier_goes_first():
    twins = [passage("tile", source=f"s{n}") for n in range(20)]
    assert ranked("tile", twins) == twins


@given(st.text(max_size=60))
def test_nothing_in_a_query_is_an_operator(query):
    assert all(found in ALL for found in ranked(query, ALL))


@pytest.mark.parametrize("query", ['"', "a AND", "NEAR(tile fuse", "title:tile", "tile*", "-tile"])
def test_operators_of_the_search_are_words(query):
    assert ranked(query, ALL)[:1] in ([], [TILE], [LAYER], [FUSE])


def test_long_queries_are_cut_and_not_refused():
    assert ranked(" ".join(["tile", *(f"w{n}" for n in range(5000))]), ALL) == [TILE, FUSE]
