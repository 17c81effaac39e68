"""Tokens of C++ text: what is looked at, what is never touched, and edits by position."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelwright.seeding.code import Code


def test_comments_are_no_tokens_and_strings_are_whole():
    code = Code('a = "b // c"; // d\n/* e\n f */ g')
    assert [token.text for token in code.tokens] == ["a", "=", '"b // c"', ";", "g"]


def test_a_preprocessor_line_is_one_token_with_its_continuation():
    code = Code("x;\n#pragma omp for \\\n    nowait\ny;")
    assert [token.kind for token in code.tokens] == ["name", "mark", "directive", "name", "mark"]
    assert code.at(2).endswith("nowait")


@pytest.mark.parametrize("number", ["1e-5", "0x1F", "1.0f", ".5", "3", "1e+3f"])
def test_a_number_is_one_token(number):
    assert [token.text for token in Code(f"{number}+x").tokens] == [number, "+", "x"]


@given(st.text(max_size=80))
def test_any_text_is_read_and_every_token_is_where_it_says(text):
    for token in Code(text).tokens:
        assert text[token.start : token.end] == token.text


@given(st.text(alphabet="([{}])a", max_size=30))
def test_partners_are_mutual_and_of_one_kind(text):
    code = Code(text)
    for one, other in code.partner.items():
        assert code.partner[other] == one
        assert {code.at(one), code.at(other)} in ({"(", ")"}, {"[", "]"}, {"{", "}"})


def test_brackets_know_their_partners_and_lone_ones_have_none():
    assert Code("f(a[1], (b))").partner == {1: 10, 10: 1, 3: 5, 5: 3, 7: 9, 9: 7}
    assert Code(")(").partner == {}


def test_edits_are_made_together_whatever_their_order():
    code = Code("a + b;")
    edits = [code.replace(2, 2, "long_name"), code.insert(0, "x = "), code.remove(1, 1)]
    assert code.edited(edits) == "x = a  long_name;"


def test_a_statement_goes_from_what_ended_the_last_one_to_its_semicolon():
    code = Code("a; b = f(1, 2); c;")
    middle = code.indices("f")[0]
    assert code.at(code.statement(middle)) == "b"
    assert code.between(code.statement(middle), code.statement_end(middle)) == "b = f(1, 2);"


def test_lines_are_counted_from_one():
    assert Code("a\n\nb").line(1) == 3
