"""Seeing operators as they run, and running others in their place."""

import torch

from kernelwright.problems.watching import running, watching


def test_each_operator_is_seen_in_order_with_what_it_was_given_and_gave():
    seen = []

    def look(func, args, kwargs, result):
        seen.append((func._opname, args, kwargs, result))

    x = torch.tensor([-1.0, 2.0])
    with watching(look):
        y = x.relu()
        z = y.sum(dtype=torch.float64)
    relu, total = seen
    assert (relu[0], total[0]) == ("relu", "sum")
    assert relu[1][0] is x
    assert relu[3] is y
    assert total[2]["dtype"] == torch.float64
    assert total[3] is z


def test_nothing_is_seen_once_it_is_closed():
    seen = []
    with watching(lambda func, args, kwargs, result: seen.append(func)):
        pass
    torch.ones(2).neg()
    assert seen == []


def test_what_is_run_in_an_operators_place_does_not_come_back_to_it():
    def run(func, args, kwargs):
        return torch.relu(*args) if func._opname == "relu" else func(*args, **kwargs)

    x = torch.tensor(-1.0)
    with running(run):
        y = torch.relu(x)
    assert y.item() == 0.0


def test_who_was_there_before_sees_what_is_run_in_an_operators_place():
    x, seen = torch.tensor(-1.0), []
    with (
        watching(lambda func, args, kwargs, result: seen.append(func._opname)),
        running(lambda func, args, kwargs: torch.neg(*args)),
    ):
        result = torch.relu(x)
    assert result.item() == 1.0
    assert seen == ["neg"]
