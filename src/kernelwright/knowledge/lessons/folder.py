"""Lessons on disk: a folder with a JSON file for each, named after it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import ValidationError

from kernelwright.core.errors import StoreError, UsageError
from kernelwright.knowledge.lessons.lesson import Lesson

SHIPPED = Path(__file__).parent / "shipped"


def read_lessons(folders: Iterable[Path]) -> Sequence[Lesson]:
    """The lessons in `folders`, by name; of one that is in two the last folder's.

    Raises:
        UsageError: a folder is not there, or a file in it is no lesson.
    """
    found: dict[str, Lesson] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"There is no folder {folder}; `kernelwright lessons mine` makes one.")
        for path in sorted(folder.glob("*.json")):
            lesson = _read(path)
            found[lesson.name] = lesson
    return [found[name] for name in sorted(found)]


def write_lesson(folder: Path, lesson: Lesson) -> Path:
    """Put `lesson` into `folder`, in place of what it was there before.

    Raises:
        StoreError: it could not be written.
    """
    path = folder / f"{lesson.name}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(lesson.model_dump_json(indent=1) + "\n", encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        raise StoreError(f"The lesson {path} could not be written: {error}.") from error
    return path


def _read(path: Path) -> Lesson:
    try:
        return Lesson.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The lesson {path} cannot be read: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise UsageError(f"{path} is no lesson: {where}: {first['msg']}.") from error
