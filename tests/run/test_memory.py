"""What other runs tried, as passages; and that nothing of the problem itself is among them where a
result is to be reported."""

import contextlib

import pytest

from kernelwright.core.candidate import Candidate, Plan, Proposal
from kernelwright.core.diagnosis import Diagnosis
from kernelwright.core.errors import ProblemError, UsageError, WorkerError
from kernelwright.core.evaluation import BuildFailed
from kernelwright.core.problem import Source
from kernelwright.core.run import RunSpec
from kernelwright.generate.looking_up import Task, look_up
from kernelwright.library.finding import Shelves
from kernelwright.problems.reference import Reference
from kernelwright.run import knowing
from kernelwright.run.equipment import furnished
from kernelwright.run.folder import RunFolder
from kernelwright.run.knowing import about_device, sources_of
from kernelwright.run.log import RunLog
from kernelwright.run.memory import MOST_OF_A_RUN, Memory, changes, runs_in
from kernelwright.store.sql import SqlStore
from kernelwright.testing.evaluators import (
    ENVIRONMENT,
    ScriptedEvaluator,
    evaluation_of,
    passed,
    row_problem,
)
from kernelwright.testing.library import norm

BROKEN = BuildFailed(diagnostics="error: no such thing")


class Plain:
    def __init__(self, name="cpp"):
        self.name = name

    def guide(self, problem):
        return "Write it."


class Untraced:
    def trace(self):
        raise AssertionError("nobody needs a graph")


def candidate(text, language="cpp"):
    source = Source(files={"kernel.cpp": f"{text}\n"}, entry_point="kernel.cpp::kernel")
    return Candidate(problem_id="rows", language=language, source=source)


def outcome(speedup, bottleneck="latency_bound"):
    profile = Diagnosis(bottleneck=bottleneck)
    return passed(speedup).model_copy(update={"profile": profile})


def write(folder, tried, problem=None, *, ended=True, kind="refine"):
    """A run in which each of `tried`, a text and an outcome, was made from the one before."""
    made = RunFolder.claim(folder)
    with SqlStore.open(made.log_path, made.name) as store:
        log = RunLog(store)
        log.record("started", {"spec": RunSpec(problem="rows.py").model_dump(), "name": made.name})
        log.record("problem", problem or row_problem())
        before = ()
        for step, (text, said) in enumerate(tried):
            new = candidate(text)
            plan = Plan(
                kind=kind if before else "draft", language="cpp", writer="llm", parents=before,
                action="unroll" if before else None,
            )  # fmt: skip
            log.record("plan", {"step": step, "plan": plan.model_dump(mode="json")})
            log.record("proposal", Proposal(step=step, plan=plan, candidate=new))
            evaluation = evaluation_of(new, said).model_dump(mode="json")
            log.record("evaluation", {"step": step, "evaluation": evaluation})
            before = (new.id,)
        if ended:
            log.record("finished", {"reason": "enough", "step": None})
        return log.state


def told(memory, language="cpp"):
    return list(memory(Task(problem=row_problem(), language=Plain(language))))


def remembered(folder, **values):
    return told(Memory(runs_in([folder])), **values)


def test_a_change_is_told_with_what_limited_it_and_what_came_of_it(tmp_path):
    write(
        tmp_path / "one", [("first line\nslow", outcome(1.0)), ("first line\nfast", outcome(2.0))]
    )
    (found,) = remembered(tmp_path)
    assert found.source == "past attempts, run one"
    assert found.title == "Rows: 2 times as fast (2 to 2)"
    for part in (
        "Rows (forward)", "x float32 [rows, 8] = [4, 8]", "In cpp on none",
        "Before: What limits it, latency bound", "The change, asked for: unroll", "-slow\n+fast",
        "What came of it: 2 times as fast",
    ):  # fmt: skip
        assert part in found.text


@pytest.mark.parametrize(
    ("before", "after", "titles"),
    [
        (outcome(2.0), outcome(1.0), ["Rows: 0.5 times as fast (0.5 to 0.5)"]),
        (outcome(2.0), BROKEN, ["Rows: broken, build failed"]),
        (BROKEN, outcome(2.0), ["Rows: mended"]),
        (outcome(1.0), outcome(1.0), []),
        (BROKEN, BROKEN, []),
        (passed(1.0).model_copy(update={"measurements": ()}), outcome(2.0), []),
    ],
    ids=["slower", "broken", "mended", "the same", "as broken", "not timed"],
)
def test_what_taught_nothing_is_not_told(tmp_path, before, after, titles):
    write(tmp_path / "one", [("a", before), ("b", after)])
    assert [found.title for found in remembered(tmp_path)] == titles


