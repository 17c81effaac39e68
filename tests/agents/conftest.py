import asyncio
from contextlib import asynccontextmanager

import pytest

from kernelwright.agents.benches import Benches
from kernelwright.agents.limits import Turns
from kernelwright.agents.opening import agent_spec, go_on, start
from kernelwright.agents.submission import Submission
from kernelwright.run.folder import RunFolder
from kernelwright.store.sql import FILE_NAME, SqlStore
from kernelwright.testing.agents import AgentEquip, text
from kernelwright.testing.runs import write_run


def handed(word, *, tunable=False, note="", **given):
    return Submission(source=text(word, tunable=tunable, note=note), **given)


class Desk:
    """Sessions in one folder, over fakes."""

    def __init__(self, folder):
        self.folder = folder
        self.equip = AgentEquip()
        self.budget = {}

    @asynccontextmanager
    async def session(self, *, again=False, grace_s=5.0, **given):
        benches = Benches(self.equip, Turns())
        if again:
            session = await go_on(benches, self.folder)
        else:
            spec = agent_spec(
                "builtin:softmax", "tester", device="cpu", languages=["cpp"], budget=self.budget,
                **given,
            )  # fmt: skip
            session = await start(benches, spec, lambda _: RunFolder.claim(self.folder))
        try:
            yield session
        finally:
            await session.aclose(grace_s)
            await benches.aclose()

    def run(self, work, **given):
        """What `work` returns for a session."""

        async def whole():
            async with self.session(**given) as session:
                return await work(session)

        return asyncio.run(whole())


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path / "run")


@pytest.fixture
def run_of_a_search(tmp_path):
    folder = tmp_path / "search"
    folder.mkdir()
    with SqlStore.open(folder / FILE_NAME, folder.name) as store:
        write_run(store)
    return folder
