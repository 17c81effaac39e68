import pytest

from kernelwright.report.story import Story
from kernelwright.store.memory import MemoryStore
from kernelwright.testing.runs import write_run


@pytest.fixture
def store():
    store = MemoryStore()
    write_run(store)
    return store


@pytest.fixture
def story(store):
    return Story.of(store.records())
