"""The levels of isolation: their order, and evaluations from before they had their names."""

from __future__ import annotations

from typing import get_args

import pytest
from pydantic import TypeAdapter, ValidationError

from kernelwright.core.evaluation import BEST_ISOLATION, Isolation, StoredIsolation, isolates
from kernelwright.core.run import RunSpec

LEVELS: tuple[Isolation, ...] = get_args(Isolation)


@pytest.mark.parametrize("level", LEVELS)
def test_the_best_level_satisfies_every_requirement_and_each_its_own(level):
    assert isolates(BEST_ISOLATION, level)
    assert isolates(level, level)
    assert isolates(level, "process")
    assert isolates(level, BEST_ISOLATION) == (level == BEST_ISOLATION)


def test_landlock_alone_is_less_than_namespaces():
    assert not isolates("landlock+seccomp", "bubblewrap+seccomp")
    assert isolates("bubblewrap+seccomp", "landlock+seccomp")


def test_what_was_stored_as_bubblewrap_had_no_landlock():
    stored: TypeAdapter[Isolation] = TypeAdapter(StoredIsolation)
    assert stored.validate_python("bubblewrap") == "bubblewrap+seccomp"
    with pytest.raises(ValidationError):
        stored.validate_python("bubble")


def test_a_runs_settings_from_then_still_load():
    assert RunSpec(problem="x.py", require_isolation="bubblewrap").require_isolation == (
        "bubblewrap+seccomp"
    )
