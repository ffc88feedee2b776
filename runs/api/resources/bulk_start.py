"""Start many runs of one workflow with one request: read, check and commit them in slices."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.db import InterfaceError, InternalError, OperationalError
from django.http import UnreadablePostError
from drf_spectacular.utils import OpenApiParameter
from pydantic import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from actions import payload
from actions.base import Json
from actions.payload import PayloadError
from runs.api.http import filters, idempotency, streams
from runs.api.http.base import PROBLEM, WRITE, ScopedView, without_length
from runs.api.http.lookups import find_workflow
from runs.api.http.parsers import MAX_BYTES, declared_length, read_body
from runs.api.http.problems import Refused, bad, unreadable
from runs.api.http.streams import Broken, Entry
from runs.api.resources.bulk_verbs import described
from runs.control import archives, concurrency, starts, verbs
from runs.control.keys import KeyTaken
from runs.domain.requests import Request as RunRequest
from runs.domain.requests import Started
from runs.schemas.bulk import RunsStarted
from runs.schemas.requests import StartRun, StartRuns
from workflows.definitions.complaints import complaints
from workflows.definitions.errors import InvalidInput, Problem
from workflows.models import Version, Workflow

# A slice, which is one statement, ends at this many runs or bytes of the body.
SLICE_RUNS = 1000
SLICE_BYTES = 4 * 1024 * 1024
# The first slice is small: only then is it known how long the workflow's checks take. A slice is to take no more
# processor time than this.
FIRST_RUNS = 50
SLICE_SECONDS = 0.5
# Refusals that the response describes; more are only counted.
MOST_REFUSALS = 100
ARRAY = ("application/json",)
LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")

log = logging.getLogger(__name__)

# The number of a line or element in the body, and the run that it asks for.
_Asked = tuple[int, RunRequest]


@described(
    verbs.START,
    request={"application/json": StartRuns, "application/x-ndjson": StartRun},
    responses={200: RunsStarted, 201: RunsStarted, **WRITE, 404: PROBLEM, 409: PROBLEM},
    more="One for each object of an array, or of each line (NDJSON); the good ones are kept. `refusals` says what is "
    "wrong with the others. The runs are committed 1,000 at a time: where the body cannot be read to its end, the "
    "problem has the same members and says what was started.",
    operation_id="workflows_start_bulk",
    parameters=[
        OpenApiParameter(
            idempotency.HEADER,
            str,
            OpenApiParameter.HEADER,
            description="Names the request: a line without a key of its own has this one, a colon and its number.",
        ),
        OpenApiParameter("ids", bool, description="`true`: answer the id of every line's run, in their order."),
        OpenApiParameter("label.<key>", str, description="A label for all of the runs, to find them by."),
    ],
)
class StartedInBulk(ScopedView):
    """Many runs of one workflow at once."""

    streams: ClassVar[bool] = True

    def post(self, request: Request, key: str) -> Response:
        """Start them, and return how many were started, known and refused."""
        workflow = find_workflow(key, workspace=self.workspace)
        if workflow.current is None or workflow.archived_at is not None:
            raise Refused(archives.cannot_start(workflow) or "", status=409)
        given = filters.read(request, known=["ids", "label.<key>"])
        if several := [name for name, values in given.labels.items() if len(values) > 1]:
            raise bad(f"label.{several[0]}", "has several values; a run has one of each label")
        labels: dict[str, Json] = {name: values[0] for name, values in given.labels.items()}
        common = read_body({"labels": labels}, model=StartRun).labels
        once = idempotency.header_key(request.META, longest=idempotency.MAX_KEY_IN_BULK)
        started = _Starting(workflow, workflow.current, common, ids=_wants_ids(given.get("ids")), key=once)
        try:
            started.read(_entries(request))
        except (Broken, UnreadablePostError, OperationalError, InterfaceError, InternalError) as error:
            raise _stopped(error, started=started) from error
        found = started.as_json()
        return Response(found, status=201 if found["created"] else 200)


@dataclass
class _Starting:
    """Starts runs, and counts what was started and refused so far."""

    workflow: Workflow
    version: Version
    labels: Mapping[str, str]
    ids: bool
    # That of the request; a line without one of its own has this one and its number.
    key: str | None = None
    created: int = 0
    known: int = 0
    refused: int = 0
    first: UUID | None = None
    last: UUID | None = None
    refusals: list[dict[str, Any]] = field(default_factory=list)
    found: list[tuple[int, UUID]] = field(default_factory=list)

    def read(self, entries: Iterable[Entry]) -> None:
        """Start the runs of these entries in slices.

        Raises the error that ends the body; the entries before it are started and counted.
        """
        asked: list[_Asked] = []
        size, most, began = 0, FIRST_RUNS, time.thread_time()
        try:
            for line, raw in _in_time(_bounded(entries, most=settings.BULK_START_MAX_RUNS)):
                request = self._checked(line, raw)
                if request is None:
                    continue
                asked.append((line, request))
                size += len(raw or b"")
                if len(asked) >= most or size >= SLICE_BYTES:
                    self._commit(asked)
                    took = time.thread_time() - began
                    most = max(1, min(SLICE_RUNS, int(len(asked) * SLICE_SECONDS / max(took, 1e-6))))
                    asked, size, began = [], 0, time.thread_time()
        except (Broken, UnreadablePostError):
            self._commit(asked)  # what came before the fault is good
            raise
        self._commit(asked)

    def as_json(self) -> dict[str, Any]:
        """Return the members of the response."""
        counts = {"created": self.created, "known": self.known, "refused": self.refused}
        members = {**counts, "first": self.first, "last": self.last, "refusals": self.refusals}
        ids = [{"line": line, "id": run_id} for line, run_id in self.found]
        return {**members, "ids": ids} if self.ids else members

    def _checked(self, line: int, raw: bytes | None) -> RunRequest | None:
        """Return the run that a line asks for; None, after noting a refusal, if the line is invalid."""
        try:
            wanted = _parsed(raw)
        except InvalidInput as error:
            self._refuse(line, error.problems)
            return None
        labels = {**self.labels, **wanted.labels} if self.labels else wanted.labels
        key = wanted.idempotency_key or (f"{self.key}:{line}" if self.key is not None else None)
        return RunRequest(wanted.input, key, labels, wanted.priority, compares=wanted.compares)

    def _commit(self, asked: list[_Asked]) -> None:
        """Start these runs with one statement. If an input is invalid, refuse its line and start the others."""
        if not asked:
            return
        requests = [request for _, request in asked]
        try:
            answers = starts.start(requests, version=self.version, workflow=self.workflow, source="api")
        except InvalidInput as error:
            fits = [one for one in asked if self._fits(one)]
            if len(fits) < len(asked):
                self._commit(fits)
            elif len(fits) == 1:
                # Its concurrency key is worked out within the time that it may take, or not, as the machine allows.
                self._refuse(asked[0][0], error.problems)
            else:
                self._commit(fits[: len(fits) // 2])
                self._commit(fits[len(fits) // 2 :])
        else:
            self._count(asked, answers)

    def _count(self, asked: Sequence[_Asked], answers: Sequence[Started]) -> None:
        made = [answer.run_id for answer in answers if answer.created]
        if made:
            self.first, self.last = self.first or made[0], made[-1]
        self.created += len(made)
        for (line, request), answer in zip(asked, answers, strict=True):
            if answer.conflict is not None:
                message = str(KeyTaken(request.idempotency_key, answer.conflict))
                self._refuse(line, [Problem("idempotency_key", message)])
                continue
            self.known += not answer.created
            if self.ids:
                self.found.append((line, answer.run_id))

    def _fits(self, asked: _Asked) -> bool:
        line, request = asked
        try:
            [checked] = starts.check([request], version=self.version)
            concurrency.check_key(self.version, checked.input)
        except InvalidInput as error:
            self._refuse(line, error.problems)
            return False
        return True

    def _refuse(self, line: int, problems: Sequence[Problem]) -> None:
        self.refused += 1
        if len(self.refusals) < MOST_REFUSALS:
            first, more = problems[0], len(problems) - 1
            message = f"{first.message} (and {more} more)" if more else first.message
            self.refusals.append({"line": line, "path": first.path, "message": message})


def _parsed(raw: bytes | None) -> StartRun:
    """Parse a line as the body of a single start. Raises InvalidInput."""
    if raw is None:
        raise InvalidInput([Problem("", f"is longer than {MAX_BYTES >> 20} MB")])
    try:
        given = payload.loads(raw)
    except PayloadError as error:
        raise InvalidInput([Problem(error.path, str(error))]) from None
    if not isinstance(given, dict):
        raise InvalidInput([Problem("", "must be a JSON object")])
    try:
        return StartRun.model_validate(given)
    except ValidationError as error:
        raise InvalidInput(complaints(error, model=StartRun, given=given, path="")) from None


def _bounded(entries: Iterable[Entry], *, most: int) -> Iterator[Entry]:
    """Yield the entries. Raises Broken (413) if there are more than `most`."""
    for count, entry in enumerate(entries):
        if count == most:
            what = f"more than {most:,} runs in one request; send those from line {entry[0]} on in another"
            raise Broken(what, status=413)
        yield entry


def _in_time(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Yield the entries, while this thread has processor time left for the request. Raises Broken (413) after that."""
    most = settings.BULK_START_CPU_SECONDS
    began = time.thread_time()
    for entry in entries:
        if time.thread_time() - began > most:
            what = (
                f"more than {most:g} s of processor time for one request; send those from line {entry[0]} on in another"
            )
            raise Broken(what, status=413)
        yield entry


