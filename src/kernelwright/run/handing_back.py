"""Handing back the result: its files are written, and the module that users import is judged."""

from __future__ import annotations

from pathlib import Path

from kernelwright.languages.reading import candidate_from_file
from kernelwright.run.delivery import MODULE
from kernelwright.run.equipment import Equipment
from kernelwright.run.folder import RunFolder
from kernelwright.run.log import RunLog
from kernelwright.run.patience import GaveUp, patiently
from kernelwright.run.verdicts import evaluation_of, record_verdict


async def hand_back(
    log: RunLog, number: int, folder: RunFolder, equipment: Equipment
) -> tuple[Path, ...]:
    """Deliver the candidate of step `number` into `folder`; the paths of what was written.

    The module is judged as it is, unless it was: a kernel that is right in a file that is not would
    be of no use, and calling it from Python costs something too.

    Raises:
        StoreError: a file or the log could not be written.
    """
    candidate = log.state.steps[number].candidate
    evaluation = evaluation_of(log.state, number)
    if candidate is None or evaluation is None:
        return ()
    written = equipment.deliver(folder, candidate, evaluation)
    module = next((path for path in written if path.name == MODULE), None)
    known = any(d.step == number for d in log.state.deliveries)
    if module is not None and equipment.judges_modules and not known:
        await _judge(log, number, module, equipment)
    return written


async def _judge(log: RunLog, number: int, module: Path, equipment: Equipment) -> None:
    candidate = candidate_from_file(equipment.problem, module, "python")
    try:
        evaluation = await patiently(
            lambda: equipment.evaluator.evaluate(candidate, "search"), log, None, equipment.retries
        )
    except GaveUp:
        return
    record_verdict(log, "delivery", number, evaluation)