def test_what_the_tuner_did_is_not_told(tmp_path):
    state = write(tmp_path / "one", [("a", outcome(1.0)), ("b", outcome(2.0))], kind="tune")
    assert list(changes(state)) == []


def test_of_a_long_run_the_largest_changes_are_told(tmp_path):
    speedups = [1.0, *(1.0 + 0.3 * (n % 2) for n in range(1, 20)), 9.0]
    write(tmp_path / "one", [(f"v{n}", outcome(s)) for n, s in enumerate(speedups)])
    found = remembered(tmp_path)
    assert len(found) == MOST_OF_A_RUN
    assert found[0].title.startswith("Rows: 6.92 times as fast")


def test_a_long_change_is_cut(tmp_path):
    text = "\n".join(f"line {n}" for n in range(2000))
    write(tmp_path / "one", [("a", outcome(1.0)), (text, outcome(2.0))])
    assert len(remembered(tmp_path)[0].text) < 5000


def test_attempts_in_another_language_are_not_told(tmp_path):
    write(tmp_path / "one", [("a", outcome(1.0)), ("b", outcome(2.0))])
    assert remembered(tmp_path, language="triton") == []


def test_a_run_that_goes_on_or_cannot_be_read_is_left_out(tmp_path):
    for name, ended in (("ended", True), ("going", False)):
        write(tmp_path / name, [("a", outcome(1.0)), ("b", outcome(2.0))], ended=ended)
    (tmp_path / "broken").mkdir()
    log = next((tmp_path / "ended").glob("*.sqlite*")).name
    (tmp_path / "broken" / log).write_text("no log at all")
    assert [found.source for found in remembered(tmp_path)] == ["past attempts, run ended"]


def test_a_folder_is_a_run_or_holds_runs(tmp_path):
    for name in ("b", "a"):
        write(tmp_path / "runs" / name, [])
    (tmp_path / "runs" / "notes.txt").write_text("")
    both = [tmp_path / "runs", tmp_path / "runs" / "b"]
    assert [run.name for run in runs_in(both)] == ["a", "b"]
    assert [run.name for run in runs_in([tmp_path / "runs" / "b"])] == ["b"]


@pytest.mark.parametrize("name", ["empty", "nowhere"])
def test_a_folder_without_runs_is_refused(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=f"no run in .*{name} to remember"):
        runs_in([tmp_path / name])


def test_nothing_is_read_before_somebody_asks(tmp_path, monkeypatch):
    write(tmp_path / "one", [("a", outcome(1.0)), ("b", outcome(2.0))])
    opened = []
    real = SqlStore.open
    monkeypatch.setattr(SqlStore, "open", lambda *a, **k: opened.append(a) or real(*a, **k))
    spec = RunSpec(problem="rows.py", languages=("cpp",), device="cpu", memory=(str(tmp_path),))
    judge = ScriptedEvaluator()
    parts = furnished(spec, row_problem(), Untraced(), judge, ((), ()), here=ENVIRONMENT)
    assert opened == []
    task = Task(problem=row_problem(), language=Plain(), sources=parts.sources)
    assert look_up("Rows unroll", task).passages
    assert len(opened) == 1


def test_a_device_without_a_row_is_not_told_of():
    assert about_device(None) is None
    other = ENVIRONMENT.model_copy(update={"device": "some GPU, 1.0"})
    assert about_device(other) is None


# What is planted: RMSNorm with a scale, the problem that is reported, and others beside.

HEAD = "import torch\nimport torch.nn as nn\n\nrows = 16\ndim = 64\n\n\n"
TAIL = """

def get_inputs():
    return [torch.randn(rows, dim)]


def get_init_inputs():
    return [dim]
"""
NORM = """
class Model(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        square = x.pow(2).mean(dim=-1, keepdim=True)
        return x * torch.rsqrt(square + 1e-6) * self.weight
"""
# The same under other names, sizes and in another spelling; no text of it is near.
RENAMED = """
class Model(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(dim))

    def forward(self, signal):
        power = (signal * signal).sum(-1, keepdim=True) / signal.shape[-1]
        normed = signal / (power + 1e-6).sqrt()
        return self.gain * normed
"""
# Another graph, and nearly the same text.
NEARLY = NORM.replace("dim=-1", "dim=0").replace("1e-6", "1e-3")
UNRELATED = """
class Model(nn.Module):
    def __init__(self, dim):
        super().__init__()

    def forward(self, x):
        return torch.cumsum(torch.softmax(x, dim=-1), dim=-1)
"""


