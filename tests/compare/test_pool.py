"""Pools: closed, read back as written, recorded once, and gone on with where they were cut off."""

import math

import pytest

from kernelwright.compare.pool import Pool, read_pools, thinned
from kernelwright.compare.recording import record
from kernelwright.core.candidate import Tunable
from kernelwright.core.errors import UsageError, WorkerError
from kernelwright.core.evaluation import Fault, Passed
from kernelwright.core.statistics import score
from kernelwright.testing.evaluators import number_candidate


def test_a_pool_has_a_verdict_on_every_setting_of_every_text(make_pool):
    pool = make_pool(1.0, 2.0)
    assert len(pool.candidates) == len(pool.seen) == 10
    assert not pool.unseen
    best = max(pool.seen.values(), key=lambda verdict: score(verdict.outcome) or 0)
    assert pool.candidates[best.candidate_id].values == {"TILE": 4}
    assert score(best.outcome) == pytest.approx(2.4, rel=0.01)


def test_what_is_near_the_best_is_judged_again_by_another_judge(tmp_path, head_with, fake_judge):
    judges = []

    def opening():
        judges.append(fake_judge())
        return judges[-1]

    path = tmp_path / "rows.jsonl"
    list(record(path, head_with(2.0), opening))
    seen, again = judges
    assert len(seen.asked) == 5
    # 2.4 is the best, and 2.2 is within a tenth of it; 2.0 is not.
    values = [Pool.read(path).candidates[key].values["TILE"] for key in again.asked]
    assert sorted(values) == [2, 4]


def test_a_choice_is_worth_what_the_second_verdict_says(make_pool):
    pool = make_pool(2.0)
    chosen = pool.candidates[next(iter(pool.again))]
    said = pool.again[chosen.id]
    assert pool.worth(chosen) == score(said.outcome)
    unlucky = said.model_copy(update={"outcome": pool.seen[min(pool.seen)].outcome})
    others = tuple(v for v in pool.verdicts if v is not said)
    changed = Pool(head=pool.head, verdicts=(*others, unlucky))
    assert changed.worth(chosen) == score(unlucky.outcome)


def test_a_recording_that_was_cut_off_in_a_line_goes_on(tmp_path, head_with, fake_judge):
    path = tmp_path / "rows.jsonl"
    list(record(path, head_with(1.0, 2.0), fake_judge))
    whole = path.read_bytes()
    lines = whole.split(b"\n")
    path.write_bytes(b"\n".join(lines[:4]) + b"\n" + lines[4][:30])
    with pytest.raises(UsageError, match="not whole: 7 candidates"):
        read_pools(tmp_path)
    judges = []

    def opening():
        judges.append(fake_judge())
        return judges[-1]

    list(record(path, head_with(1.0, 2.0), opening))
    assert len(judges[0].asked) == 7
    assert sorted(path.read_bytes().split(b"\n")) == sorted(lines)


def test_what_got_no_verdict_is_told_and_judged_when_recorded_again(
    tmp_path, head_with, fake_judge, monkeypatch
):
    monkeypatch.setattr("time.sleep", lambda _s: None)
    path = tmp_path / "rows.jsonl"
    list(record(path, head_with(1.0), lambda: fake_judge(faults=[WorkerError("it broke")] * 6)))
    assert len(Pool.read(path).unseen) == 1
    found = [r.found for r in record(path, head_with(1.0), fake_judge)]
    assert not any(isinstance(each, Fault) for each in found)
    list(record(path, head_with(1.0), fake_judge))
    assert not Pool.read(path).unseen


def test_a_pool_of_other_drafts_is_not_written_over(tmp_path, head_with, fake_judge):
    path = tmp_path / "rows.jsonl"
    list(record(path, head_with(1.0), fake_judge))
    before = path.read_bytes()
    with pytest.raises(UsageError, match="other candidates"):
        list(record(path, head_with(2.0), fake_judge))
    assert path.read_bytes() == before


def test_what_agreed_is_left_out_of_a_pool(make_pool):
    for verdict in make_pool(2.0).verdicts:
        assert isinstance(verdict.outcome, Passed)
        assert verdict.outcome.agreements == ()
        assert {m.regime for m in verdict.outcome.measurements} == {"returned"}


@pytest.mark.parametrize(("text", "said"), [("", "is no pool"), ('{"format": 1}\n', "is no pool")])
def test_a_file_that_is_no_pool_is_a_sentence(tmp_path, text, said):
    (tmp_path / "x.jsonl").write_text(text)
    with pytest.raises(UsageError, match=said):
        read_pools(tmp_path)


def test_pools_are_asked_for_by_name(tmp_path, make_pool):
    make_pool(1.0, name="one", folder=tmp_path)
    make_pool(1.0, name="two", folder=tmp_path)
    assert list(read_pools(tmp_path)) == ["one", "two"]
    assert list(read_pools(tmp_path, ["two"])) == ["two"]
    with pytest.raises(UsageError, match="no pool 'three'"):
        read_pools(tmp_path, ["three"])
    with pytest.raises(UsageError, match="There are no pools"):
        read_pools(tmp_path / "elsewhere")


@pytest.mark.parametrize("most", [1, 2, 6, 7, 24, 500])
def test_thinning_keeps_the_first_guess_and_what_is_allowed(most):
    wide = Tunable(name="WIDE", choices=(1, 2, 4, 8, 16, 32, 64), default=8)
    flag = Tunable(name="FLAG", choices=(0, 1), default=1)
    found = thinned(number_candidate(1.0, tunables=(wide, flag)), most)
    sizes = [len(t.choices) for t in found.tunables]
    assert 1 <= math.prod(sizes) <= most
    assert math.prod(sizes) > most / 2 or math.prod(sizes) == 14
    for before, after in zip((wide, flag), found.tunables, strict=True):
        assert after.default in after.choices
        assert set(after.choices) <= set(before.choices)
        assert list(after.choices) == sorted(after.choices)


@pytest.mark.parametrize(
    ("default", "most", "kept"),
    [(8, 3, (4, 8, 16)), (8, 2, (8, 16)), (1, 3, (1, 2, 4)), (64, 4, (8, 16, 32, 64))],
)
def test_thinning_keeps_what_lies_about_the_first_guess(default, most, kept):
    wide = Tunable(name="WIDE", choices=(1, 2, 4, 8, 16, 32, 64), default=default)
    found = thinned(number_candidate(1.0, tunables=(wide,)), most)
    assert found.tunables[0].choices == kept


def test_a_draft_that_is_far_behind_has_its_first_guess_alone(make_pool):
    pool = make_pool(2.0, 0.9)
    near, far = pool.head.drafts
    assert len(list(near.settings)) == 5
    assert list(far.settings) == [far.candidate]
    assert not pool.unseen
    assert pool.seen[far.candidate.id].outcome.kind == "passed"
