"""Which form of a candidate runs where, over a compiler that says what it is told to."""

import contextlib
from pathlib import Path

import pytest

from kernelwright.core.evaluation import BuildFailed, TimedOut
from kernelwright.core.protocols import BuildPlan
from kernelwright.evaluate.building.builder import Built
from kernelwright.evaluate.forms import Form, Forms
from kernelwright.evaluate.running.compiling import Compiled, NotCompiled

PLAN = BuildPlan(files={}, commands=(), artifact="kernel.py", lane="module", ahead=True)
MODULE = Built(Path("module"), Path("module/kernel.py"), "")


def compiled(name):
    return Compiled(Built(Path(name), Path(name, "kernel.launches"), ""), (Path(name, "cubin"),))


@pytest.fixture
def forms():
    """From what a compiler says of the sizes seen and of the hidden ones to the forms, and how
    often one was started."""

    def made(*said):
        begun = []

        class Says:
            def __init__(self):
                self.left = list(said)

            def take(self, *, hidden=False):
                assert hidden == (len(self.left) < len(said))
                return self.left.pop(0)

        @contextlib.contextmanager
        def begin():
            begun.append(True)
            yield Says()

        return Forms(PLAN, MODULE, begin), begun

    return made


def test_what_is_not_compiled_ahead_is_the_same_everywhere():
    forms = Forms(PLAN, MODULE, None)
    assert not forms.compiles
    assert forms.for_core() is forms.built
    assert forms.built == Form(MODULE, "module", {})


def test_kernels_for_every_size_go_on_after_the_screen(forms):
    found, begun = forms(compiled("seen"), compiled("every"))
    assert found.built.lane == "module"
    form = found.for_core()
    assert form.lane == "native"
    assert form.built.folder == Path("every")
    assert form.cubins == (Path("seen/cubin"),)  # those of the report size
    assert found.for_core() is form
    assert len(begun) == 1
    assert not found.compiles


@pytest.mark.parametrize(
    "said", [(NotCompiled("it computes"),), (compiled("seen"), NotCompiled("it computes"))]
)
def test_the_module_goes_on_where_its_kernels_cannot_be_had(forms, said):
    found, _ = forms(*said)
    assert found.for_core() is found.built
    assert found.why_not == "it computes"


@pytest.mark.parametrize(
    "said", [BuildFailed(diagnostics="no such name"), TimedOut(stage="build", limit_s=1.0)]
)
def test_what_does_not_compile_is_no_form(forms, said):
    found, _ = forms(said)
    assert found.for_core() == said
