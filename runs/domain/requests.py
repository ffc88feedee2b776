"""Start requests, and their results: a run each, with the tickets that are to be sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from actions.base import Json
from runs.domain.candidates import Candidate

# `source` of runs that were started by publishing a workflow in the short form.
SHORT_FORM = "short_form"


class Authorization(NamedTuple):
    """What a start request was authorized by: its API token's sha256, and the workflow's name at that time.

    The insert checks both again: whether the token is still valid, and whether the workflow still has this name and the
    request's version as its current one.
    """

    token: str
    name: str


@dataclass(frozen=True)
class Request:
    """One run to start. If the workflow has a run with this idempotency key already, that run is the result."""

    input: Json = field(default_factory=dict)
    idempotency_key: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    # -100 to 100; runs with a higher one are admitted first. None: the definition's.
    priority: int | None = None
    # Checked again in the statement that inserts the run; None where the caller has just checked it.
    authorization: Authorization | None = None
    # Whether a run with this key and another input is a conflict. Else it is the result, whatever its input was.
    compares: bool = False


class Conflict(NamedTuple):
    """`what` (a run or a signal) has the idempotency key of a request, but another input.

    `first` is the sha256 of its input as jsonb writes it, `given` that of the request's.
    """

    what: str
    id: UUID
    first: str
    given: str


class Preloaded(NamedTuple):
    """What a load would read at a run's first ticket, as it is known from the start already.

    `started_at` is in seconds since 1970, `input` the JSON text that the database returned.
    """

    ticket: int
    started_at: float
    input: str


class Due(NamedTuple):
    """A ticket for which a message is to be sent. `preloaded` only where this process has just started its run."""

    ticket: int
    run_id: UUID
    item: int
    version_id: UUID
    head: str
    preloaded: Preloaded | None = None

    @property
    def candidate(self) -> Candidate:
        """What the message says of it."""
        return Candidate(self.run_id, self.item, self.head)


@dataclass(frozen=True)
class Started:
    """The result of one start request; results are in the order of their requests.

    `created` is false where a run with this idempotency key existed already. A new run is reported as queued, even if
    it was admitted at once; then `due` are its first tickets, which are written as sent: the caller must send them
    after the commit. `behind`: when it was inserted, other runs of its workspace, which has no limits, were queued
    before it; always false inside a caller's transaction, which may last. `outdated`: no run was started or looked up,
    because the request's authorization no longer holds. `conflict`: the key is known with another input, and
    the request compares; then `run_id` is the first run, and the request has no result.
    """

    run_id: UUID
    created: bool
    state: str
    due: tuple[Due, ...] = ()
    behind: bool = False
    outdated: bool = False
    conflict: Conflict | None = None
