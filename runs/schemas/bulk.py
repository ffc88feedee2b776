"""The JSON of responses to bulk requests: starts of many runs, and verbs over many rows."""

from __future__ import annotations

from uuid import UUID

from pydantic import Field

from runs.schemas.base import Shape


class Refusal(Shape):
    """A refused start: its `line` of NDJSON, or element of an array, from 1 on, and the `path` of the fault in it."""

    line: int
    path: str
    message: str


class StartedLine(Shape):
    """The run of one line: the new run, or the existing run with the same idempotency key."""

    line: int
    id: UUID


class RunsStarted(Shape):
    """The response to a bulk start, with the numbers of runs created, of idempotency keys known, and of lines refused.

    `first` and `last` are the lowest and the highest id of the created runs. `refusals` has the first 100 refused
    lines. `ids` has every line's run, if the request asked for it.
    """

    created: int
    known: int
    refused: int
    first: UUID | None
    last: UUID | None
    refusals: list[Refusal]
    ids: list[StartedLine] = Field(default_factory=list)


class Lost(Shape):
    """A row that the verb did not change, and its state; `unknown` if the workspace has no row with this id."""

    id: UUID
    state: str


class BulkNote(Shape):
    """What there is to know of a row that the verb changed."""

    id: UUID
    note: str


class BulkResult(Shape):
    """The response to a verb over many rows: those that it changed (`won`) and those that it did not (`lost`).

    `more` is how many further rows match the filter than one call handles; if it is not 0, call again. After a retry,
    `notes` say which runs above do not wait for a run again, and why.
    """

    won: list[UUID]
    lost: list[Lost]
    more: int
    notes: list[BulkNote] = Field(default_factory=list)
