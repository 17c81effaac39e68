"""docs/reference says what the commands and the types say now."""

import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def generator():
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PAGES = generator().pages()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_up_to_date(name):
    written = (DOCS / "reference" / name).read_text()
    assert written == PAGES[name], "run `python docs/generate.py`"


def test_there_are_no_other_pages():
    assert {p.name for p in (DOCS / "reference").iterdir()} == set(PAGES)


def test_every_flag_of_optimize_is_in_the_reference():
    for flag in (
        "--strategy", "--writer", "--model", "--language", "--max-attempts", "--max-seconds",
        "--max-device-seconds", "--max-dollars", "--target-speedup", "--min-headroom", "--width",
        "--seed", "--device", "--config", "--out", "--name", "--require-isolation", "--json",
        "--quiet", "--approve",
    ):  # fmt: skip
        assert flag in PAGES["commands.md"]
