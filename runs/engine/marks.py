"""Read the marks of a run's steps that decide what a record releases: all of them, or in a big graph only a few.

If each record in a run of ten thousand steps read every row of the run, each of the ten thousand records would cost as
much as the run is long. But while the run's lock is held, no step of it can end. So any ticket of another branch proves
two things: the run continues, and a join behind that branch still waits. Besides such tickets, only the steps that may
follow, and the steps that those need, are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from runs.domain.outcomes import Outcome
from runs.domain.states import RunState, StepState
from runs.planning.joins import EAGER, RELEASED, Mark, ParentState, Verdict, after, decide, parent_state
from runs.planning.plan import Plan
from runs.planning.steps import PlannedStep
from runs.queries import marks as mark_queries
from runs.queries.database import run

Marks = dict[UUID, dict[str, Mark]]

# Runs of a plan with up to this number of steps are read whole, by one statement.
WHOLE_STEPS = 200
# The most steps that are read one by one; for more, the run is read whole. Joins behind open branches do not count.
_MOST_STEPS = 2000


def marks(plan: Plan, live: Sequence[Outcome], *, endings: Mapping[UUID, RunState]) -> Marks:
    """Return the marks of each run that the release of its outcome needs.

    The runs are locked, and the outcomes are written. `endings` are the outcomes of runs whose work is over.
    """
    if len(plan.steps) <= WHOLE_STEPS:
        return whole([outcome.run.id for outcome in live])
    going = [outcome for outcome in live if endings.get(outcome.run.id) is None]
    found = _partial(plan, going) if going else {}
    rest = [outcome.run.id for outcome in live if outcome.run.id not in found]
    return {**found, **whole(rest)} if rest else found


def whole(run_ids: Sequence[UUID]) -> Marks:
    """Return the marks of every step of these runs that has a row or a ticket, read by a statement of its own."""
    if not run_ids:
        return {}
    return _read(run(mark_queries.VIEW, runs=list(run_ids)), run_ids)


def _read(rows: Iterable[tuple[UUID, str, str | None, bool]], run_ids: Sequence[UUID]) -> Marks:
    found: Marks = {run_id: {} for run_id in run_ids}
    for run_id, step, state, blocked in rows:
        # A step to be retried has both a row and a ticket; its row's state counts.
        if state is not None or step not in found[run_id]:
            found[run_id][step] = Mark(state=StepState(state) if state else None, blocked=bool(blocked))
    return found


def _partial(plan: Plan, live: Sequence[Outcome]) -> Marks:
    """Return the marks of those runs for which a few rows decide; the other runs are missing from the result."""
    # A run without another ticket may be at its end, and that depends on all of its steps.
    tickets = _other_tickets(live)
    looks = [_look(plan, outcome, tickets[outcome.run.id]) for outcome in live if outcome.run.id in tickets]
    looks = [look for look in looks if len(look.steps) <= _MOST_STEPS]
    if not looks:
        return {}
    found = _read_steps(looks)
    return {
        look.run_id: dict.fromkeys(tickets[look.run_id], RELEASED) | found[look.run_id]
        for look in looks
        if _decides(plan, look, found[look.run_id])
    }


def _other_tickets(live: Sequence[Outcome]) -> dict[UUID, list[str]]:
    """Return the heads of a few tickets of each run that has any."""
    found: dict[UUID, list[str]] = {}
    for run_id, head in run(mark_queries.OTHERS, runs=[outcome.run.id for outcome in live]):
        found.setdefault(run_id, []).append(head)
    return found


@dataclass(frozen=True)
class _Look:
    """The steps of one run to read: `follow` are those that may follow now, `steps` also those that decide about them.

    `open_` are ends of other branches for which joins wait. Each is expected to be open, since its branch has a ticket.
    """

    run_id: UUID
    steps: frozenset[str]
    follow: tuple[str, ...]
    open_: frozenset[str]


def _read_steps(looks: Sequence[_Look]) -> Marks:
    asked = [(look.run_id, step) for look in looks for step in look.steps]
    names = {"runs": [run_id for run_id, _ in asked], "steps": [step for _, step in asked]}
    return _read(run(mark_queries.VIEW_STEPS, **names), [look.run_id for look in looks])


def _look(plan: Plan, outcome: Outcome, heads: Sequence[str]) -> _Look:
    """Return the steps that decide what this outcome releases, given the heads of other branches' tickets."""
    own = {result.step for result in outcome.results}
    ends = {plan.end(head) for head in heads}
    follow: dict[str, None] = {}
    open_: set[str] = set()
    for step in _ahead(plan, own):
        if (end := _waited(plan.steps[step], ends)) is None:
            follow[step] = None
        else:
            open_.add(end)
    needed = {need for step in follow for need in _needed(plan.steps[step])}
    return _Look(outcome.run.id, frozenset(own | needed | open_), tuple(follow), frozenset(open_))


def _ahead(plan: Plan, own: set[str]) -> set[str]:
    """Return the steps that may follow these directly."""
    return {step for own_step in own for step in after(plan.steps[own_step])} - own


def _needed(step: PlannedStep) -> Sequence[str]:
    """Return the step and the steps whose marks decide whether it runs."""
    return (step.id, *step.predecessors, *step.jumped_from)


def _waited(step: PlannedStep, ends: set[str]) -> str | None:
    """Return one of `ends`, the ends of open branches, for which the step must wait; None if it waits for none."""
    if step.jumped_from or step.definition.join in EAGER:
        return None
    return next(iter(ends & step.needs), None)


def _decides(plan: Plan, look: _Look, known: Mapping[str, Mark]) -> bool:
    """Whether the marks that were read are enough to decide what follows.

    They are not if a step is skipped, for its skip may release steps anywhere; and not if an end of an open branch has
    ended, which happens when a retry by hand reopens a branch after others went past its join.
    """
    if any(parent_state(plan.steps[step], known.get(step)) is not ParentState.OPEN for step in look.open_):
        return False
    verdicts = (decide(plan, plan.steps[step], known) for step in look.follow if step not in known)
    return all(verdict in (Verdict.RUN, Verdict.WAIT) for verdict in verdicts)
