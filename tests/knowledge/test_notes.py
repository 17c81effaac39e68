"""The notes: a page for each language and each bottleneck, in parts that can be told alone."""

from importlib.resources import files
from typing import get_args

import pytest

from kernelwright.core.diagnosis import Bottleneck
from kernelwright.knowledge import notes
from kernelwright.knowledge.actions import ACTIONS
from kernelwright.knowledge.notes import ABOUT_BOTTLENECKS, ABOUT_LANGUAGES, passages

PAGES = (*ABOUT_LANGUAGES, *ABOUT_BOTTLENECKS)


def text(page):
    return files(notes).joinpath("text", f"{page}.md").read_text(encoding="utf-8")


def test_every_language_of_the_actions_and_every_bottleneck_that_is_known_has_a_page():
    assert {each.name for each in files(notes).joinpath("text").iterdir()} == {
        f"{page}.md" for page in PAGES
    }
    assert set(ABOUT_LANGUAGES) == {language for a in ACTIONS for language in a.languages}
    assert {*ABOUT_BOTTLENECKS, "unknown"} == set(get_args(Bottleneck))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_a_few_hundred_words_in_parts(page):
    assert text(page).startswith("## ")
    assert 150 <= len(text(page).split()) <= 700
    assert max(map(len, text(page).splitlines())) <= 120


@pytest.mark.parametrize("language", ABOUT_LANGUAGES)
def test_a_part_is_short_enough_to_be_told_with_others(language):
    assert all(0 < len(passage.text) <= 1500 for passage in passages(language))


def test_a_language_has_its_own_notes_and_those_on_what_can_limit_it():
    sources = {language: {p.source for p in passages(language)} for language in ABOUT_LANGUAGES}
    assert {"notes on cpp", "notes on not vectorised"} <= sources["cpp"]
    assert {"notes on triton", "notes on low occupancy"} <= sources["triton"]
    assert "notes on low occupancy" not in sources["cpp"]
    assert "notes on triton" not in sources["cuda"]


def test_a_language_without_notes_has_those_on_bottlenecks():
    assert len({p.source for p in passages("klingon")}) == len(ABOUT_BOTTLENECKS)
