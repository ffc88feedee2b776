"""What a record of a graph must know of the rest of its run: all of it, or so much of a big one as decides.

A record that read every row of a run of ten thousand steps would cost as much as the run is long, ten thousand times.
While the run's lock is held, nothing that is open ends. So a ticket of another branch, however it was come by, says two
things: the run goes on, and a join behind it waits. For the rest only the steps that may follow, and what those need,
are read.
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

# A plan of up to so many steps is read whole, by one statement.
WHOLE_STEPS = 200
# Steps that are looked at one by one at most; joins behind open branches are not among them.
_MOST_STEPS = 2000


def marks(plan: Plan, live: Sequence[Outcome], *, endings: Mapping[UUID, RunState]) -> Marks:
    """The marks of each run that its outcomes' release asks for. The runs are locked, and the outcomes written."""
    if len(plan.steps) <= WHOLE_STEPS:
        return whole([outcome.run.id for outcome in live])
    going = [outcome for outcome in live if endings.get(outcome.run.id) is None]
    found = _partial(plan, going) if going else {}
    rest = [outcome.run.id for outcome in live if outcome.run.id not in found]
    return {**found, **whole(rest)} if rest else found


def whole(run_ids: Sequence[UUID]) -> Marks:
    """The marks of every step of these runs that has a row or a ticket, read by a statement of its own."""
    if not run_ids:
        return {}
    return _read(run(mark_queries.VIEW, runs=list(run_ids)), run_ids)


def _read(rows: Iterable[tuple[UUID, str, str | None, bool]], run_ids: Sequence[UUID]) -> Marks:
    found: Marks = {run_id: {} for run_id in run_ids}
    for run_id, step, state, blocked in rows:
        # A retrying row stands beside its ticket; the row says more.
        if state is not None or step not in found[run_id]:
            found[run_id][step] = Mark(state=StepState(state) if state else None, blocked=bool(blocked))
    return found


def _partial(plan: Plan, live: Sequence[Outcome]) -> Marks:
    """The marks of those runs for which a few rows decide; the other runs are missing from the result."""
    # A run without another ticket may be at its end, for which all of it counts.
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
    """The heads of a few tickets of each run."""
    found: dict[UUID, list[str]] = {}
    for run_id, head in run(mark_queries.OTHERS, runs=[outcome.run.id for outcome in live]):
        found.setdefault(run_id, []).append(head)
    return found


@dataclass(frozen=True)
class _Look:
    """What is to be read of one run: `steps` are `follow`, the steps that may follow, and what decides about them.

    `open_` are ends of other branches that joins wait for; that they are open is known from their branch's ticket.
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
    """Work out what decides what follows this outcome, given the heads of other branches' tickets."""
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
    """Steps that may follow these directly."""
    return {step for own_step in own for step in after(plan.steps[own_step])} - own


def _needed(step: PlannedStep) -> Sequence[str]:
    """The step, and those whose marks decide about it."""
    return (step.id, *step.predecessors, *step.jumped_from)


def _waited(step: PlannedStep, ends: set[str]) -> str | None:
    """One of these, the ends of branches that are open, for which the step has to wait, if there is one."""
    if step.jumped_from or step.definition.join in EAGER:
        return None
    return next(iter(ends & step.needs), None)


def _decides(plan: Plan, look: _Look, known: Mapping[str, Mark]) -> bool:
    """Whether what was read is enough. A skip may lead anywhere, and a retry by hand opens what others went past."""
    if any(parent_state(plan.steps[step], known.get(step)) is not ParentState.OPEN for step in look.open_):
        return False
    verdicts = (decide(plan, plan.steps[step], known) for step in look.follow if step not in known)
    return all(verdict in (Verdict.RUN, Verdict.WAIT) for verdict in verdicts)
