"""Replies as models really write them, and what is found in them."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelwright.generate.parse import NoProgram, Program, parse_reply

CODE = '#include <cmath>\nextern "C" void kernel(const float* x, int64_t n) {\n    work(x);\n}\n'
MODULE = (
    "import torch\nimport torch.nn as nn\n\n\nclass ModelNew(nn.Module):\n"
    "    def forward(self, x):\n        return x\n"
)
FENCE = "```"


def native(reply, **options):
    return parse_reply(reply, entry="kernel", dialect="c", **options)


def module(reply, **options):
    return parse_reply(reply, entry="ModelNew", dialect="python", **options)


@pytest.mark.parametrize("info", ["cpp", "c++", "C++", "", "cuda", "text", " cpp title=k.cpp"])
def test_a_fenced_block_is_found_whatever_it_says_it_is(info):
    reply = f"Here you are:\n\n{FENCE}{info}\n{CODE}{FENCE}\n\nHope this helps!"
    assert native(reply) == Program(text=CODE, entry="kernel")


@pytest.mark.parametrize(
    "reply",
    [
        f"~~~cpp\n{CODE}~~~",
        f"````cpp\n{CODE}````",
        f"  {FENCE}cpp\n{CODE}  {FENCE}",
        f"{FENCE}cpp\r\n{CODE}{FENCE}".replace("\n", "\r\n"),
        f"{FENCE}cpp\n\ufeff{CODE}{FENCE}",
        f"{FENCE}cpp\n{CODE}",
        f"text {FENCE} inline {FENCE}\n{FENCE}\n{CODE}{FENCE}",
    ],
    ids=["tildes", "four ticks", "indented", "crlf", "bom", "never closed", "inline ticks before"],
)
def test_odd_fences_are_read(reply):
    assert native(reply) == Program(text=CODE, entry="kernel")


def test_of_several_blocks_the_one_with_the_entry_point_is_taken():
    reply = (
        f"{FENCE}bash\nmake\n{FENCE}\n{FENCE}cpp\n{CODE}{FENCE}\n"
        f"Call it so:\n{FENCE}cpp\nint main() {{ kernel(x, n); }}\n{FENCE}"
    )
    assert native(reply) == Program(text=CODE, entry="kernel")


def test_a_correction_replaces_what_it_corrects():
    better = CODE.replace("work", "work_better")
    reply = f"{FENCE}cpp\n{CODE}{FENCE}\nWait, a mistake:\n{FENCE}cpp\n{better}{FENCE}"
    assert native(reply) == Program(text=better, entry="kernel")


def test_a_block_that_a_new_block_ends_is_whole():
    reply = f"{FENCE}bash\nmake\n{FENCE}cpp\n{CODE}{FENCE}"
    assert native(reply) == Program(text=CODE, entry="kernel")


def test_text_around_a_program_without_fences_is_dropped():
    assert native(f"Sure! This is it.\n\n{CODE}\nIt is fast.") == Program(text=CODE, entry="kernel")
    assert module(f"Sure! This is it.\n\n{MODULE}\nIt is fast.") == Program(
        text=MODULE, entry="ModelNew"
    )


@pytest.mark.parametrize(
    "thought",
    [
        "<think>Maybe\n```cpp\nvoid kernel(int bad) { }\n```\n</think>\n",
        "Maybe\n```cpp\nvoid kernel(int bad) { }\n```\n</think>\n",
        "<THINKING>```cpp\nvoid kernel(int bad) { }\n```</THINKING>",
        "<think>\n",
        "<think>one</think>\n<think>two</think>",
    ],
)
def test_what_a_model_thinks_is_not_its_answer(thought):
    assert native(f"{thought}\n{FENCE}\n{CODE}{FENCE}") == Program(text=CODE, entry="kernel")


def test_an_answer_given_only_while_thinking_is_still_taken():
    assert native(f"<think>{FENCE}\n{CODE}{FENCE}\n</think>") == Program(text=CODE, entry="kernel")


def test_entities_are_undone_when_all_is_escaped_and_left_alone_when_not():
    escaped = CODE.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert native(f"{FENCE}\n{escaped}{FENCE}").text == CODE
    quoting = CODE.replace("work(x);", 'puts("&lt;");')
    assert native(f"{FENCE}\n{quoting}{FENCE}").text == quoting


@pytest.mark.parametrize(
    "head",
    [
        'extern "C" void kernel(const float* x) {',
        'extern "C"\nvoid kernel(\n    const float* x, // the {input}; so (far)\n    int n) {',
        "void kernel(const float* x) {",
        '#define OPEN {\nextern "C" { void kernel(const float *x) noexcept {',
        "#if 0 \\\n {\n#endif\nstatic const char* s = \"{\";\nvoid kernel(char c = '{') {",
        "template <int N> struct A { int f() { return N; } };\nvoid kernel(float (*g)(int)) {",
        "__global__ void __launch_bounds__(256) k2(int n) { if (n) { } }\nvoid kernel(int n) {",
    ],
)
def test_the_entry_point_is_found_in_many_dresses(head):
    found = native(f"{FENCE}\n{head}\n  if (x) {{ }}\n}}\n{FENCE}")
    assert isinstance(found, Program)
    assert found.entry == "kernel"


def test_a_function_of_another_name_is_taken_when_it_is_the_only_public_one():
    other = CODE.replace("kernel", "relu_fast") + "static int helper(int a) { return a; }\n"
    assert native(f"{FENCE}\n{other}{FENCE}") == Program(text=other, entry="relu_fast")
    renamed = MODULE.replace("ModelNew", "FastModel")
    assert module(f"{FENCE}python\n{renamed}{FENCE}") == Program(text=renamed, entry="FastModel")


def test_two_public_functions_of_other_names_are_not_guessed_between():
    two = CODE.replace("kernel", "one") + CODE.replace("kernel", "two")
    found = native(f"{FENCE}\n{two}{FENCE}")
    assert isinstance(found, NoProgram)
    assert "none defines 'kernel'" in found.reason


@pytest.mark.parametrize(
    "text",
    [
        CODE.replace("kernel", "// kernel(int n) {\nint other"),
        CODE.replace("kernel", "/* void kernel(int n) { */ other"),
        CODE.replace("kernel", "my_kernel").replace('extern "C" ', ""),
        'const char* s = "void kernel(int n) {";\nint f() { return kernel(1); }',
        "void kernel(const float* x);\n",
    ],
    ids=["in a comment", "in another", "longer name", "in a string and called", "declared only"],
)
def test_a_mention_is_not_a_definition(text):
    found = native(f"{FENCE}\n{text}\n{FENCE}")
    assert not (isinstance(found, Program) and found.entry == "kernel")


def test_python_with_an_error_in_it_is_still_a_program():
    broken = MODULE.replace("return x", "return x +")
    assert module(f"{FENCE}python\n{broken}{FENCE}") == Program(text=broken, entry="ModelNew")


def test_what_a_program_says_at_import_is_not_run(tmp_path):
    trap = tmp_path / "was_here"
    hostile = f"open({str(trap)!r}, 'w')\n" + MODULE
    assert isinstance(module(f"{FENCE}python\n{hostile}{FENCE}"), Program)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        ("", "The reply was empty."),
        (" \n\t", "The reply was empty."),
        (
            "I cannot help with that.",
            "holds no program that defines 'kernel'. It begins: 'I cannot",
        ),
        (f"{FENCE}\n{FENCE}", "has a block of code, and none defines 'kernel'"),
        (f"{FENCE}\nint a;\n{FENCE}\n{FENCE}\nint b;\n{FENCE}", "has 2 blocks of code"),
        ("x" * 500_000, "500,000 characters"),
    ],
)
def test_why_there_is_no_program_is_said(reply, sentence):
    found = native(reply)
    assert isinstance(found, NoProgram)
    assert sentence in found.reason


def test_control_characters_of_a_reply_do_not_reach_the_terminal():
    found = native("\x1b[2J\x1b]0;owned\x07 no code")
    assert isinstance(found, NoProgram)
    assert "\x1b" not in found.reason
    assert "\x07" not in found.reason


def test_a_program_that_was_cut_off_is_told_apart_from_a_whole_one():
    cut = f"{FENCE}cpp\n{CODE.removesuffix('}' + chr(10))}"
    assert "cut off before its program ended" in native(cut, cut_off=True).reason
    assert "cut off before it said anything" in native("", cut_off=True).reason
    whole = f"{FENCE}cpp\n{CODE}{FENCE}\nThis is fast, because"
    assert native(whole, cut_off=True) == Program(text=CODE, entry="kernel")


def test_half_a_surrogate_pair_becomes_a_question_mark():
    found = native(f"{FENCE}\n// \ud800\n{CODE}{FENCE}")
    assert isinstance(found, Program)
    found.text.encode("utf-8")


@given(st.text(alphabet=st.sampled_from("`~\n{}();\"'/*#<>\\& kernelthid<think>"), max_size=300))
def test_no_reply_breaks_the_parser(reply):
    for result in (native(reply), module(reply), native(reply, cut_off=True)):
        assert isinstance(result, Program | NoProgram)


@pytest.mark.parametrize(
    "unit",
    [
        "<think>", "</think>", "```\n", "```cpp\n", "`", "{", "}", "kernel(", "kernel(){", "/*",
        "//", '"', "(", ")", "#", "&lt;", "class A(", "extern \"C\" {", "~~~~", " ", "\n", "a = ",
        "extern \"C\" void f() { } ", "\\\n", "#\\\n",
    ],
)  # fmt: skip
def test_a_long_hostile_reply_takes_no_long_time(unit):
    reply = (unit * 400_000)[:399_000]
    began = time.process_time()
    native(reply)
    module(reply)
    assert time.process_time() - began < 5.0