BODIES = {"norm": NORM, "renamed": RENAMED, "nearly": NEARLY, "unrelated": UNRELATED}


def traced(name):
    """One of them as a problem and its graph, as the process of a reference would make them."""
    names = {"x": "signal", "weight": "gain", "dim": "columns", "swapped": True}
    problem, graph = norm(**names) if name == "renamed" else norm()
    if name in ("nearly", "unrelated"):
        nodes = [
            node.model_copy(update={"op": node.op.replace("rsqrt", name)}) for node in graph.nodes
        ]
        graph = graph.model_copy(update={"nodes": tuple(nodes)})
    source = Source(files={"p.py": HEAD + BODIES[name] + TAIL}, entry_point="p.py::Model")
    return problem.model_copy(update={"id": name, "reference": source}), graph


class ByHand:
    """A reference's process that knows the graphs above; `opened` has what it was asked for."""

    opened = []

    @classmethod
    @contextlib.contextmanager
    def open(cls, source, *, direction, known):
        cls.opened.append(known.id)
        yield type("Known", (), {"trace": lambda self: traced(known.id)[1]})()


def planted(folder, problems, kept):
    """A run for each of the problems, and the shelves of the first."""
    for name, (problem, _) in problems.items():
        write(folder / name, [(f"{name} a", outcome(1.0)), (f"{name} b", outcome(2.0))], problem)
    spec = RunSpec(problem="norm.py", memory=(str(folder),), decontaminate=kept)
    problem, graph = problems["norm"]
    return spec, Shelves((), problem, lambda: graph, decontaminate=kept)


def of_runs(spec, shelves):
    """The runs that are remembered."""
    task = Task(problem=row_problem(), language=Plain(), sources=sources_of(spec, shelves))
    found = [p.source for source in task.sources for p in source(task)]
    return sorted(source.rpartition(" ")[2] for source in found if source.startswith("past"))


@pytest.fixture
def by_hand(monkeypatch):
    """The four problems, and what was asked of their references."""
    knowing._keys.cache_clear()
    monkeypatch.setattr(knowing, "Reference", ByHand)
    monkeypatch.setattr(ByHand, "opened", [])
    yield {name: traced(name) for name in BODIES}
    knowing._keys.cache_clear()


def test_by_itself_a_run_remembers_the_same_problem_too(tmp_path, by_hand):
    assert of_runs(*planted(tmp_path, by_hand, kept=False)) == sorted(BODIES)
    assert ByHand.opened == []


def test_where_a_result_is_reported_nothing_of_the_problem_is_remembered(tmp_path, by_hand):
    assert of_runs(*planted(tmp_path, by_hand, kept=True)) == ["unrelated"]
    # The texts of the others say enough.
    assert ByHand.opened == ["renamed", "unrelated"]


def test_what_cannot_be_compared_is_left_out(tmp_path, by_hand, monkeypatch):
    def breaks(*_args, **_named):
        raise WorkerError("The process ended.")

    monkeypatch.setattr(ByHand, "open", breaks)
    assert of_runs(*planted(tmp_path, by_hand, kept=True)) == []


def test_what_cannot_be_traced_is_known_by_its_text(tmp_path, by_hand, monkeypatch):
    def refuses(*_args, **_named):
        raise ProblemError("It branches on its data.")

    monkeypatch.setattr(ByHand, "open", refuses)
    assert of_runs(*planted(tmp_path, by_hand, kept=True)) == ["renamed", "unrelated"]


@pytest.mark.slow
def test_real_programs_are_told_apart_by_their_graphs(tmp_path):
    knowing._keys.cache_clear()
    found = {}
    for name, body in BODIES.items():
        path = tmp_path / f"{name}.py"
        path.write_text(HEAD + body + TAIL)
        with Reference.open(path) as reference:
            found[name] = (reference.load(), reference.trace() if name == "norm" else None)
    assert of_runs(*planted(tmp_path / "runs", found, kept=True)) == ["unrelated"]
