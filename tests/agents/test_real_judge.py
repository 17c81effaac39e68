"""A session with the real judge, and candidates that tell what they see."""

import asyncio
import re
import shutil

import pytest

from kernelwright.agents.benches import Benches
from kernelwright.agents.elsewhere import equip
from kernelwright.agents.limits import Turns
from kernelwright.agents.opening import agent_spec, start
from kernelwright.agents.submission import Submission
from kernelwright.run.folder import RunFolder

pytestmark = [
    pytest.mark.slow,  # baselines are compiled
    pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++"),
]

TELLTALE = """
#include <cstdio>
#include <cstdlib>
extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    for (int64_t row = 0; row < rows; row++) {
        double sum = 0.0;
        for (int64_t i = 0; i < dim; i++) sum += (double)x[row * dim + i] * x[row * dim + i];
        out[row] = (float)sum;
    }
    fprintf(stderr, "SEEN %ld by %ld: %.9g\\n", (long)rows, (long)dim, rows * dim ? x[0] : 0.0f);
    fflush(stderr);
    if (CONDITION) abort();
}
"""
RIGHT = TELLTALE.replace("CONDITION", "false")


def submitted(folder, *sources, then=None):
    """What an agent is told about each, and the problem."""

    async def work():
        benches = Benches(equip, Turns())
        spec = agent_spec("builtin:row_sum", "me", device="cpu", languages=["cpp"])
        session = await start(benches, spec, lambda _: RunFolder.claim(folder))
        try:
            told = [await session.submit(Submission(source=source)) for source in sources]
            return told, session.problem, await then(session) if then else None
        finally:
            await session.aclose()
            await benches.aclose()

    return asyncio.run(work())


def test_what_a_candidate_prints_of_hidden_inputs_is_told_to_nobody(tmp_path):
    """One dies where it is hidden, one where it is not, and both have seen what is."""
    on_hidden = TELLTALE.replace("CONDITION", "dim == 1 && rows > 1")
    on_report = TELLTALE.replace("CONDITION", "rows == 1024")
    told, problem, _ = submitted(tmp_path / "run", on_hidden, on_report)
    assert [t.verdict.outcome for t in told] == ["crashed", "crashed"]
    hidden = told[0].model_dump_json()
    assert "SEEN" not in hidden
    assert "an axis of size 1" in hidden
    known = {n for w in problem.workloads if w.split != "hidden" for n in w.axes.values()}
    secret = {n for w in problem.workloads for n in w.axes.values() if n not in known and n > 8}
    assert secret
    for one in told:
        seen = re.findall(r"SEEN (\d+) by (\d+)", one.model_dump_json())
        assert not secret & {int(n) for pair in seen for n in pair}


def test_a_whole_session_with_the_real_judge(tmp_path):
    async def promoted(session):
        profile, done = await session.profile(3), await session.promote()
        return profile, done, session.state.faults

    unbuilt = RIGHT.replace("double sum", "doubt sum")
    wrong = RIGHT.replace("sum +=", "sum -=")
    told, _, (profile, done, faults) = submitted(
        tmp_path / "run", unbuilt, wrong, RIGHT, then=promoted
    )
    assert [t.verdict.outcome for t in told] == ["build_failed", "wrong_result", "passed"]
    assert told[2].verdict.speedup is not None
    assert profile.bottleneck is not None
    assert done.drop_in is not None, faults
    assert (done.step, done.drop_in.outcome) == (3, "passed")
    assert set(done.files) == {"best.cpp", "best_module.py"}
    assert (tmp_path / "run" / "best_module.py").is_file()
