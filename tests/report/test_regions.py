"""What became of a program's regions is in the table, on the page and in the JSON."""

import io

import pytest
from rich.console import Console

from kernelwright.core.cut import Cut, Outline, Region, RegionVerdict, Uncovered
from kernelwright.core.graph import Graph, Node
from kernelwright.core.problem import Source
from kernelwright.core.run import Event
from kernelwright.report import html, text
from kernelwright.report.regions import region_table
from kernelwright.report.result import result_of
from kernelwright.report.story import Story
from kernelwright.store.memory import MemoryStore
from kernelwright.testing.runs import write_run


def region(number, name, seconds):
    return Region(
        number=number, nodes=(name,), ops=("gelu", "gelu"), reads=("x",), makes=(name,),
        language="cpp", sketches=("packed",), seconds=seconds,
        source=Source(files={"r.py": ""}, entry_point="r.py::Model"),
    )  # fmt: skip


@pytest.fixture
def cut():
    nodes = tuple(Node(name=name, op=f"aten.{name}.default", args=()) for name in "abc")
    return Cut(
        outline=Outline(
            graph=Graph(inputs=(), nodes=nodes, outputs=("c",), axes={}), seen={}, seconds={}
        ),
        regions=(region(1, "c", 1.0), region(2, "a", 2.0)),
        torch=(Uncovered(nodes=("b",), ops=("sort",), reason="No <sketch>.", seconds=1.0),),
    )


KERNEL = RegionVerdict(
    number=2, status="kernel", reason="Its kernel is faster than torch.", folder="regions/2",
    language="cpp", candidate_id="x", eager=(3.0, 2.5, 3.5),
)  # fmt: skip


def test_the_rows_are_in_the_order_of_the_program(cut):
    table = region_table(cut, {2: KERNEL})
    assert [(row.number, row.becomes, row.share) for row in table.rows] == [
        (2, "kernel", 0.5), (None, "torch", 0.25), (1, "undecided", 0.25),
    ]  # fmt: skip
    assert table.sentence == (
        "It was cut into 2 regions with 75% of torch's time; the rest stays torch."
    )


def test_the_sentence_counts_the_kernels_that_are_used(cut):
    stays = RegionVerdict(number=1, status="torch", reason="Slower.", folder="regions/1")
    assert region_table(cut, {2: KERNEL, 1: stays}).sentence == (
        "Of 2 regions with 75% of torch's time, 1 has a kernel that is used; the rest stays torch."
    )


def test_a_run_that_was_cut_shows_it(cut):
    store = MemoryStore()
    write_run(store)
    for kind, record in (("cut", cut), ("region", KERNEL)):
        store.append(Event(at=1.0, kind=kind, data=record.model_dump(mode="json")))
    story = Story.of(store.records())
    result = result_of(story, path=None)
    page = html.render(story, result, store.get)
    assert "Its regions" in page
    assert "No &lt;sketch&gt;." in page
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(text.summary(result))
    shown = console.export_text()
    assert "3.00× (2.50–3.50)" in shown
    assert result.regions.rows[0].run == "regions/2"
