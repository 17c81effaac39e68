"""What lessons change of the sketches' drafts."""

from kernelwright.core.candidate import Tunable
from kernelwright.knowledge.lessons.applying import Advised, fitting
from kernelwright.knowledge.lessons.lesson import Before, Lesson, Setting
from kernelwright.knowledge.sketches.drafts import Covered
from kernelwright.testing.evaluators import number_candidate

WARPS = Tunable(name="WARPS", choices=(2, 4, 8), default=4)
BLOCK = Tunable(name="BLOCK", choices=(64, 128), default=64)


def covered(*sketches):
    made = [number_candidate(n + 1.0, tunables=(WARPS, BLOCK)) for n in range(len(sketches))]
    return Covered(candidates=tuple(made), sketches=sketches)


def lesson(advice, language="cpp", device="d"):
    return Lesson(language=language, device=device, advice=advice, evidence=())


def setting(sketch, **settings):
    return lesson(Setting(sketch=sketch, settings=settings))


def values(found, sketch):
    return [
        c.values for s, c in zip(found.covered.sketches, found.covered.candidates, strict=True)
        if s == sketch
    ]  # fmt: skip


def test_a_draft_is_begun_as_advised_and_its_own_guess_stays_last():
    advice = setting("tiled", WARPS=8)
    found = Advised.of(covered("tiled", "looped"), [advice])
    assert found.covered.sketches == ("tiled", "looped", "tiled")
    assert values(found, "tiled") == [{"WARPS": 8, "BLOCK": 64}, {"WARPS": 4, "BLOCK": 64}]
    assert values(found, "looped") == [{"WARPS": 4, "BLOCK": 64}]
    assert found.heeded == (advice,)


def test_the_first_lesson_goes_before_later_ones():
    found = Advised.of(
        covered("tiled"), [setting("tiled", WARPS=8), setting(None, WARPS=2, BLOCK=128)]
    )
    assert values(found, "tiled")[0] == {"WARPS": 8, "BLOCK": 128}


def test_advice_that_does_not_fit_changes_nothing():
    plain = covered("tiled")
    for advice in (
        setting("looped", WARPS=8),
        setting("tiled", WARPS=16),
        setting("tiled", STAGES=2),
        setting("tiled", WARPS=4),
        lesson(Before(sketch="looped", other="tiled")),
    ):
        found = Advised.of(plain, [advice])
        assert found.covered == plain
        assert found.heeded == ()


def test_a_sketch_is_tried_before_another():
    advice = lesson(Before(sketch="looped", other="tiled"))
    found = Advised.of(covered("flash", "tiled", "resident", "looped"), [advice])
    assert found.covered.sketches == ("flash", "looped", "tiled", "resident")
    plain = covered("looped", "tiled")
    assert Advised.of(plain, [advice]).covered == plain


def test_lessons_fit_a_language_and_a_device():
    known = [
        lesson(Setting(sketch="s", settings={"A": 1}), language, device)
        for language in ("cpp", "triton") for device in ("d", "e")
    ]  # fmt: skip
    assert fitting(known, "triton", "e") == [known[3]]
    assert fitting(known, "triton", None) == []
