"""Evolution breeds from unlike elites, on islands that hear of each other now and then."""

from dataclasses import replace

import pytest

from kernelwright.core.diagnosis import Diagnosis, Position
from kernelwright.core.run import History
from kernelwright.search.archive import Archive, cell_of
from kernelwright.search.drafting import Drafter
from kernelwright.search.evolve import Evolve
from kernelwright.search.lineage import Lineage
from kernelwright.testing.evaluators import TILE, passed
from kernelwright.testing.histories import attempt, draft, refine, retune
from kernelwright.testing.strategies import DRAFTERS, StrategyContract

SKETCH = Drafter(writer="sketch", language="cpp", limit=2, listed=True)
LLM = Drafter(writer="llm", language="cpp", limit=2, refines=True)
ALONE = {"islands": 1, "crossover": 0.0}


class TestEvolve(StrategyContract):
    @pytest.fixture
    def strategy(self):
        return Evolve(drafters=DRAFTERS, seed=7)


def limited(speedup, bottleneck="unknown", **diagnosis):
    profile = Diagnosis(bottleneck=bottleneck, **diagnosis)
    return passed(speedup).model_copy(update={"profile": profile})


def moving(share):
    """The position of a kernel that has `share` of the memory's speed."""
    return Position(
        nbytes=1000, flops=0, call_ns=1000 / share, peak_gb_s=1, inputs_gb_s=1, peak_gflops=1
    )


def unlike(writer, tunables=()):
    """Two drafts that different things limit; the second is much slower."""
    return (
        attempt(1, draft(writer), 3.0, tunables, outcome=limited(3.0, "memory_bound")),
        attempt(2, draft(writer, 1), 1.0, tunables, outcome=limited(1.0, "latency_bound")),
    )


def ids(attempts):
    return {a.candidate.id for a in attempts}


def parents(plans):
    return {parent for plan in plans for parent in plan.parents}


def cell(outcome=None, text="1.5", language="cpp", writer="sketch"):
    made = attempt(1, draft(writer, language=language), text, outcome=outcome or passed(1.5))
    return cell_of(made, Lineage.of(History(attempts=(made,))))


def test_unlike_elites_are_parents_though_one_is_much_slower():
    attempts = unlike("llm")
    asked = Evolve(drafters=(LLM,), **ALONE).ask(History(attempts=attempts), 8)
    assert parents(asked) == ids(attempts)


def test_of_two_alike_only_the_faster_is_a_parent():
    fast, slow = (
        attempt(1 + i, draft("llm", i), score, outcome=limited(score, "memory_bound"))
        for i, score in enumerate((3.0, 2.0))
    )
    asked = Evolve(drafters=(LLM,), **ALONE).ask(History(attempts=(fast, slow)), 8)
    assert parents(asked) == ids([fast])


def test_kinds_differ_in_each_of_their_traits():
    kinds = [
        cell(limited(1.5)),
        cell(limited(1.5, "memory_bound")),
        cell(limited(1.5, position=moving(0.1))),
        cell(limited(1.5, position=moving(0.9))),
        cell(language="triton"),
        cell(writer="llm"),
        cell(text="for (;;) {}"),
    ]
    assert len(set(kinds)) == len(kinds)
    assert cell(limited(1.5)) == cell(limited(1.2)) == cell()


@pytest.mark.parametrize(
    ("diagnosis", "step"),
    [
        ({}, None),
        ({"headroom": 1.1}, 3),
        ({"headroom": 10.0}, 0),
        ({"position": moving(0.3)}, 1),
        ({"position": moving(1.2)}, 3),
    ],
)
def test_the_share_of_the_memorys_speed_is_told_in_steps(diagnosis, step):
    assert cell(limited(1.5, **diagnosis)).traffic == step


def test_a_refined_text_is_of_the_kind_of_its_draft():
    first = attempt(1, draft("sketch"), 1.5)
    child = attempt(2, refine(first), 1.7)
    grandchild = attempt(3, refine(child), 1.8)
    lineage = Lineage.of(History(attempts=(first, child, grandchild)))
    assert cell_of(grandchild, lineage) == cell_of(first, lineage)


def test_what_failed_is_in_no_cell():
    assert cell(text="error", outcome=attempt(1, draft("llm"), "error").evaluation.outcome) is None


