"""A run's settings: from a TOML file, from flags, from Python; checked before anything is started.

All three say the same things in the same words: the fields of `RunSpec`. What is not said is filled
in here from what this machine has.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ValidationError

from kernelwright.core import names
from kernelwright.core.cards import kind_of
from kernelwright.core.errors import SpecError, Unavailable, UnknownName
from kernelwright.core.protocols import Language
from kernelwright.core.run import RunSpec
from kernelwright.generate.llm_writer import WRITER
from kernelwright.generate.team import CODER, CRITIC, PLANNER
from kernelwright.languages.machine import cuda_devices
from kernelwright.llm.address import Address

LIBRARY, SKETCH, COMPILER, TUNER = "library", "sketch", "compiler", "tuner"
LLM, TEAM, TOOLS = "llm", "team", "tools"
FROM_OUTSIDE = "from_outside"  # the strategy of a run that an agent leads
AGENT = "agent:"  # in front of an agent's name, where writers are named
# The roles that models have in each writer that asks some.
ROLES: Mapping[str, tuple[str, ...]] = {
    LLM: (WRITER,),
    TEAM: (PLANNER, CODER, CRITIC),
    TOOLS: (WRITER,),
}
BATCH = "batch"  # the judge of a run whose verdicts are carried to it
# TOML has no null, and leaving a limit out means its default.
NO_LIMIT = "none"

Device = Literal["cpu", "cuda"]
# Where a language's candidates run; one that is not here runs on either.
_RUNS_ON: Mapping[str, Device] = {"cpp": "cpu", "cuda": "cuda"}
_FIRST_CHOICE: Mapping[Device, str] = {"cpu": "cpp", "cuda": "triton"}


def load_spec(path: Path | None = None, given: Mapping[str, Any] | None = None) -> RunSpec:
    """The settings in the file `path`, with `given` over them, complete and checked.

    `given` has the fields of `RunSpec`; one that is None was not given. "none" lifts a limit of the
    budget.

    Raises:
        SpecError: they do not hold together, or the file is broken.
        UnknownName: a strategy, writer, language or provider that there is not.
        Unavailable: this machine lacks what a language needs.
    """
    values = _merged(_read(path) if path else {}, given or {})
    if "writers" not in values and values.get("models"):
        roles = set(values["models"])
        values["writers"] = (LIBRARY, SKETCH, TEAM if roles & set(ROLES[TEAM]) else LLM)
    return completed(_validated(values, str(path) if path else "the settings"))


def completed(spec: RunSpec) -> RunSpec:
    """`spec` with a device and its languages, checked. Doing it twice changes nothing.

    Raises:
        SpecError, UnknownName, Unavailable: as `load_spec`.
    """
    check_names(spec)
    device = device_of(spec)
    languages = spec.languages or (_FIRST_CHOICE[device],)
    chosen = device if spec.device == "auto" else spec.device
    if spec.judge is None:
        check_languages(names.load("language", name)() for name in languages)
    return spec.model_copy(update={"languages": languages, "device": chosen})


def models_of(spec: RunSpec, writer: str) -> dict[str, str]:
    """The model of each role in `writer`, by role: one that is not named has the model of the role
    "writer"; one that has none is left out.

    >>> models = {"writer": "openai:small", "coder": "openai:large"}
    >>> models_of(RunSpec(problem="p.py", models=models), "team")
    {'planner': 'openai:small', 'coder': 'openai:large', 'critic': 'openai:small'}
    """
    found = {role: spec.models.get(role, spec.models.get(WRITER)) for role in ROLES.get(writer, ())}
    return {role: model for role, model in found.items() if model is not None}


def to_toml(spec: RunSpec) -> str:
    """`spec` as a file that `load_spec` reads back.

    >>> print(to_toml(RunSpec(problem="builtin:softmax", writers=("sketch",))).splitlines()[0])
    problem = "builtin:softmax"
    """
    values = spec.model_dump(mode="json")
    tables = {name: value for name, value in values.items() if isinstance(value, dict) and value}
    lines = _pairs({k: v for k, v in values.items() if not isinstance(v, dict)})
    for name, table in tables.items():
        lines += ["", f"[{name}]", *_pairs(table)]
    return "\n".join(lines) + "\n"


def reads_library(spec: RunSpec) -> bool:
    """Whether a writer of `spec` is given what the library has, or may ask for it."""
    return any(writer == LIBRARY or writer.startswith(AGENT) for writer in spec.writers)


def device_of(spec: RunSpec) -> Device:
    """Where the problem runs: as asked, else as its languages need, else on a GPU if one is there.

    Raises:
        SpecError: its languages run on different devices, or on another than was asked for.
        Unavailable: there is no GPU.
    """
    wanted = {_RUNS_ON[name] for name in spec.languages if name in _RUNS_ON}
    if spec.device != "auto":
        wanted.add(kind_of(spec.device))
    if len(wanted) > 1:
        said = ", ".join(spec.languages)
        raise SpecError(
            f"The languages {said} and the device {spec.device!r} do not go together: a run is on "
            "one device, cpp is for the CPU and cuda for a GPU."
        )
    if spec.judge is not None:
        # Whether a GPU is there only the other machine knows; it is what one asks another for.
        return wanted.pop() if wanted else "cuda"
    device = wanted.pop() if wanted else "cuda" if cuda_devices() else "cpu"
    if spec.device.startswith("cuda") and not cuda_devices():
        raise Unavailable("This machine shows no CUDA device. Leave the device out, or say cpu.")
    return device


def check_names(spec: RunSpec) -> None:
    """Whether everything that `spec` names exists and goes together. Starts and imports nothing.

    Raises:
        UnknownName, SpecError: something does not.
    """
    _check_known("strategy", [spec.strategy])
    _check_known("writer", [name for name in spec.writers if not name.startswith(AGENT)])
    _check_outside(spec)
    _check_known("language", spec.languages)
    _check_judge(spec)
    if not spec.writers:
        raise SpecError("No writer is named; name at least one, such as 'sketch'.")
    _check_models(spec)


def check_languages(languages: Iterable[Language]) -> None:
    """Whether candidates can be built and run here.

    Raises:
        Unavailable: saying what is missing.
    """
    for language in languages:
        for missing in (language.missing("build"), language.missing("run")):
            if missing:
                raise Unavailable(missing)


def _check_outside(spec: RunSpec) -> None:
    """Agents lead a run, or have no part in it: nobody here could ask them for a draft."""
    agents = [name for name in spec.writers if name.startswith(AGENT)]
    leads = len(agents) == len(spec.writers) and spec.strategy == FROM_OUTSIDE
    if (agents or spec.strategy == FROM_OUTSIDE) and not leads:
        raise SpecError(
            f"The strategy {FROM_OUTSIDE!r} is for runs that a coding agent leads, and takes no "
            "other writer. Start one with `kernelwright agent init` or `kernelwright mcp`."
        )


def _check_models(spec: RunSpec) -> None:
    """Each model has a provider and a role in which it is asked, and no writer lacks one."""
    known = sorted({role for roles in ROLES.values() for role in roles})
    for role, model in spec.models.items():
        if role not in known:
            raise UnknownName.of("role of a model", role, known)
        provider = Address.parse(model).provider
        if provider not in names.known("model"):
            raise UnknownName.of("model provider", provider, names.known("model"))
    for writer in spec.writers:
        lacking = [role for role in ROLES.get(writer, ()) if role not in models_of(spec, writer)]
        if lacking:
            raise SpecError(
                f"The writer {writer!r} needs a model. Name one with --model provider:name, or in "
                'the file as models.writer = "provider:name"; or leave the writer out. '
                f"Now nobody is {' or '.join(lacking)}."
            )
    roles = {role for writer in spec.writers for role in ROLES.get(writer, ())}
    asked = {role if role in spec.models else WRITER for role in roles}
    for role in sorted(set(spec.models) - asked):
        raise SpecError(
            f"The model {spec.models[role]!r} would not be used: no writer of the run asks it as "
            f"{role!r}. Add one that does ({', '.join(ROLES)}), or leave the model out."
        )


def _check_judge(spec: RunSpec) -> None:
    """A judge elsewhere has an address, or is reached by whoever carries files to it."""
    if spec.judge == BATCH and spec.strategy != FROM_OUTSIDE:
        raise SpecError(
            f"With the judge {BATCH!r} verdicts come when somebody carries them, and a search "
            "would wait for each. Use it with `kernelwright agent init`."
        )
    if spec.judge not in (None, BATCH) and not re.match(r"https?://[^\s/]+", spec.judge):
        raise SpecError(
            f"A judge elsewhere has an address like http://host:8765, not {spec.judge!r}."
        )


def _check_known(kind: names.Kind, asked: Iterable[str]) -> None:
    known = names.known(kind)
    for name in asked:
        if name not in known or name == TUNER:
            raise UnknownName.of(kind, name, [k for k in known if k != TUNER])


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SpecError(f"There is no file {path} with settings.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path} cannot be read: {error}.") from error
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{path} is not valid TOML: {error}.") from error


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` over `below`, table by table. None in `above` says nothing."""
    merged = dict(below)
    for key, value in above.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping | None):
            table = _merged(merged.get(key) or {}, value)
            if table:
                merged[key] = table
        elif value is not None:
            merged[key] = value
    return merged


