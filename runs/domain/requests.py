"""What a door asks for when it starts runs, and what it is answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from actions.base import Json


class Authorization(NamedTuple):
    """What a request was let in by: its token's sha256, and what the workflow, of the current version, was called."""

    token: str
    name: str


@dataclass(frozen=True)
class Request:
    """One run to start. A known idempotency key of the workflow answers the first run instead."""

    input: Json = field(default_factory=dict)
    idempotency_key: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    # -100 to 100, higher ones first; None takes the definition's.
    priority: int | None = None
    # Looked at once more as the run is inserted; None where the door has just done so.
    authorization: Authorization | None = None


class Preloaded(NamedTuple):
    """What a load would find at a run's first ticket: times in seconds since 1970, the input as the database has it."""

    ticket: int
    started_at: float
    input: str


class Due(NamedTuple):
    """A ticket that a knock is to be sent for; `preloaded` where its run began a moment ago, in this process."""

    ticket: int
    run_id: UUID
    item: int
    version_id: UUID
    head: str
    suspect: bool
    preloaded: Preloaded | None = None


@dataclass(frozen=True)
class Started:
    """One answer to one request, in the same order. `created` is false where the key was known.

    A new run is told as queued, also where it begins at once: `due` are its tickets then, which count as sent, and
    are to be sent after the commit. `behind`: others of its workspace, which nothing limits, were queued before it, a
    moment ago: within a transaction, which may last, that is not said. `outdated`: nothing was started, and nothing was
    looked up, for the request's leave holds no longer.
    """

    run_id: UUID
    created: bool
    state: str
    due: tuple[Due, ...] = ()
    behind: bool = False
    outdated: bool = False
