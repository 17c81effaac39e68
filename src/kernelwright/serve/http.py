"""The API over HTTP: paths, statuses and the schema. What it does is in `serve.service`."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

import kernelwright
from kernelwright.core.errors import StoreError, UsageError
from kernelwright.serve.guard import Guard
from kernelwright.serve.records import (
    FINAL,
    Answer,
    Batch,
    Health,
    Refusal,
    Submission,
    Ticket,
    Tickets,
)
from kernelwright.serve.service import QueueFull, Service, Stopping
from kernelwright.serve.settings import Settings

LONGEST_WAIT_S = 60.0
_RETRY_STOPPING_S = 10

_SUMMARY = "Judges kernels: whether they are right and how fast they are."
_SUBMITTING: dict[int | str, dict[str, Any]] = {
    401: {"model": Refusal, "description": "The token is missing or wrong."},
    413: {"model": Refusal, "description": "The request is too large."},
    422: {"model": Refusal, "description": "The request cannot be carried out; it says why."},
    429: {"model": Refusal, "description": "The queue is full; Retry-After says when to try."},
    503: {"model": Refusal, "description": "The server is being stopped, or its disk is full."},
}
_READING: dict[int | str, dict[str, Any]] = {
    401: _SUBMITTING[401],
    404: {"model": Refusal, "description": "There is no submission of this id."},
    422: _SUBMITTING[422],
}


def application(service: Service, settings: Settings) -> Guard:
    """The ASGI application that puts `service` on the wire."""
    # No pages of documentation: they would load scripts from elsewhere.
    app = FastAPI(
        title="Kernelwright",
        version=kernelwright.__version__,
        description=_SUMMARY,
        docs_url=None,
        redoc_url=None,
        # The guard checks the token; this tells it to readers of the schema.
        dependencies=[Depends(HTTPBearer(auto_error=False))] if settings.token else [],
    )
    _add_errors(app)
    _add_submitting(app, service)
    _add_reading(app, service)
    return Guard(app, settings)


def _add_submitting(app: FastAPI, service: Service) -> None:
    @app.post("/v1/evaluations", status_code=202, responses=_SUBMITTING)
    def submit(submission: Submission) -> Ticket:
        """Queue one candidate."""
        return Ticket(id=service.submit([submission])[0], state="queued")

    @app.post("/v1/batches", status_code=202, responses=_SUBMITTING)
    def submit_batch(batch: Batch) -> Tickets:
        """Queue several candidates; all of them or, when there is no room, none."""
        made = service.submit(batch.submissions)
        return Tickets(tickets=tuple(Ticket(id=one, state="queued") for one in made))


def _add_reading(app: FastAPI, service: Service) -> None:
    @app.get("/v1/evaluations/{id}", responses=_READING)
    async def answer(
        id: Annotated[str, Path(max_length=100)],
        wait: Annotated[
            float, Query(ge=0, le=LONGEST_WAIT_S, description="Seconds to wait for a verdict.")
        ] = 0.0,
    ) -> Answer:
        """Where a submission stands, as soon as it has its answer or `wait` is over."""
        found = await run_in_threadpool(service.answer, id)
        if found is not None and found.state not in FINAL and wait > 0:
            done = service.done(id)
            if done is not None:
                await asyncio.wait([asyncio.wrap_future(done)], timeout=wait)
            found = await run_in_threadpool(service.answer, id)
        if found is None:
            raise HTTPException(404, f"There is no submission {id!r}.")
        return found

    @app.get("/v1/health")
    def health() -> Health:
        """Whether the server takes submissions."""
        return service.health()


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return _refused(422, _sentence(error))

    @app.exception_handler(UsageError)
    async def impossible(_: Request, error: UsageError) -> JSONResponse:
        return _refused(422, str(error))

    @app.exception_handler(QueueFull)
    async def full(_: Request, error: QueueFull) -> JSONResponse:
        why = "The queue is full. Try again after the seconds that Retry-After says."
        return _refused(429, why, error.retry_after_s)

    @app.exception_handler(Stopping)
    async def stopping(_: Request, _error: Stopping) -> JSONResponse:
        return _refused(503, "The server is being stopped.", _RETRY_STOPPING_S)

    @app.exception_handler(StoreError)
    async def unwritten(_: Request, error: StoreError) -> JSONResponse:
        return _refused(503, str(error), _RETRY_STOPPING_S)


def _refused(status: int, why: str, retry_after_s: int | None = None) -> JSONResponse:
    headers = {} if retry_after_s is None else {"retry-after": str(retry_after_s)}
    return JSONResponse({"detail": why}, status, headers)


def _sentence(error: RequestValidationError) -> str:
    """The first thing that is wrong: where, and what. Nothing of what was sent is repeated."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part != "body")
    said = str(first["msg"]).removeprefix("Value error, ").rstrip(".")
    more = len(error.errors()) - 1
    others = f" And {more} more." if more else ""
    return f"{where or 'The request'}: {said}.{others}"
