"""The page: self-contained, true to the log, and safe whatever a candidate wrote."""

import re
from html.parser import HTMLParser

import pytest

from kernelwright.core.candidate import Plan
from kernelwright.core.evaluation import BuildFailed, Crashed, Rejected
from kernelwright.report.html import render
from kernelwright.report.plain import SOURCE_LIMIT
from kernelwright.report.result import result_of
from kernelwright.report.story import Story
from kernelwright.store.memory import MemoryStore
from kernelwright.testing.runs import Log, candidate, evaluation, passed, write_run

HOSTILE = (
    "</pre></script><script>alert(1)</script><img src=x onerror=alert(2)>"
    "\x1b[2J\x00\r\u202eevil\u2066\u200b{{ 7*7 }}{% raw %}&amp;\"'"
)
VOID = {"meta", "link", "img", "br", "input", "hr"}


class Page(HTMLParser):
    """Every tag with its attributes, and whether the elements nest."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.open = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def page_of(store) -> str:
    story = Story.of(store.records())
    return render(story, result_of(story, path="best.cpp"), store.get)


def hostile_store():
    store = MemoryStore()
    log = Log(store)
    log.start()
    plan = Plan(kind="draft", language="cpp", writer=HOSTILE, hints=(HOSTILE,), action=HOSTILE)
    first = candidate(HOSTILE)
    first = first.model_copy(
        update={"source": first.source.model_copy(update={"files": {HOSTILE: HOSTILE}})}
    )
    log.attempt(0, plan, first, BuildFailed(diagnostics=f"error {HOSTILE}\n" * 3), log=HOSTILE)
    second = candidate(HOSTILE + "\nmore")
    refine = plan.model_copy(update={"kind": "refine", "parents": (first.id,)})
    log.attempt(1, refine, second, Rejected(rule=HOSTILE, evidence=HOSTILE))
    log.attempt(2, refine, None, reason=HOSTILE)
    crashed = Crashed(stage="core", signal=HOSTILE, detail=HOSTILE)
    log.attempt(3, refine, candidate("x"), crashed)
    return store


def test_it_has_no_script_and_fetches_nothing(store):
    page = Page(page_of(store))
    assert "script" not in page.tags
    assert not {"img", "link", "iframe", "object"} & set(page.tags)
    assert not [a for a in page.attributes if a[1] in ("src", "href") or a[1].startswith("on")]
    assert "default-src 'none'" in page_of(store)
    assert not re.search(r"url\(|@import|https?://", page_of(store))


def test_its_elements_nest(store):
    page = Page(page_of(store))
    assert page.open == []


def test_it_tells_the_result_with_its_interval_baseline_and_regime(store):
    page = page_of(store)
    assert "times as fast as with torch.compile, the fastest baseline (95% interval" in page
    assert "when each call returns a fresh output" in page
    assert "memory already there" in page


def test_every_attempt_has_its_outcome_source_diff_log_and_cost(store):
    page = page_of(store)
    for text in (
        "build failed", "no candidate", "wrong result", "The reply holds no code block.",
        "built in 0.6 s", "$0.0123", "only numbers were set", "ROWS=4",
        "#pragma omp parallel for", "did not answer",
    ):  # fmt: skip
        assert text in page, text
    assert 'class="added">+        const float scale = 1.0f / std::sqrt(sum / n2' in page
    assert 'class="removed">-        const float scale = 1.0f / std::sqrt(sum / n1' in page


def test_it_says_what_was_checked_and_what_was_not(store):
    page = page_of(store)
    assert "values against the float64 oracle" in page
    assert "data races" in page
    assert "cannot tell these from the reference: down_cast" in page


def test_there_is_one_strip_for_each_subject_and_regime_and_one_dot_for_each_block(store):
    page = page_of(store)
    assert page.count('class="strip"') == 2 * 4
    assert len(re.findall(r'class="dot( beyond)?"', page)) == 2 * 4 * 24


def test_hostile_text_is_shown_and_never_obeyed():
    text = page_of(hostile_store())
    page = Page(text)
    assert page.open == []
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert "&lt;script&gt;alert(1)" in text
    assert "{{ 7*7 }}" in text
    assert not set(text) & set("\x1b\x00\r\u202e\u2066\u200b")
    assert "␛[2J␀␍⟨U+202E⟩evil⟨U+2066⟩⟨U+200B⟩" in text


def test_a_huge_source_is_cut_and_says_by_how_much():
    store = MemoryStore()
    log = Log(store)
    log.start()
    plan = Plan(kind="draft", language="cpp", writer="llm")
    huge = candidate("x" * (SOURCE_LIMIT + 1234))
    log.attempt(0, plan, huge, BuildFailed(diagnostics="error: too long " * 90_000))
    again = candidate("y" * (SOURCE_LIMIT + 1))
    refine = plan.model_copy(update={"kind": "refine", "parents": (huge.id,)})
    log.attempt(1, refine, again, BuildFailed(diagnostics="error"))
    page = page_of(store)
    assert "… 1,234 more characters" in page
    assert "Too large to compare with attempt 0" in page
    assert len(page) < 4 * SOURCE_LIMIT


def test_a_lost_log_does_not_cost_the_report():
    store = MemoryStore()
    log = Log(store)
    log.start()
    made = candidate("x")
    log.attempt(0, Plan(kind="draft", language="cpp", writer="llm"), made)
    lost = evaluation(made, passed(1e6), log="f" * 64)
    log.verdict("evaluation", 0, lost)
    assert "There is no blob" in page_of(store)


@pytest.mark.parametrize("attempts", [0, 1])
def test_a_run_with_hardly_anything_in_it_still_has_a_report(attempts):
    store = MemoryStore()
    log = Log(store)
    log.start()
    for step in range(attempts):
        log.attempt(step, Plan(kind="draft", language="cpp", writer="llm"), candidate("x"))
    page = page_of(store)
    assert Page(page).open == []
    assert "the reference stays as it is" in page
    assert ("not judged" in page) == bool(attempts)


def test_a_run_that_was_cut_off_says_how_to_go_on():
    store = MemoryStore()
    write_run(store, finished=False)
    assert "kernelwright resume" in page_of(store)
