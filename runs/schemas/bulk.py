"""What a start in bulk answers."""

from __future__ import annotations

from uuid import UUID

from pydantic import Field

from runs.schemas.base import Shape


class Refusal(Shape):
    """Why a line (of NDJSON) or element (of an array), counted from 1, was not started, and where in it."""

    line: int
    path: str
    message: str


class StartedLine(Shape):
    """The run of a line; the first run's where its idempotency key was known."""

    line: int
    id: UUID


class RunsStarted(Shape):
    """What a start in bulk did: runs made, lines whose idempotency key was known, lines refused.

    `first` and `last` are the runs made, ids ascending; `refusals` are the first 100; `ids` is there if asked for.
    """

    created: int
    known: int
    refused: int
    first: UUID | None
    last: UUID | None
    refusals: list[Refusal]
    ids: list[StartedLine] = Field(default_factory=list)


class Lost(Shape):
    """One that the verb did not change, and the state that it is in; `unknown` where there is none in the workspace."""

    id: UUID
    state: str


class BulkResult(Shape):
    """What a verb over many did. `more` match the filter beyond what one call does: call again."""

    won: list[UUID]
    lost: list[Lost]
    more: int
