import pytest

from kernelwright.store.sql import FILE_NAME, SqlStore
from kernelwright.testing.runs import write_run


@pytest.fixture
def run_folder(tmp_path):
    """A folder with the log of a finished run, as a run leaves it."""
    folder = tmp_path / "demo"
    folder.mkdir()
    with SqlStore.open(folder / FILE_NAME, folder.name) as store:
        write_run(store)
    (folder / "best.cpp").write_text("// the best\n")
    return folder
