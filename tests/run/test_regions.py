"""A program with several kernels' worth of work: cut, searched region by region, put together."""

import ast
import dataclasses
from pathlib import Path

import pytest

from kernelwright.core.cut import Cut, Outline, Region, RegionVerdict, Seen, Uncovered
from kernelwright.core.errors import ProblemError, SpecError, UsageError
from kernelwright.core.evaluation import BuildFailed
from kernelwright.core.graph import Extent, Graph, Node, Ref, Value
from kernelwright.core.problem import Source
from kernelwright.core.run import Budget, RunSpec
from kernelwright.knowledge.sketches.drafts import Covered, NotCovered
from kernelwright.problems.regions.units import op_name
from kernelwright.run.delivery import literal
from kernelwright.run.loop import INTERRUPTED
from kernelwright.run.optimize import optimize
from kernelwright.run.regions import finding, searching
from kernelwright.run.regions.finding import find_cut
from kernelwright.run.regions.recombining import MAIN, RegionKernel
from kernelwright.run.regions.searching import Found, share
from kernelwright.run.regions.whole import nested, optimize_regions, resume_regions
from kernelwright.run.sketching import Sketches
from kernelwright.store.fold import Finish, RunState
from kernelwright.testing.equipment import FakeEquip
from kernelwright.testing.evaluators import (
    NumberWriter,
    ScriptedEvaluator,
    evaluation_of,
    number_candidate,
    passed,
    row_problem,
    verdict,
)

SHAPE = (Extent(axes=("rows",)), 8)


def node(name, op, *reads):
    args = tuple(Ref(ref=read) for read in reads)
    return Node(name=name, op=f"aten.{op}.default", args=args, shape=SHAPE, dtype="float32")


def outline():
    """A relu, a sort of it, a tanh of that: the sort is what nobody covers."""
    nodes = (
        node("a", "relu", "x"),
        Node(name="s", op="aten.sort.default", args=(Ref(ref="a"), -1)),
        Node(name="b", op="getitem", args=(Ref(ref="s"), 0), shape=SHAPE, dtype="float32"),
        node("c", "tanh", "b"),
    )
    values = ("x", *(n.name for n in nodes))
    return Outline(
        graph=Graph(
            inputs=(Value(name="x", shape=SHAPE, dtype="float32"),),
            nodes=nodes,
            outputs=("c",),
            axes={"rows": 4},
        ),
        seen=dict.fromkeys(values, Seen(low=-1, high=1, mean=0, spread=1)),
        seconds={"a": 1e-3, "s": 5e-3, "b": 0.0, "c": 3e-3},
    )


@pytest.fixture
def covers(monkeypatch):
    """What sketches cover: everything but these operators."""
    uncovered = {"sort"}

    def drafts(_problem, graph, language):
        stopping = [n.op for n in graph.nodes if op_name(n) in uncovered]
        if stopping:
            return NotCovered(reason=f"No sketch covers {stopping[0]}.")
        return Covered(candidates=(number_candidate(2, language=language),), sketches=("fake",))

    monkeypatch.setattr(finding, "drafts", drafts)
    return uncovered


def traced(problem):
    """The graph of a part: its operators are those that its text calls."""
    calls = [line for line in problem.reference.text.splitlines() if "torch.ops" in line]
    nodes = [node(f"n{at}", line.split(".")[3], "x") for at, line in enumerate(calls)]
    return Graph(inputs=(), nodes=nodes, outputs=(), axes={})


def the_cut():
    return find_cut(row_problem(), outline(), traced, ["cpp"])


def test_what_no_sketch_covers_stays_torch_and_says_why(covers):
    cut = the_cut()
    assert [region.nodes for region in cut.regions] == [("a",), ("c",)]
    assert [(each.ops, each.reason) for each in cut.torch] == [
        (("sort",), "No sketch covers aten.sort.default.")
    ]
    assert cut.regions[1].reads == ("b",)
    assert cut.regions[1].seconds == pytest.approx(3e-3)


def test_where_nothing_is_covered_there_is_no_region(covers):
    covers |= {"relu", "tanh"}
    with pytest.raises(UsageError, match=r"no region that a sketch covers.*sort: No sketch"):
        optimize_regions(spec(), equip=FakeEquip(cut=the_cut))


def test_a_program_that_is_one_kernel_is_left_to_an_ordinary_search(covers):
    covers.clear()
    with pytest.raises(UsageError, match="one kernel's worth"):
        optimize_regions(spec(), equip=FakeEquip(cut=the_cut))


def test_a_program_that_cannot_be_traced_is_not_cut():
    def fails():
        raise ProblemError("The sizes depend on the data.")

    with pytest.raises(UsageError, match="cannot be cut into regions: The sizes depend"):
        optimize_regions(spec(), equip=FakeEquip(cut=fails))