def _validated(values: dict[str, Any], where: str) -> RunSpec:
    budget = values.get("budget")
    if isinstance(budget, Mapping):
        limits = {k: None if v == NO_LIMIT else v for k, v in budget.items()}
        values = {**values, "budget": limits}
    try:
        return RunSpec.model_validate(values)
    except ValidationError as error:
        raise SpecError(" ".join(_sentences(error, where))) from error


def _sentences(error: ValidationError, where: str) -> Iterable[str]:
    for fault in error.errors():
        *tables, name = (str(part) for part in fault["loc"])
        key = ".".join([*tables, name])
        if fault["type"] == "extra_forbidden":
            unknown = UnknownName.of("setting", name, _fields(tables))
            yield f"{unknown} (in {'.'.join([where, *tables])})"
        elif fault["type"] == "missing":
            yield f"{where} does not say {key!r}, which is needed."
        else:
            said = json.dumps(fault["input"], default=str, ensure_ascii=False)
            yield f"{key!r} in {where} cannot be {said:.80}: {fault['msg']}."


def _fields(tables: list[str]) -> Iterable[str]:
    """The names that are known in a table of the file."""
    model: type[BaseModel] = RunSpec
    for table in tables:
        field = model.model_fields.get(table)
        kinds = [field.annotation, *get_args(field.annotation)] if field else []
        model = next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), model)
    return model.model_fields


def _pairs(table: Mapping[str, Any]) -> list[str]:
    return [
        f"{_key(name)} = {_value(value)}" for name, value in table.items() if _said(name, value)
    ]


def _said(name: str, value: object) -> bool:
    # Only a limit of the budget has None for a value that is not its default.
    return value is not None or name == "max_attempts"


def _key(name: str) -> str:
    return name if name.isidentifier() and name.isascii() else _value(name)


def _value(value: object) -> str:
    if value is None:
        return f'"{NO_LIMIT}"'
    # JSON's strings, numbers, booleans and lists are TOML's too, but for one control character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
