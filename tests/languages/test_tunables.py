"""Declarations of tunables in a text, and the text that a tuned candidate is delivered as."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelwright.core.candidate import Tunable
from kernelwright.core.errors import BuildRefused, UsageError
from kernelwright.languages.reading import candidate_from_text
from kernelwright.languages.tunables import parse_tunables, settled_text, with_constants
from kernelwright.testing.languages import PROBLEM


@pytest.mark.parametrize(
    "line",
    [
        "// tunable: TILE = 64 in {16, 64, 256}",
        "# tunable: TILE = 64 in {16, 64, 256}",
        "  //tunable:TILE=64 in [256,16,64]",
        "// Tunable: TILE = 64 in {16, 64, 64, 256,}.",
    ],
)
def test_a_declaration_is_read_in_any_spacing_and_either_comment(line):
    text = f"int a;\n{line}\nint b;"
    assert parse_tunables(text) == (Tunable(name="TILE", choices=(16, 64, 256), default=64),)


def test_a_text_without_declarations_has_no_tunables():
    assert parse_tunables("// this is tunable\nint tunable = 3;") == ()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("// tunable: tile = 64 in {64}", "not a declaration"),
        ("// tunable: TILE in {64}", "not a declaration"),
        ("// tunable: TILE = 64 in {64, many}", "else than integers"),
        ("// tunable: TILE = 64 in {}", "else than integers"),
        ("// tunable: TILE = 64 in {16, 32}", "not one of its own choices"),
        ("// tunable: A = 1 in {1}\n// tunable: A = 2 in {2}", "declared twice"),
        (f"// tunable: A = 0 in {{{', '.join(map(str, range(65)))}}}", "at most 64"),
        ("// tunable: A = 9999999999 in {9999999999}", "32 bits"),
        (f"// tunable: A = {'9' * 5000} in {{1}}", "not a declaration"),
    ],
)
def test_a_malformed_declaration_is_told_with_what_to_write(line, said):
    with pytest.raises(UsageError, match=said):
        parse_tunables(line)


@given(
    st.dictionaries(
        st.from_regex(r"[A-Z][A-Z0-9_]{0,8}", fullmatch=True),
        st.lists(st.integers(-(2**31) + 1, 2**31 - 1), min_size=1, max_size=6, unique=True),
        max_size=4,
    ),
    st.sampled_from(["cpp", "cuda"]),
    st.randoms(),
)
def test_a_settled_text_reads_back_as_the_tuned_candidate(choices, language, random):
    lines = [
        f"// tunable: {n} = {c[0]} in {{{', '.join(map(str, c))}}}" for n, c in choices.items()
    ]
    text = "\n".join([*lines, "void kernel() {} void launch() {}"])
    candidate = candidate_from_text(PROBLEM, text, language)
    tuned = candidate.tuned({t.name: random.choice(t.choices) for t in candidate.tunables})
    again = candidate_from_text(PROBLEM, settled_text(tuned), language)
    assert again.values == tuned.values
    assert again.tunables == tuple(
        t.model_copy(update={"default": tuned.values[t.name]}) for t in tuned.tunables
    )


def test_a_tunable_that_only_the_record_declares_is_added_to_the_text():
    bare = candidate_from_text(PROBLEM, "void kernel() {}", "cpp")
    tunable = Tunable(name="TILE", choices=(1, 2), default=1)
    candidate = bare.model_copy(update={"tunables": (tunable,), "settings": {"TILE": 2}})
    assert settled_text(candidate).splitlines()[0] == "// tunable: TILE = 2 in {1, 2}"


def test_a_settled_python_text_has_its_constants_set():
    text = "# tunable: BLOCK = 4 in {4, 8}\nBLOCK = 4\nclass ModelNew: ...\n"
    candidate = candidate_from_text(PROBLEM, text, "triton").tuned({"BLOCK": 8})
    assert settled_text(candidate) == text.replace("= 4", "= 8")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("B = 4", "B = 8"),
        ("B: int = 1_024  # lanes", "B: int = 8  # lanes"),
        ("B=4\nC = 4\nB = 5", "B=8\nC = 4\nB = 8"),
    ],
)
def test_a_module_constant_is_set_where_it_stands(before, after):
    assert with_constants(before, {"B": 8}) == after


@pytest.mark.parametrize("text", ["", "    B = 4", "BB = 4", "B = 4 * 2", "print(B == 4)", "B = x"])
def test_a_tunable_without_its_own_constant_is_refused(text):
    with pytest.raises(BuildRefused, match="no line `B = 8`"):
        with_constants(text, {"B": 8})