def test_the_budget_goes_where_the_time_goes():
    regions = [region(1, 3.0), region(2, 1.0)]
    cut = Cut(outline=outline(), regions=tuple(regions), torch=())
    whole = Budget(max_attempts=40, max_wall_s=100.0, max_cost_usd=2.0)
    first = share(whole, regions[0], cut, regions, 80.0)
    assert (first.max_attempts, first.max_wall_s, first.max_cost_usd) == (30, 60.0, 1.5)
    last = share(whole, regions[1], cut, regions[1:], 30.0)
    assert (last.max_attempts, last.max_wall_s) == (10, 30.0)
    none = share(Budget(max_attempts=None), regions[1], cut, regions, None)
    assert (none.max_attempts, none.max_wall_s) == (None, None)
    late = share(whole, regions[1], cut, regions[1:], 0.0)
    assert late.max_wall_s == 5.0


def region(number, seconds):
    return Region(
        number=number, nodes=("a",), ops=("relu",), reads=("x",), makes=("a",), language="cpp",
        sketches=("fake",), seconds=seconds,
        source=Source(files={"r.py": ""}, entry_point="r.py::Model"),
    )  # fmt: skip


# The whole, over fakes.


def spec(**changes):
    values = {"budget": Budget(max_attempts=4), "regions": True, **changes}
    return RunSpec(problem="rows.py", languages=("cpp",), writers=("sketch",), **values)


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def judged(candidate):
    """A whole is twice as fast; everything else is what its text says."""
    return passed(2.0) if candidate.language == "python" else verdict(candidate)


def speeds(**by_file):
    """Parts of a run in which the search for each region finds a kernel of this speed."""

    class Equip(FakeEquip):
        def __call__(self, spec, origin, known):
            name = getattr(origin, "main_file", origin).rpartition("/")[2].removesuffix(".py")
            writer = Constant(by_file.get(name, 2.0))
            return FakeEquip.__call__(dataclasses.replace(self, writer=writer), spec, origin, known)

    return Equip(cut=the_cut, evaluator=ScriptedEvaluator(outcome_of=judged))


class Constant(NumberWriter):
    def __init__(self, speed):
        super().__init__(drafts=2, tunables=())
        self.speed = speed

    def _write(self, assignment):
        return number_candidate(self.speed, language=assignment.plan.language)


def test_kernels_take_the_place_of_their_regions_and_the_whole_is_judged(covers):
    result = optimize_regions(spec(), equip=speeds())
    assert result.outcome == "faster"
    whole = result.best.candidate
    assert whole.language == "python"
    assert set(whole.source.files) == {
        MAIN, "regions_native.py", "region_1.cpp", "region_2.cpp",
    }  # fmt: skip
    text = whole.source.text
    assert "a = _REGION_1(x.contiguous())" in text
    assert "s = torch.ops.aten.sort.default(a, -1)" in text
    assert "c = _REGION_2(b.contiguous())" in text
    assert [(r.status, r.folder) for _, r in sorted(result.state.regions.items())] == [
        ("kernel", "regions/1"), ("kernel", "regions/2"),
    ]  # fmt: skip


def test_a_whole_of_fewer_kernels_is_handed_back_where_it_is_faster(covers):
    equip = speeds()

    def slow_together(candidate):
        if candidate.language != "python":
            return verdict(candidate)
        return passed(1.2 if "= _REGION_1(" in candidate.source.text else 2.0)

    equip.evaluator.outcome_of = slow_together
    result = optimize_regions(spec(), equip=equip)
    text = result.best.candidate.source.text
    # Torch's time in the second is three times that in the first, so that one saves more.
    assert "= _REGION_2(" in text
    assert "= _REGION_1(" not in text
    assert len(result.state.steps) == 2


def test_kernels_are_left_out_from_the_one_that_saves_least():
    kernels = [RegionKernel(region=region(n, s), file=None) for n, s in enumerate((1, 4, 3), 1)]
    # Of 0.75, 0.36 and 1.5 s that are saved.
    found = nested(kernels, {1: kernel_of(1, 4.0), 2: kernel_of(2, 1.1), 3: kernel_of(3, 2.0)})
    assert [[k.region.number for k in each] for each in found] == [[1, 2, 3], [1, 3], [3]]
    many = [RegionKernel(region=region(n, 1.0), file=None) for n in range(1, 10)]
    same = nested(many, {n: kernel_of(n, 2.0) for n in range(1, 10)})
    assert [len(each) for each in same] == [9, 8, 7, 6]


def kernel_of(number, speedup):
    """A verdict on a region whose kernel is so many times as fast as eager torch."""
    return RegionVerdict(number=number, status="kernel", reason="", folder="", eager=(speedup,) * 3)


def test_a_region_whose_kernel_is_not_faster_stays_torch(covers):
    result = optimize_regions(spec(), equip=speeds(region_1=0.9))
    assert result.state.regions[1].status == "torch"
    assert "not surely faster" in result.state.regions[1].reason
    text = result.best.candidate.source.text
    assert "a = torch.ops.aten.relu.default(x)" in text
    assert "_REGION_2(" in text


