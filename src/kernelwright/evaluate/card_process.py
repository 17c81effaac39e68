"""The process of a judge that may use one GPU: it judges what it is told to, several at once.

    python -I -m kernelwright.evaluate.card_process SOCKET

It ends when nobody is at the other end any more. `evaluate.card_judge` starts it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Protocol

from kernelwright.core.candidate import Candidate
from kernelwright.evaluate.batch import ProblemJudge
from kernelwright.evaluate.card_judge import Order, told
from kernelwright.evaluate.opening import open_judge
from kernelwright.problems.channel import Closed, Message, receive, send


class Worked(ProblemJudge, Protocol):
    """A judge that knows whether its card works."""

    def require(self) -> None:
        """Make sure that it does."""
        ...


Open = Callable[[Order], AbstractContextManager[Worked]]


class _Link:
    """Our end of the socket; replies come from several threads."""

    def __init__(self, sock: socket.socket):
        self._socket = sock
        self._replying = threading.Lock()

    def receive(self) -> Message:
        return receive(self._socket)[0]

    def reply(self, question: Message, answer: Message) -> None:
        with self._replying:
            send(self._socket, answer | {"number": question["number"]})

    def work(self, judge: Worked, question: Message) -> None:
        try:
            answer = _answer(judge, question)
        except BaseException as error:  # it is whoever asked who gets it
            answer = {"error": told(error)}
        with contextlib.suppress(Closed):
            self.reply(question, answer)


def serve(sock: socket.socket, opening: Open) -> None:
    """Open the judge that is asked for first, and answer until the other end is closed. What is
    being judged then is given up."""
    link = _Link(sock)
    with contextlib.suppress(Closed), contextlib.ExitStack() as stack:
        first = link.receive()
        try:
            judge = stack.enter_context(opening(Order.model_validate(first["order"])))
        except BaseException as error:  # as above
            link.reply(first, {"error": told(error)})
            return
        problem = judge.problem.model_dump(mode="json")
        link.reply(first, {"problem": problem, "places": judge.places})
        pool = ThreadPoolExecutor(judge.places, "kernelwright-judging")
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
        while True:
            pool.submit(link.work, judge, link.receive())


def _answer(judge: Worked, question: Message) -> Message:
    if question["ask"] == "require":
        judge.require()
        return {}
    candidate, effort = Candidate.model_validate(question["candidate"]), question["effort"]
    if question["ask"] == "refuse":
        found = judge.refuse(candidate, effort, question["evidence"])
    else:
        found = judge.judge(candidate, effort)
    return {"evaluation": found.model_dump(mode="json")}


def _opened(order: Order) -> AbstractContextManager[Worked]:
    return open_judge(
        order.origin,
        direction=order.direction,
        device=order.device,
        require_isolation=order.require_isolation,
        known=order.known,
    )


def main(argv: list[str]) -> None:
    """Serve the socket with this number. Never returns."""
    with socket.socket(fileno=int(argv[0])) as sock:
        serve(sock, _opened)
    # Threads that judge what was given up are not waited for.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
