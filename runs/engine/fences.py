"""The fence of a record: lock the runs, and accept only the outcomes of deliveries that still hold their step.

Each statement here takes its locks in the same order: first the runs, by ascending id, then tickets or step rows. Only
under a run's lock does it check whether the outcome's fence still holds. A record writes nothing else before that, and
nothing for an outcome that lost its fence. Example: a worker that was frozen, and whose step another worker has taken
over since, neither writes a ticket nor uses up a signal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from runs.domain.outcomes import HeldChildren, HeldClaim, HeldTicket, HeldWait, Outcome, StepResult
from runs.domain.releases import Release
from runs.domain.states import RunState
from runs.engine import columns
from runs.queries import records
from runs.queries.database import Row, Statement, run, values_of_one

# The parameters `next_timeouts` and `process` of a record that also claims the steps that follow; else empty.
Claims = Mapping[str, object]
# By the kind of fence, which is the same for all outcomes of a set.
_FENCES: dict[type, Statement] = {
    HeldTicket: records.FENCE_TICKET,
    HeldClaim: records.FENCE_CLAIM,
    HeldWait: records.FENCE_WAIT,
    HeldChildren: records.FENCE_CHILDREN,
}
_LINEAR: dict[type, Statement] = {
    HeldTicket: records.LINEAR_TICKET,
    HeldClaim: records.LINEAR_CLAIM,
    HeldWait: records.LINEAR_WAIT,
    HeldChildren: records.LINEAR_CHILDREN,
}
_LINEAR_AND_CLAIM: dict[type, Statement] = {
    HeldTicket: records.LINEAR_TICKET_CLAIM,
    HeldClaim: records.LINEAR_CLAIM_CLAIM,
}


@dataclass(frozen=True)
class Fenced:
    """What a fence let through: `won` are the outcomes whose fence held, `live` those of them whose run is live.

    `endings` has the outcome of the work of those runs whose work is over; `with_parent` are the runs with a parent.
    `claimed` are the outcomes whose next step was claimed: their numbers, from 0, and the database's time.
    """

    won: list[Outcome]
    live: list[Outcome]
    endings: dict[UUID, RunState]
    with_parent: frozenset[UUID]
    claimed: Sequence[tuple[int, float]] = ()

    def ending(self, outcome: Outcome) -> RunState | None:
        """Return what this outcome's run is ending with: the result of its work; None while the work is not over."""
        return self.endings.get(outcome.run.id) if self.endings else None


def fence(outcomes: Sequence[Outcome]) -> Fenced:
    """Lock the runs and check the fences. What the winners release is decided by later statements."""
    rows = run(_FENCES[type(outcomes[0].fence)], **_held(outcomes))
    return _fenced(outcomes, rows)


def fence_and_release(outcomes: Sequence[Outcome], releases: Sequence[Release], *, claims: Claims) -> Fenced:
    """Lock the runs, check the fences, and write what the winners release, in one statement: for linear plans.

    `claims` are the timeouts of the next steps that are claimed by this (see Claims); empty if none is.
    """
    kind = type(outcomes[0].fence)
    if kind is HeldClaim and len(outcomes) == 1 and (rows := _one(outcomes, releases, claims=claims)) is not None:
        return _fenced(outcomes, rows)
    if kind is HeldTicket and not _any_ticket(releases):
        return _fenced(outcomes, run(records.LINEAR_OVER, **_held(outcomes), **columns.ends(releases)))
    params = {**_held(outcomes), **columns.ends(releases), **columns.next_tickets(releases)}
    if claims:
        return _fenced(outcomes, run(_LINEAR_AND_CLAIM[kind], **params, **claims))
    return _fenced(outcomes, run(_LINEAR[kind], **params))


def _one(outcomes: Sequence[Outcome], releases: Sequence[Release], *, claims: Claims) -> Sequence[Row] | None:
    """Record a single claimed step by a statement for one run; return None if there is none for what follows.

    There is one for a run that claims its next step, and one for a run that changes its state and gets no ticket.
    """
    [release] = releases
    if claims and release.state is None:
        timeouts, process = claims["next_timeouts"], claims["process"]
        columns_ = {**_held(outcomes), **columns.next_tickets(releases), "next_timeouts": timeouts}
        return run(records.ONE_CLAIM_CLAIM, **values_of_one(columns_), process=process)
    if release.state is not None and not release.tickets:
        return run(records.ONE_CLAIM_LAST, **values_of_one({**_held(outcomes), **columns.ends(releases)}))
    return None


def fence_write_and_release(
    outcomes: Sequence[Outcome],
    releases: Sequence[Release],
    *,
    steps: Sequence[tuple[UUID, int, StepResult]],
    claims: Claims,
) -> Fenced:
    """As fence_and_release, for outcomes whose fence is a ticket; the statement also inserts the winners' `steps`."""
    params = _held(outcomes) | columns.steps(steps) | columns.ends(releases)
    if claims:
        rows = run(records.LINEAR_ONE_STATEMENT_CLAIM, **params, **columns.next_tickets(releases), **claims)
    elif _any_ticket(releases) or any(isinstance(o.fence, HeldTicket) and o.fence.retried for o in outcomes):
        rows = run(records.LINEAR_ONE_STATEMENT, **params, **columns.next_tickets(releases))
    else:
        rows = run(records.LINEAR_LAST, **params)
    return _fenced(outcomes, rows)


def _held(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Columns of the runs and their fences; for other fences than tickets, also of the results, which are updates."""
    runs = [outcome.run.id for outcome in outcomes]
    if not isinstance(outcomes[0].fence, HeldTicket):
        return {"runs": runs, **columns.outcomes(outcomes)}
    tickets = [o.fence.id for o in outcomes if isinstance(o.fence, HeldTicket)]
    return {"runs": runs, "items": [outcome.item for outcome in outcomes], "tickets": tickets}


def _any_ticket(releases: Sequence[Release]) -> bool:
    return any(release.tickets for release in releases)


def _fenced(outcomes: Sequence[Outcome], rows: Sequence[Row]) -> Fenced:
    """Match outcomes with the winners' rows: number, run, whether it is live, its ending, whether it has a parent.

    Where next steps were to be claimed, two more columns say whether this one was, and when. An outcome without a row
    has lost its fence.
    """
    live = {row[0]: row[2] for row in rows}
    return Fenced(
        won=[outcome for number, outcome in enumerate(outcomes, 1) if number in live],
        live=[outcome for number, outcome in enumerate(outcomes, 1) if live.get(number)],
        endings={row[1]: RunState(row[3]) for row in rows if row[3]},
        with_parent=frozenset(row[1] for row in rows if row[4]),
        claimed=[(row[0] - 1, row[6]) for row in rows if len(row) > 5 and row[5]],
    )