def test_a_region_in_which_nothing_passes_stays_torch(covers):
    result = optimize_regions(spec(), equip=speeds(region_2="error"))
    assert result.state.regions[2].reason.startswith("None of ")
    assert "c = torch.ops.aten.tanh.default(b)" in result.best.candidate.source.text


def test_with_no_kernel_at_all_nothing_is_handed_back(covers):
    result = optimize_regions(spec(), equip=speeds(region_1=0.5, region_2=0.5))
    assert result.outcome == "nothing_passed"
    assert "all stays torch" in result.state.steps[1].reason


def test_a_whole_that_is_wrong_is_not_handed_back(covers):
    equip = speeds()
    wrong = BuildFailed(diagnostics="no")
    equip.evaluator.outcome_of = lambda c: wrong if c.language == "python" else verdict(c)
    assert optimize_regions(spec(), equip=equip).outcome == "nothing_passed"


class Killed(BaseException):
    """What ends a process."""


def test_what_was_done_for_a_region_is_not_done_again(covers, tmp_path):
    def dies(event):
        if event.kind == "region":
            raise Killed

    folder = tmp_path / "run"
    with pytest.raises(Killed):
        optimize_regions(spec(), folder=folder, equip=speeds(), observer=dies)
    equip = speeds()
    result = resume_regions(folder, equip=equip)
    assert result.outcome == "faster"
    # The whole's problem, and the region that was not searched yet.
    assert len(equip.opened) == 2
    assert isinstance(result.state.regions[1], RegionVerdict)


def test_a_region_that_was_cut_off_goes_on_from_its_own_log(covers, tmp_path):
    folder = tmp_path / "run"
    equip = speeds()
    equip.evaluator.faults = [Killed()]
    with pytest.raises(Killed):
        optimize_regions(spec(), folder=folder, equip=equip)
    asked = len(equip.evaluator.asked)
    result = resume_regions(folder, equip=speeds())
    assert asked == 1
    assert result.outcome == "faster"


def test_regions_that_are_left_over_are_told_with_those_that_are_not(covers):
    cut = the_cut()
    assert all(isinstance(each, Uncovered) for each in cut.torch)
    assert {*(n for r in cut.regions for n in r.nodes), "s"} == {"a", "c", "s"}


def test_other_searches_take_a_program_as_a_whole():
    with pytest.raises(SpecError, match="optimize --regions"):
        optimize(spec(), equip=FakeEquip())


def test_where_no_sketch_fits_and_no_model_is_asked_the_reason_names_the_flag():
    def fails():
        raise ProblemError("It cannot be traced.")

    plain = Sketches(row_problem(), fails)("cpp")
    advised = Sketches(row_problem(), fails, advice="Try --regions.")("cpp")
    assert plain.reason == "It cannot be traced."
    assert advised.reason == "It cannot be traced. Try --regions."


def test_a_module_that_was_timed_beside_another_baseline_counts_as_its_kernel_does():
    candidate = number_candidate(3)
    both = passed(3.0)
    other = [
        m.model_copy(update={"subject": "torch.compile"}) if m.subject == "eager" else m
        for m in passed(1.5).measurements
    ]
    drop_in = both.model_copy(update={"measurements": tuple(other)})
    found = Found(
        problem=row_problem(),
        candidate=candidate,
        evaluation=evaluation_of(candidate, both),
        drop_in=evaluation_of(candidate, drop_in),
    )
    assert found.eager.median == pytest.approx(3.0, rel=0.01)
    same = dataclasses.replace(found, drop_in=evaluation_of(candidate, passed(2.0)))
    assert same.eager.median == pytest.approx(2.0, rel=0.01)


def test_a_region_whose_search_somebody_ended_is_not_decided(covers, monkeypatch):
    ended = RunState(finish=Finish(reason=INTERRUPTED, step=None))
    with monkeypatch.context() as patched:
        patched.setattr(searching, "state_of", lambda _folder, _number: ended)
        with pytest.raises(KeyboardInterrupt):
            optimize_regions(spec(), folder=Path("run"), equip=speeds())
    assert resume_regions(Path("run"), equip=speeds()).outcome == "faster"


@pytest.mark.parametrize(
    "text",
    ['"""Doc."""\nx = 1\n', "x = '''a'''\n", "\"\"\"a\"\"\"\n'''b'''\n", 'x = "a"', "\\", "\r"],
)
def test_a_text_is_the_same_text_as_a_literal_of_it(text):
    assert ast.literal_eval(literal(text)) == text


def test_a_reference_with_a_docstring_reads_like_its_file():
    assert literal('"""Doc."""\nx = 1\n') == "r'''\"\"\"Doc.\"\"\"\nx = 1\n'''"
