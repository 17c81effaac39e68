"""`kernelwright library` at the command line, over libraries made of nothing."""

import json

import pytest

from kernelwright.apps.cli.main import run
from kernelwright.library import shelf
from kernelwright.library.adding import add
from kernelwright.testing.library import NORM_KERNEL, promoted


@pytest.fixture(autouse=True)
def only_ours(tmp_path, monkeypatch):
    """No kernel ships here."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shipped").mkdir()
    monkeypatch.setattr(shelf, "SHIPPED", tmp_path / "shipped")


@pytest.fixture
def library(tmp_path):
    add(tmp_path / "mine", "norm-cpp", promoted())
    return str(tmp_path / "mine")


def test_the_list_has_each_kernel_with_its_speed(library, capsys):
    assert run(["library", "list", "--library", library]) == 0
    shown = capsys.readouterr().out
    assert "norm-cpp" in shown
    assert "1.50×" in shown
    assert run(["library", "list", "--library", library, "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["name"], listed["writer"]) == ("norm-cpp", "agent:test")


def test_a_library_with_nothing_in_it_lists_nothing(capsys):
    assert run(["library", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_show_prints_what_is_known_and_the_source(library, capsys):
    assert run(["library", "show", "norm-cpp", "--library", library]) == 0
    shown = capsys.readouterr().out
    assert "A norm (forward)" in shown
    assert "agent:test, 2031-01-31" in shown
    assert "may be set  EPS" in shown
    assert NORM_KERNEL.splitlines()[-2] in shown


def test_a_name_that_there_is_not_is_said(library, capsys):
    assert run(["library", "show", "norm-cp", "--library", library]) == 2
    said = capsys.readouterr().err
    assert "No kernel of the library is called 'norm-cp'. Did you mean 'norm-cpp'?" in said


def test_a_folder_that_is_no_library_is_said(capsys):
    assert run(["library", "list", "--library", "nowhere"]) == 2
    assert "There is no library in nowhere" in capsys.readouterr().err


def test_kernels_of_another_device_are_said_as_skipped(library, capsys):
    assert run(["library", "verify", "--device", "cuda", "--library", library]) == 0
    assert "cpp does not run on cuda" in capsys.readouterr().out
    assert run(["library", "verify", "--device", "cuda", "--library", library, "--json"]) == 0
    (found,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (found["name"], found["outcome"]) == ("norm-cpp", "skipped")


def test_a_broken_folder_fails_the_verification_and_is_named(library, tmp_path, capsys):
    (tmp_path / "mine" / "norm-cpp" / "kernel.cpp").write_text("int main() {}")
    assert run(["library", "verify", "--device", "cuda", "--library", library]) == 1
    assert "kernel.cpp is not what was certified" in capsys.readouterr().err
    assert run(["library", "verify", "--device", "cuda", "--library", library, "--json"]) == 1
    (left,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert left["name"] == "norm-cpp"
    assert "kernel.cpp is not what was certified" in left["reason"]
    assert run(["library", "list", "--library", library]) == 0
    assert "norm-cpp is left out" in capsys.readouterr().err


def test_what_no_longer_holds_fails_the_verification(library, monkeypatch, capsys):
    from kernelwright.apps.cli import library as command

    def wrong(kernel, device, *, require_isolation):
        said = {"name": kernel.name, "language": "cpp", "device": device}
        return command.Verified(**said, outcome="wrong", reason="The judge says crashed.")

    monkeypatch.setattr(command, "verify", wrong)
    assert run(["library", "verify", "norm-cpp", "--device", "cpu", "--library", library]) == 1
    assert "The judge says crashed." in capsys.readouterr().out


def test_the_best_of_a_run_goes_into_a_library(run_folder, tmp_path, monkeypatch, capsys):
    """The run's own problem is nothing that can be traced, so its graph is given here."""
    from kernelwright.apps.cli import library as command

    def form_of(problem):
        names = {
            "tensors": tuple(s.name for s in problem.inputs),
            "outputs": ("out",),
            "axes": tuple((axis,) for axis in problem.axes),
        }
        return promoted().form.model_copy(update=names)

    monkeypatch.setattr(command, "_form", form_of)
    into = tmp_path / "new"
    add_it = ["library", "add", str(run_folder), "--library", str(into), "--name", "rows"]
    assert run(add_it) == 0
    assert capsys.readouterr().out.strip() == str(into / "rows")
    about = shelf.read_kernel(into / "rows").about
    assert about.provenance.run == "demo"
    assert about.computes.title


def test_a_run_that_is_not_there_is_said(capsys):
    assert run(["library", "add", "nowhere"]) == 2
    assert "nowhere does not exist" in capsys.readouterr().err
