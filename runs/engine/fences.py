"""Pass the fence of a record: lock the runs, then let in only the outcomes of deliveries that still hold their step.

Every statement here takes its locks in one order: first the runs, by ascending id, then the tickets or step rows. Only
under the run's lock does it look whether the outcome's fence still holds. Nothing else of a record is written before
that, or for an outcome that lost: so a delivery that was overtaken uses up no signal, and writes no ticket.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from runs.domain.outcomes import HeldChildren, HeldClaim, HeldTicket, HeldWait, Outcome, StepResult
from runs.domain.releases import Release
from runs.domain.states import RunState
from runs.engine import columns
from runs.queries import records
from runs.queries.database import Row, Statement, run

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


@dataclass(frozen=True)
class Fenced:
    """The outcomes that passed their fence, and those of them whose run is live.

    `endings` has what the runs' work came to where that is over and the run has not ended yet; `with_parent` are the
    runs that have a parent.
    """

    won: list[Outcome]
    live: list[Outcome]
    endings: dict[UUID, RunState]
    with_parent: frozenset[UUID]

    def ending(self, outcome: Outcome) -> RunState | None:
        """What the work of the outcome's run came to; None while it goes on."""
        return self.endings.get(outcome.run.id) if self.endings else None


def fence(outcomes: Sequence[Outcome]) -> Fenced:
    """Lock the runs and let in the outcomes whose fence holds; what they release is decided by later statements."""
    rows = run(_FENCES[type(outcomes[0].fence)], **_held(outcomes))
    return _fenced(outcomes, rows)


def fence_and_release(outcomes: Sequence[Outcome], releases: Sequence[Release]) -> Fenced:
    """The same in a linear plan, where one statement also writes what the winners release."""
    if isinstance(outcomes[0].fence, HeldTicket) and not _any_ticket(releases):
        rows = run(records.LINEAR_OVER, **_held(outcomes), **columns.ends(releases))
    else:
        statement = _LINEAR[type(outcomes[0].fence)]
        rows = run(statement, **_held(outcomes), **columns.ends(releases), **columns.next_tickets(releases))
    return _fenced(outcomes, rows)


def fence_write_and_release(
    outcomes: Sequence[Outcome], releases: Sequence[Release], *, steps: Sequence[tuple[UUID, int, StepResult]]
) -> Fenced:
    """The same for outcomes under tickets, where the statement also writes the winners' rows of `steps`."""
    params = _held(outcomes) | columns.steps(steps) | columns.ends(releases)
    if _any_ticket(releases) or any(isinstance(o.fence, HeldTicket) and o.fence.retried for o in outcomes):
        rows = run(records.LINEAR_ONE_STATEMENT, **params, **columns.next_tickets(releases))
    else:
        rows = run(records.LINEAR_LAST, **params)
    return _fenced(outcomes, rows)


def _held(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Columns of what the outcomes' deliveries hold; under any other fence than a ticket, with the results as well."""
    runs = [outcome.run.id for outcome in outcomes]
    if not isinstance(outcomes[0].fence, HeldTicket):
        return {"runs": runs, **columns.outcomes(outcomes)}
    tickets = [o.fence.id for o in outcomes if isinstance(o.fence, HeldTicket)]
    return {"runs": runs, "items": [outcome.item for outcome in outcomes], "tickets": tickets}


def _any_ticket(releases: Sequence[Release]) -> bool:
    return any(release.tickets for release in releases)


def _fenced(outcomes: Sequence[Outcome], rows: Sequence[Row]) -> Fenced:
    """Read the winners' rows: run, item, whether the run is live, its ending, whether it has a parent."""
    alive = {(row[0], row[1]): row[2] for row in rows}
    return Fenced(
        won=[outcome for outcome in outcomes if outcome.key in alive],
        live=[outcome for outcome in outcomes if alive.get(outcome.key)],
        endings={row[0]: RunState(row[3]) for row in rows if row[3]},
        with_parent=frozenset(row[0] for row in rows if row[4]),
    )