def _entries(request: Request) -> Iterator[Entry]:
    """Return the body's entries. Raises Refused for its headers; iterating raises Broken for its content."""
    kind = request.META.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if kind not in ARRAY + LINES:
        raise Refused(f"send a JSON array as {ARRAY[0]}, or one JSON object per line as {LINES[0]}", status=415)
    coding = request.META.get("HTTP_CONTENT_ENCODING", "identity").strip().lower()
    if coding not in ("identity", "gzip"):
        raise Refused(f"Content-Encoding {coding[:40]!r} is not known; send the body as it is, or as gzip", status=415)
    most = settings.BULK_START_MAX_MEGABYTES << 20
    if declared_length(request.META) > most:
        raise Refused(f"the body is larger than {most >> 20} MB; send the rest in another request", status=413)
    source = streams.chunks(_reader(request), most=most, gzipped=coding == "gzip")
    split = streams.elements if kind in ARRAY else streams.lines
    return split(source, longest=MAX_BYTES)


def _reader(request: Request) -> streams.Read:
    """Return how to read the body: from the WSGI server if its stream ends where the body ends, else from Django's.

    Django's stream ends at the Content-Length, and waits until it has all that it was asked for: what came before a
    connection breaks off would be lost. The reader raises UnreadablePostError.
    """
    if not request.META.get("wsgi.input_terminated"):
        if not request.META.get("CONTENT_LENGTH"):
            raise _without_length()
        from_django: streams.Read = request._request.read
        return from_django
    if not request.META.get("CONTENT_LENGTH") and not without_length(request.META):
        raise _without_length()
    stream = request.META["wsgi.input"]
    read: streams.Read = getattr(stream, "read1", stream.read)

    def reader(size: int) -> bytes:
        try:
            return read(size)
        except OSError as error:
            raise UnreadablePostError(*error.args) from error

    return reader


def _without_length() -> Refused:
    return Refused("send the body with a Content-Length, or chunked", status=411)


def _wants_ids(given: str | None) -> bool:
    if given not in (None, "true", "false"):
        raise bad("ids", f"must be true or false, not {given[:40]!r}")
    return given == "true"


def _stopped(error: Exception, *, started: _Starting) -> Refused:
    """Return the problem for a body that was not read to its end; its members say what was started before."""
    if isinstance(error, Broken):
        return Refused(str(error), status=error.status, members=started.as_json())
    if isinstance(error, UnreadablePostError):
        return unreadable(error, members=started.as_json())
    log.warning("bulk_start_stopped", extra={"count": started.created, "error": str(error)})
    detail = "the database does not answer; what is counted here is kept, send the request again for the rest"
    return Refused(detail, status=503, members=started.as_json())
