"""Setting the tunables of a candidate: what lies next to the best, then what Optuna's TPE suggests,
replayed from the history at each question.

A first guess is seldom far off, so most that is to be gained is one step of one tunable away: on
the pools of the H100 that finds as much as TPE alone does with twice the patience. Candidates that
differ only in their settings are a family. The study is built anew from the family's attempts and
thrown away, so nothing has to be kept for a run to resume.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from kernelwright.core.candidate import Plan, Tunable
from kernelwright.core.record import content_id
from kernelwright.core.run import Attempt, History
from kernelwright.core.statistics import SAME_WITHIN
from kernelwright.search.drafting import failed
from kernelwright.search.lineage import Lineage

TUNER = "tuner"
# Trials of a family without a gain before it is left alone.
PATIENCE = 8
# A family whose best is slower than this share of the best of all is not worth a trial.
NEAR = 0.7
# Random trials before the sampler models anything; its own default of 10 is most of a budget.
_STARTUP_TRIALS = 4
_TRIES = 5
_ENUMERATED = 4096

Settings = Mapping[str, int]

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True, kw_only=True)
class Family:
    """One text under all the settings tried. `out` are the settings of pending plans."""

    text: str
    best: Attempt
    tunables: tuple[Tunable, ...]
    tried: tuple[Attempt, ...]
    used: frozenset[tuple[tuple[str, int], ...]]
    out: tuple[Settings, ...]

    @property
    def score(self) -> float:
        """The best score of any of its settings."""
        return self.best.score or 0.0

    @property
    def fruitless(self) -> int:
        """How many `tune` attempts have ended since the last one that surely gained: whose whole
        interval lies above the best before it. On a noisy machine each of many equal settings is
        the best so far for a while, and a search that took that for gains would not end."""
        best, since = 0.0, 0
        for attempt in self.tried:
            if (attempt.at_least or 0.0) > best * (1 + SAME_WITHIN):
                since = 0
            elif attempt.plan.kind == "tune":
                since += 1
            best = max(best, attempt.score or 0.0)
        return since

    @property
    def exhausted(self) -> bool:
        """Whether every combination of settings has been asked for."""
        return len(self.used) >= math.prod(len(set(t.choices)) for t in self.tunables)


def next_tune(history: History, *, seed: int, patience: int = PATIENCE) -> Plan | None:
    """Untried settings for the best family that is worth tuning; None when there is none."""
    made = (tune(family, seed=seed, patience=patience) for family in near(history))
    return next((plan for plan in made if plan is not None), None)


def tune(family: Family, *, seed: int, patience: int = PATIENCE) -> Plan | None:
    """Untried settings for `family`; None when all are asked for, or it was fruitless for its
    patience."""
    candidate = family.best.candidate
    if candidate is None or family.exhausted or family.fruitless + len(family.out) >= patience:
        return None
    settings = _settings(family, seed)
    if settings is None:
        return None
    return Plan(
        kind="tune",
        language=candidate.language,
        writer=TUNER,
        parents=(candidate.id,),
        settings=dict(settings),
    )


def near(history: History) -> list[Family]:
    """The families that are near the best of all, the best first."""
    best = history.best
    if best is None or best.score is None:
        return []
    return [family for family in families(history) if family.score >= NEAR * best.score]


def families(history: History) -> list[Family]:
    """The family of every text that passed and was timed, the best first."""
    lineage = Lineage.of(history)
    members: dict[str, list[Attempt]] = {}
    for attempt in history.attempts:
        if attempt.candidate is not None:
            members.setdefault(lineage.texts[attempt.candidate.id], []).append(attempt)
    asked = list(_asked(history, lineage))
    found = [_family(key, tried, asked) for key, tried in members.items()]
    return sorted((f for f in found if f is not None), key=lambda family: -family.score)


def _asked(history: History, lineage: Lineage) -> Iterator[tuple[str, Settings, bool]]:
    """The family, the settings and whether it is still out, of each `tune` plan."""
    finished = [(attempt.plan, False) for attempt in history.attempts]
    for plan, out in [*finished, *((plan, True) for plan in history.pending)]:
        parent = lineage.parent(plan) if plan.kind == "tune" else None
        if parent is not None and parent.candidate is not None:
            tuned = parent.candidate.tuned(plan.settings)
            yield lineage.texts[parent.candidate.id], tuned.values, out


def _family(
    key: str, tried: Sequence[Attempt], asked: Sequence[tuple[str, Settings, bool]]
) -> Family | None:
    scored = [attempt for attempt in tried if attempt.score is not None]
    if not scored:
        return None
    best = max(scored, key=lambda attempt: attempt.score or 0.0)
    candidates = [attempt.candidate for attempt in tried if attempt.candidate is not None]
    ours = [(settings, out) for family, settings, out in asked if family == key]
    settings = [c.values for c in candidates] + [settings for settings, _ in ours]
    return Family(
        text=key,
        best=best,
        tunables=candidates[0].tunables,
        tried=tuple(tried),
        used=frozenset(_key(s) for s in settings),
        out=tuple(settings for settings, out in ours if out),
    )


def _key(settings: Settings) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(settings.items()))


def _settings(family: Family, seed: int) -> Settings | None:
    """Settings that were not used: one step from the best, else the sampler's, or any that are left
    if it repeats itself."""
    beside = list(_beside(family))
    if beside:
        number = int(content_id(seed, _names(family), len(family.used)), 16)
        return beside[number % len(beside)]
    repeated: list[Settings] = []
    for turn in range(_TRIES):
        number = int(content_id(seed, _names(family), len(family.used), turn), 16)
        settings = _suggest(family, repeated, number % 2**32)
        if _key(settings) not in family.used:
            return settings
        repeated.append(settings)
    return _any_left(family, random.Random(seed + len(family.used)))


def _beside(family: Family) -> Iterator[Settings]:
    """The unused settings that differ from the best in one tunable, by one step."""
    if family.best.candidate is None:
        return
    best = family.best.candidate.values
    for tunable in family.tunables:
        if best[tunable.name] not in tunable.choices:
            continue
        place = tunable.choices.index(best[tunable.name])
        for value in tunable.choices[max(place - 1, 0) : place + 2]:
            settings = {**best, tunable.name: value}
            if _key(settings) not in family.used:
                yield settings


def _names(family: Family) -> list[object]:
    return [tunable.model_dump() for tunable in family.tunables]


def _suggest(family: Family, repeated: Sequence[Settings], seed: int) -> Settings:
    """What the sampler would try, given the family's attempts.

    Settings that are out or repeated count as running: `constant_liar` keeps away from them.
    """
    sampler = optuna.samplers.TPESampler(
        seed=seed, n_startup_trials=_STARTUP_TRIALS, multivariate=True, constant_liar=True
    )
    study = optuna.create_study(sampler=sampler, direction="maximize")
    for attempt in family.tried:
        if attempt.candidate is not None and (attempt.score is not None or failed(attempt)):
            # A failure is worth nothing; left out, the sampler would return to it.
            study.add_trial(_trial(family, attempt.candidate.values, attempt.score or 0.0))
    for settings in (*family.out, *repeated):
        study.add_trial(_trial(family, settings, None))
    places = study.ask(_space(family)).params
    return {t.name: t.choices[places[t.name]] for t in family.tunables}


def _space(family: Family) -> dict[str, BaseDistribution]:
    """Choices by their place in line, so that the sampler knows which are neighbours."""
    return {t.name: IntDistribution(0, len(t.choices) - 1) for t in family.tunables}


def _trial(family: Family, settings: Settings, score: float | None) -> FrozenTrial:
    places = {
        t.name: t.choices.index(settings[t.name])
        for t in family.tunables
        if settings[t.name] in t.choices
    }
    space = {name: d for name, d in _space(family).items() if name in places}
    state = TrialState.RUNNING if score is None else TrialState.COMPLETE
    return optuna.trial.create_trial(params=places, distributions=space, value=score, state=state)


def _any_left(family: Family, chance: random.Random) -> Settings | None:
    names = [tunable.name for tunable in family.tunables]
    choices = [tunable.choices for tunable in family.tunables]
    if math.prod(map(len, choices)) <= _ENUMERATED:
        left = [dict(zip(names, values, strict=True)) for values in itertools.product(*choices)]
        chance.shuffle(left)
    else:
        left = [{t.name: chance.choice(t.choices) for t in family.tunables} for _ in range(99)]
    return next((settings for settings in left if _key(settings) not in family.used), None)