def test_an_island_breeds_from_its_own_elites():
    # Island 1 has the attempt of step 1, island 0 that of step 2.
    odd, even = unlike("llm")
    asked = Evolve(drafters=(LLM,), islands=2, migration=99, crossover=0.0).ask(
        History(attempts=(odd, even)), 4
    )
    assert [p.parents[0] for p in asked] == [odd.candidate.id, even.candidate.id] * 2


def test_in_a_round_of_migration_the_parents_come_from_the_next_island():
    odd, even = unlike("llm")
    strategy = Evolve(drafters=(LLM,), islands=2, migration=3, crossover=0.0)
    asked = strategy.ask(History(attempts=(odd, even)), 6)
    # Steps 3 to 8; 6 and 7 are a round of migration.
    parents_of = [odd, even, odd, odd, even, even]
    assert [p.parents[0] for p in asked] == [a.candidate.id for a in parents_of]


def test_the_child_of_a_migration_settles_where_its_step_belongs():
    odd, even = unlike("llm")
    settled = attempt(6, refine(odd), 3.5, outcome=limited(3.5, "memory_bound"))
    history = History(attempts=(odd, even, settled))
    archive = Archive.of(history, Lineage.of(history), 2)
    assert ids(archive.islands[0].values()) == ids([even, settled])


def test_an_island_without_elites_borrows_those_of_another():
    only = attempt(1, draft("sketch"), 2.0, (TILE,))
    strategy = Evolve(drafters=(replace(SKETCH, limit=1),), islands=5)
    assert len(strategy.ask(History(attempts=(only,)), 99)) == len(TILE.choices) - 1


def test_some_children_join_two_elites():
    attempts = unlike("llm")
    asked = Evolve(drafters=(LLM,), islands=1, crossover=1.0).ask(History(attempts=attempts), 4)
    assert {p.kind for p in asked} == {"combine"}
    assert all(set(p.parents) == ids(attempts) for p in asked)
    assert len({(p.parents, p.variant) for p in asked}) == 4


def test_only_texts_in_one_language_are_joined():
    here, there = unlike("llm")
    there = attempt(2, draft("llm", language="triton"), 2.0)
    drafters = (replace(LLM, limit=1), replace(LLM, limit=1, language="triton"))
    asked = Evolve(drafters=drafters, islands=1, crossover=1.0).ask(
        History(attempts=(here, there)), 6
    )
    assert {p.kind for p in asked} == {"refine"}


def test_without_a_model_unlike_elites_are_tuned():
    attempts = unlike("sketch", (TILE,))
    asked = Evolve(drafters=(SKETCH,), **ALONE).ask(History(attempts=attempts), 99)
    assert {p.kind for p in asked} == {"tune"}
    assert parents(asked) == ids(attempts)
    assert len(asked) == 2 * (len(TILE.choices) - 1)


def test_refinement_ends_when_the_archive_gains_nothing():
    history, asked = History(attempts=unlike("llm")), 0
    strategy = Evolve(drafters=(LLM,), patience=3, **ALONE)
    while plans := strategy.ask(history, 1):
        asked += 1
        worse = attempt(2 + asked, plans[0], 0.5, outcome=limited(0.5, "memory_bound"))
        history = replace(history, attempts=(*history.attempts, worse))
    assert asked == 3


def test_a_slow_text_of_a_new_kind_is_a_gain_to_the_archive():
    fast, _slow = unlike("llm")
    kinds = [limited(0.5, "memory_bound"), limited(0.4, "compute_bound")]
    barren = []
    for outcome in kinds:
        child = attempt(3, refine(fast), 0.5, outcome=outcome)
        history = History(attempts=(*unlike("llm"), child))
        barren.append(Archive.of(history, Lineage.of(history), 1).barren)
    assert barren == [1, 0]


def test_settings_of_an_elite_take_its_place_when_they_are_faster():
    first = attempt(1, draft("sketch"), 2.0, (TILE,))
    tuned = attempt(2, retune(first, TILE=4), 2.0, (TILE,))
    history = History(attempts=(first, tuned))
    (island,) = Archive.of(history, Lineage.of(history), 1).islands
    assert ids(island.values()) == ids([tuned])


def test_the_seed_decides_who_the_parents_are():
    history = History(attempts=unlike("llm"))
    orders = {
        tuple(p.parents for p in Evolve(drafters=(LLM,), seed=seed, **ALONE).ask(history, 6))
        for seed in range(5)
    }
    assert len(orders) > 1
