import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from kernelwright.report.plain import one_line, shortened, visible


@given(st.text(st.characters(categories=["Cc", "Cf", "Zl", "Zp", "L", "N"])))
def test_nothing_in_visible_text_is_a_control_or_a_direction_mark(text):
    shown = visible(text)
    left = {c for c in shown if unicodedata.bidirectional(c) in _DIRECTIONS}
    controls = {c for c in shown if unicodedata.category(c) in ("Cc", "Zl", "Zp")} - {"\n", "\t"}
    assert left == set()
    assert controls == set()


_DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@given(st.text(alphabet="abc é漢+-*/<>&\n\t"))
def test_ordinary_text_is_left_alone(text):
    assert visible(text) == text


def test_cut_text_says_how_much_is_missing():
    assert shortened("abcdef", 4) == "abcd\n… 2 more characters"
    assert shortened("abcd", 4) == "abcd"


def test_one_line_skips_to_the_first_line_that_says_something():
    assert one_line("\n \n  error: no\nmore") == "error: no"
    assert one_line("") == ""
    assert len(one_line("x" * 500)) == 160
