"""Who goes in at the gate between verifying and timing, and when."""

import threading
import time

import pytest

from kernelwright.evaluate.building import gate as gates
from kernelwright.evaluate.building.gate import Gate


class Crowd:
    """Threads at a gate. Each goes in when it can, and comes out when it is told."""

    def __init__(self, gate):
        self.gate = gate
        self.inside, self.order = set(), []
        self._out, self._threads = {}, []

    def comes(self, name, how):
        self._out[name] = threading.Event()
        thread = threading.Thread(target=self._goes, args=(name, how))
        self._threads.append(thread)
        thread.start()
        time.sleep(0.05)

    def _goes(self, name, how):
        with how(self.gate):
            self.inside.add(name)
            self.order.append(name)
            self._out[name].wait(timeout=10)
            self.inside.discard(name)

    def leaves(self, name):
        self._out[name].set()
        time.sleep(0.05)

    def end(self):
        for event in self._out.values():
            event.set()
        for thread in self._threads:
            thread.join(timeout=10)


def worker(gate):
    return gate.working()


def measurement(gate):
    return gate.quiet()


@pytest.fixture
def crowd(monkeypatch):
    """From a gate to a crowd in front of it; nobody loses patience."""
    monkeypatch.setattr(gates, "_PATIENCE_S", 30.0)
    made = []

    def stands(gate):
        made.append(Crowd(gate))
        return made[-1]

    yield stands
    for one in made:
        one.end()


def test_workers_go_in_until_all_places_are_taken(crowd):
    people = crowd(Gate(2))
    for name in "abc":
        people.comes(name, worker)
    assert people.inside == {"a", "b"}
    people.leaves("a")
    assert people.inside == {"b", "c"}


def test_who_takes_several_places_waits_until_so_many_are_free(crowd):
    people = crowd(Gate(4))
    people.comes("one", worker)
    people.comes("four", lambda gate: gate.working(4))
    assert people.inside == {"one"}
    people.leaves("one")
    assert people.inside == {"four"}


def test_more_places_than_there_are_is_all_of_them(crowd):
    people = crowd(Gate(2))
    people.comes("many", lambda gate: gate.working(9))
    assert people.inside == {"many"}


def test_a_measurement_that_waits_goes_before_workers_that_wait(crowd):
    people = crowd(Gate(1))
    for name, how in (("first", worker), ("measured", measurement), ("next", worker)):
        people.comes(name, how)
    for name in ("first", "measured", "next"):
        people.leaves(name)
    assert people.order == ["first", "measured", "next"]


def test_workers_go_on_until_enough_measurements_wait(crowd):
    people = crowd(Gate(2, gather=2))
    people.comes("a", worker)
    people.comes("one", measurement)
    people.comes("b", worker)
    assert people.inside == {"a", "b"}
    people.comes("other", measurement)
    people.leaves("a")
    people.comes("c", worker)
    assert people.inside == {"b"}
    people.leaves("b")
    assert len(people.inside) == 1
    for name in ("one", "other"):
        people.leaves(name)
    assert people.order[2:] in (["one", "other", "c"], ["other", "one", "c"])


def test_a_single_measurement_goes_in_where_nobody_works(crowd):
    people = crowd(Gate(2, gather=2))
    people.comes("one", measurement)
    people.comes("a", worker)
    assert people.inside == {"one"}
    people.leaves("one")
    assert people.inside == {"a"}


def test_a_single_measurement_is_not_kept_waiting_for_ever(crowd, monkeypatch):
    monkeypatch.setattr(gates, "_PATIENCE_S", 0.02)
    people = crowd(Gate(2, gather=2))
    people.comes("a", worker)
    people.comes("one", measurement)
    people.comes("b", worker)
    assert people.inside == {"a"}
    people.leaves("a")
    assert people.inside == {"one"}
