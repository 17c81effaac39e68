"""Several real GPUs, one queue. Skipped where there are fewer than two."""

import contextlib
import re
import subprocess
import threading
import time

import pytest

from kernelwright.core.cards import first_card, only_card, visible_cards
from kernelwright.core.evaluation import Crashed, Evaluation, Passed
from kernelwright.corpora.loading import exploits, honest
from kernelwright.evaluate.batch import judge_many
from kernelwright.evaluate.isolation.walls import gpu_nodes
from kernelwright.evaluate.opening import open_judge, open_judges
from kernelwright.evaluate.pool import Pool
from kernelwright.languages.machine import cuda_devices
from kernelwright.languages.reading import candidate_from_file

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        cuda_devices() < 2, reason=f"needs two CUDA devices, and this machine has {cuda_devices()}"
    ),
]
USED_MIB = 200  # a context and the tensors of a small problem are more


@pytest.fixture(scope="module")
def programs():
    return {program.name: program for program in (*exploits(), *honest())}


def variants(problem, program, count):
    """As many candidates that differ in a comment."""
    made = candidate_from_file(problem, program.path, program.spec.language)
    for number in range(count):
        files = {name: f"{text}\n// {number}\n" for name, text in made.source.files.items()}
        source = made.source.model_copy(update={"files": files})
        yield made.model_copy(update={"source": source})


def used_mib():
    """The memory that is used on each card, by its UUID."""
    query = ["nvidia-smi", "--query-gpu=uuid,memory.used", "--format=csv,noheader,nounits"]
    lines = subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()
    return {uuid: int(mib) for uuid, _, mib in (line.partition(", ") for line in lines)}


@contextlib.contextmanager
def watched():
    """By how much the memory that is used on each card rises meanwhile, at most."""
    before, most, over = used_mib(), {}, threading.Event()

    def watch():
        while not over.is_set():
            for uuid, mib in used_mib().items():
                most[uuid] = max(most.get(uuid, 0), mib - before[uuid])
            time.sleep(0.1)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join()


def test_every_gpu_takes_from_one_queue_and_each_verdict_says_whose_it_is(programs, capsys):
    good, bad = programs["cuda_silu_vector_loads"], programs["D4_cuda_illegal_address"]
    with open_judges(good.origin, device="cuda", most=2) as pool, watched() as rise:
        assert isinstance(pool, Pool)
        asked = [*variants(pool.problem, good, 12), *variants(pool.problem, bad, 2)]
        started = time.monotonic()
        found = dict(judge_many(pool, asked, "search"))
        took = time.monotonic() - started
        assert pool.lost == {}
    assert all(isinstance(verdict, Evaluation) for verdict in found.values())
    assert all(isinstance(found[n].outcome, Passed) for n in range(12))
    assert all(isinstance(found[n].outcome, Crashed) for n in (12, 13))
    said = [verdict.environment.gpu.uuid for verdict in found.values()]
    uuids = {card.uuid for card in visible_cards()[:2]}
    assert set(said) == uuids
    assert all(rise[uuid] > USED_MIB for uuid in uuids)
    assert all(verdict.environment.clock for n, verdict in found.items() if n < 12)
    with capsys.disabled():
        shares = {uuid: said.count(uuid) for uuid in uuids}
        print(f"\n{len(asked)} verdicts in {took:.1f} s: {shares}; MiB: {rise}")


def test_one_of_several_is_used_alone(programs):
    good = programs["cuda_silu_vector_loads"]
    first, second = visible_cards()[:2]
    with only_card("cuda:1"), watched() as rise:
        assert first_card() == second
        shown = [node for node in gpu_nodes() if re.fullmatch(r"/dev/nvidia\d+", node)]
        assert len(shown) == 1
        with open_judge(good.origin, device="cuda") as judge:
            (made,) = variants(judge.problem, good, 1)
            evaluation = judge.judge(made, "search")
    assert isinstance(evaluation.outcome, Passed)
    assert evaluation.environment.gpu.uuid == second.uuid
    assert rise[second.uuid] > USED_MIB
    assert rise[first.uuid] < USED_MIB
