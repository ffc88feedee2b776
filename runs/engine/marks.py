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


def marks(plan: Plan, live: Sequence[Outcome], *, coming: Mapping[UUID, RunState]) -> Marks:
    """The marks of each run that its outcomes' release asks for. The runs are locked, and the outcomes written."""
    if len(plan.steps) <= WHOLE_STEPS:
        return whole([outcome.run.id for outcome in live])
    going = [outcome for outcome in live if coming.get(outcome.run.id) is None]
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
    """The marks of those runs that a few rows decide about."""
    others: dict[UUID, list[str]] = {}
    for run_id, head in run(mark_queries.OTHERS, runs=[outcome.run.id for outcome in live]):
        others.setdefault(run_id, []).append(head)
    # Without another ticket a run perhaps ends.
    looks = [_look(plan, outcome, others[outcome.run.id]) for outcome in live if outcome.run.id in others]
    looks = [look for look in looks if len(look.asked) <= _MOST_STEPS]
    asked = [(look.run_id, step) for look in looks for step in look.asked]
    if not asked:
        return {}
    names = {"runs": [run_id for run_id, _ in asked], "steps": [step for _, step in asked]}
    found = _read(run(mark_queries.VIEW_STEPS, **names), [look.run_id for look in looks])
    decided = {look.run_id: found[look.run_id] for look in looks if _decides(plan, look, found[look.run_id])}
    for run_id, known in decided.items():
        for head in others[run_id]:
            known.setdefault(head, RELEASED)
    return decided


@dataclass(frozen=True)
class _Look:
    """What is to be read of one run: steps that may follow, what they need, and `waited`, for which others wait."""

    run_id: UUID
    asked: frozenset[str]
    follow: tuple[str, ...]
    waited: frozenset[str]


def _look(plan: Plan, outcome: Outcome, others: Sequence[str]) -> _Look:
    own = {result.step for result in outcome.results}
    ends = {plan.end(head) for head in others}
    ahead = dict.fromkeys(step for own_step in own for step in after(plan.steps[own_step]) if step not in own)
    waited = {step: _waited(plan.steps[step], ends) for step in ahead}
    follow = tuple(step for step, for_ in waited.items() if for_ is None)
    needed = {need for step in follow for need in (step, *plan.steps[step].predecessors, *plan.steps[step].jumped_from)}
    open_ = frozenset(for_ for for_ in waited.values() if for_ is not None)
    return _Look(outcome.run.id, frozenset(needed | own) | open_, follow, open_)


def _waited(step: PlannedStep, ends: set[str]) -> str | None:
    """One of these, the ends of branches that are open, for which the step has to wait, if there is one."""
    if step.jumped_from or step.definition.join in EAGER:
        return None
    return next(iter(ends & step.needs), None)


def _decides(plan: Plan, look: _Look, known: Mapping[str, Mark]) -> bool:
    """Whether what was read is enough. A skip may lead anywhere, and a retry by hand opens what others went past."""
    if any(parent_state(plan.steps[step], known.get(step)) is not ParentState.OPEN for step in look.waited):
        return False
    verdicts = (decide(plan, plan.steps[step], known) for step in look.follow if step not in known)
    return all(verdict in (Verdict.RUN, Verdict.WAIT) for verdict in verdicts)
