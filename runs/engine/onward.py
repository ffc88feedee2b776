"""What the caller of a record takes further itself: steps that it claims in the record's transaction, and tickets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID

from runs.domain.candidates import Candidate
from runs.domain.outcomes import LoadedSteps, Outcome
from runs.domain.releases import Release
from runs.engine import lease, tickets
from runs.engine.release import NOTHING, Carried
from runs.engine.work import Clock, Work, clock_of, work_of
from runs.planning.plan import Plan
from runs.planning.steps import PlannedStep
from runs.queries import marks
from runs.queries.database import run
from runs.queries.values import loads

# A row's deadline is this much later than its step's timeout, so that the executor records the timeout itself.
DEADLINE_GRACE_SECONDS = 5


@dataclass
class Onward:
    """`carried` are heads whose tickets are written as sent: the caller takes them further (Recorded.handed_on).

    Up to `places` steps that are released are claimed for `process` at once, if they can be walked on to
    (PlannedStep.claimed_on); their work is added to `claimed`. After a record that failed, `claimed` is as before it.
    """

    carried: Carried = NOTHING
    process: UUID | None = None
    places: int = 0
    # Whose places these are.
    workspace: UUID | None = None
    claimed: list[tuple[str, Work]] = field(default_factory=list)
    # How many of them were there before the current record.
    _before: int = 0

    def without_claims(self) -> Onward:
        """Return the same without claims."""
        return replace(self, places=0) if self.places else self

    def begin(self) -> None:
        """Begin a record."""
        self._before = len(self.claimed)

    def give_up(self) -> None:
        """Forget what the current record claimed: its transaction was rolled back."""
        lost = self.claimed[self._before :]
        del self.claimed[self._before :]
        lease.let_go(held(head, one) for head, one in lost)

    def last_claimed(self) -> frozenset[Candidate]:
        """Return what the current record claimed."""
        return frozenset(Candidate(one.run.id, one.item, head) for head, one in self.claimed[self._before :])

    def claims(self, plan: Plan, outcomes: Sequence[Outcome], releases: Sequence[Release]) -> dict[str, object]:
        """Return what the record of a linear plan needs to claim next steps (runs.engine.fences.Claims)."""
        timeouts: list[float | None] = []
        left = self._left
        for outcome, release in zip(outcomes, releases, strict=True):
            step = self._next(plan, release, after=outcome) if left else None
            left -= step is not None
            timeouts.append(None if step is None else timeout(step))
        return {"next_timeouts": timeouts, "process": self.process} if left < self._left else {}

    def took(
        self, plan: Plan, outcomes: Sequence[Outcome], releases: Sequence[Release], won: Sequence[tuple[int, float]]
    ) -> None:
        """Add the next steps that were claimed: the numbers of their outcomes, and the database's time of each."""
        found = []
        for number, at in won:
            outcome, [ticket] = outcomes[number], releases[number].tickets
            clock = Clock(datetime.fromtimestamp(at, UTC))
            found.append((ticket.head, Work(run=outcome.run, item=-1, steps=_known(plan, outcome), clock=clock)))
        self._take(found)

    def claim(self, plan: Plan, outcomes: Sequence[Outcome], releases: Sequence[Release]) -> None:
        """Claim steps of a graph that were released in the transaction that is open."""
        if self.process is None or not self._left:
            return
        found = [
            Candidate(outcome.run.id, -1, step.id)
            for outcome, release in zip(outcomes, releases, strict=True)
            if (step := self._next(plan, release, after=outcome)) is not None
        ]
        self._take(claimed(found[: self._left], plan=plan, process=self.process))

    @property
    def _left(self) -> int:
        return max(0, self.places - len(self.claimed))

    def complete(self, plan: Plan) -> list[tuple[str, Work]]:
        """Return the claimed work with all the steps that it reads: those not known yet are read now."""
        found = []
        missing: dict[str, list[UUID]] = {}
        for head, work in self.claimed:
            if not set(plan.step_ids(plan.link(head).reads)) <= work.steps.keys():
                missing.setdefault(head, []).append(work.run.id)
        read: dict[tuple[str, UUID], LoadedSteps] = {}
        for head, runs in missing.items():
            rows = run(marks.OUTPUTS, runs=runs, reads=plan.step_ids(plan.link(head).reads))
            read.update({(head, run_id): loads(text) for run_id, text in rows})
        for head, work in self.claimed:
            more = read.get((head, work.run.id))
            found.append((head, work if more is None else work._replace(steps={**work.steps, **more})))
        return found

    def _next(self, plan: Plan, release: Release, *, after: Outcome) -> PlannedStep | None:
        """Return the step to claim: the only one that was released now, and not one that is to be retried."""
        if len(release.tickets) != 1:
            return None
        [ticket] = release.tickets
        step = plan.steps[ticket.head]
        fresh = ticket.due == 0 and ticket.item < 0 and all(result.step != step.id for result in after.results)
        return step if fresh and step.claimed_on else None

    def _take(self, claimed: Sequence[tuple[str, Work]]) -> None:
        if claimed:
            lease.hold(held(head, one) for head, one in claimed)
            self.claimed += claimed


NOWHERE = Onward()


def held(head: str, work: Work) -> lease.Held:
    """Return the attempt as the lease knows it."""
    return (work.run.id, work.item, head, work.attempt)


def timeout(step: PlannedStep) -> float:
    """Return the seconds from a step's claim to its row's deadline."""
    return step.timeout_seconds + DEADLINE_GRACE_SECONDS


def claimed(
    candidates: Sequence[Candidate], *, plan: Plan, process: UUID, suspect: bool = False
) -> list[tuple[str, Work]]:
    """Claim steps for this process, and return the work that it won, with its head."""
    if not candidates:
        return []
    heads = dict.fromkeys(candidate.head for candidate in candidates)
    each = candidates[0].item >= 0
    rows = tickets.claim(
        candidates,
        reads={} if each else {head: plan.step_ids(plan.link(head).reads) for head in heads},
        timeouts={head: timeout(plan.steps[head]) for head in heads},
        process=process,
        suspect=suspect,
    )
    clock = clock_of(rows)
    return [(row[9], work_of(row, clock=clock, attempt=row[10], attempts=row[11], edited=row[12])) for row in rows]


def _known(plan: Plan, outcome: Outcome) -> LoadedSteps:
    """Return the steps known with this outcome that the steps ahead read."""
    wanted = plan.reads_ahead(outcome.last.step)
    found = {step: known for step, known in outcome.steps.items() if step in wanted}
    for r in outcome.results:
        if r.step in wanted:
            found[r.step] = {"output": r.output, "state": str(r.state), "error": r.error}
    return found
