"""The sentence names the baseline, the interval and the regime, and claims no more than it may."""

import pytest

from kernelwright.report import sentence
from kernelwright.report.result import Result, result_of


def with_ratio(result: Result, low: float, middle: float, high: float, verdict: str) -> Result:
    best = result.vs_best.model_copy(
        update={"median": middle, "ci_low": low, "ci_high": high, "verdict": verdict}
    )
    return result.model_copy(update={"vs_best": best})


@pytest.fixture
def result(story):
    return result_of(story, path="best.cpp")


def test_a_win_has_its_size_its_interval_its_baseline_and_its_regime(result):
    said = sentence.headline(with_ratio(result, 2.25, 2.314, 2.4, "FASTER"))
    assert said == (
        "rmsnorm_silu runs 2.31 times as fast as with torch.compile, the fastest baseline "
        "(95% interval 2.25–2.40), when each call returns a fresh output."
    )


@pytest.mark.parametrize(
    ("low", "middle", "high", "verdict"),
    [(0.5, 0.6, 0.7, "SLOWER"), (0.99, 1.0, 1.01, "SAME"), (0.9, 1.1, 1.3, "AMBIGUOUS")],
)
def test_what_is_not_a_win_is_not_told_as_one(result, low, middle, high, verdict):
    said = sentence.headline(with_ratio(result, low, middle, high, verdict))
    assert said.startswith("Nothing ")
    assert "torch.compile" in said
    assert f"{low:.2f}–{high:.2f}" in said


def test_nothing_passed_leaves_the_reference(result):
    none = result.model_copy(update={"outcome": "nothing_passed", "vs_best": None, "attempts": 1})
    said = sentence.headline(none)
    assert said == (
        "No candidate for rmsnorm_silu passed in 1 attempt; the reference stays as it is."
    )


def test_a_candidate_that_was_not_timed_claims_no_speed(result):
    assert "not timed" in sentence.headline(result.model_copy(update={"vs_best": None}))


def test_eager_and_the_buffer_stand_beside_the_headline(result):
    remarks = " ".join(sentence.remarks(result))
    assert "eager" in remarks
    assert "memory already there" in remarks


def test_figures_that_were_picked_and_not_taken_afresh_carry_a_caution(result):
    assert not any("lean upwards" in r for r in sentence.remarks(result))
    picked = result.model_copy(update={"promoted": False})
    assert any("lean upwards" in r for r in sentence.remarks(picked))


def test_a_control_that_is_off_carries_a_caution(result):
    control = result.control.model_copy(update={"ci_low": 1.05, "median": 1.06, "ci_high": 1.07})
    remarks = sentence.remarks(result.model_copy(update={"control": control}))
    assert any("not steady" in remark for remark in remarks)


def test_a_wide_interval_carries_a_caution(result):
    assert not any("wide" in remark for remark in sentence.remarks(result))
    wide = with_ratio(result, 1.1, 2.0, 3.0, "FASTER")
    assert any("wide" in remark for remark in sentence.remarks(wide))


def test_a_run_that_can_go_on_says_how(result):
    remarks = sentence.remarks(result.model_copy(update={"finished": False}))
    assert any("kernelwright resume" in remark for remark in remarks)
