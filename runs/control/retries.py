"""Retry failed runs: perform their failed steps again, in the same runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction

from actions.base import Json
from runs.control import interventions, parents_again, preconditions
from runs.dispatch import dispatcher
from runs.domain.actor import Actor
from runs.domain.states import StepState
from runs.engine import endings, for_each, sub_workflows
from runs.engine.marks import whole as marks_of_all
from runs.planning import plan as plans
from runs.planning import reads
from runs.planning.joins import Mark
from runs.planning.plan import Plan
from runs.planning.steps import UNDO, Part
from runs.queries import retries, values
from runs.queries import sub_workflows as sub_workflow_queries
from runs.queries.database import Statement, columns, run

# The run's id and the step's; without the item of a for_each.
RunStep = tuple[UUID, str]
# Whether the caller wants this failed step to be retried.
_Choice = Callable[[RunStep], bool]


@dataclass(frozen=True)
class _Retried:
    """A retry of one run: `steps` are retried now; the rows of `later` are deleted, so that these can come again."""

    run_id: UUID
    steps: Sequence[str]
    later: Sequence[str]

    def is_possible(self, *, inputs: Iterable[RunStep], fixed: frozenset[RunStep]) -> bool:
        """Whether there are steps to retry, and each new input is for one of them that is not `fixed`."""
        edited = {step for run_id, step in inputs if run_id == self.run_id}
        return bool(self.steps) and edited <= set(self.steps) and fixed.isdisjoint((self.run_id, s) for s in edited)

    def details(self, inputs: Mapping[RunStep, Json]) -> dict[str, Json]:
        """Return the details of the run's intervention."""
        edited: list[Json] = [step for step in self.steps if inputs.get((self.run_id, step)) is not None]
        undone: list[Json] = [step for step in self.later if step.startswith(UNDO)]
        return {"steps": [*self.steps, *undone], "edited": edited}


@dataclass(frozen=True)
class _Selection:
    """The runs of a retry: in `work` failed steps are retried, in `undoing` a failed compensation."""

    work: Sequence[_Retried]
    undoing: Sequence[_Retried]

    def possible(self, *, inputs: Iterable[RunStep], fixed: frozenset[RunStep]) -> _Selection:
        """Return the selection without the runs that cannot be retried, or not with the inputs given."""
        return _Selection(
            [one for one in self.work if one.is_possible(inputs=inputs, fixed=fixed)],
            [one for one in self.undoing if one.is_possible(inputs=inputs, fixed=fixed)],
        )


def retry(run_ids: Sequence[UUID], *, actor: Actor, inputs: Mapping[RunStep, Json] | None = None) -> frozenset[UUID]:
    """Retry the failed steps of failed runs, and return the runs that this call set going again.

    The failed steps get tickets, and their retry policy begins again with the first attempt. Steps that were blocked by
    the failure can be released again. If the compensation of a run failed, the failed compensations are retried, one
    after the other. `inputs` replaces the input of a step; a run is not retried if it has an input for a step that is
    not retried now, whose for_each has begun, or which reads nothing of it.
    """
    return _retry(run_ids, choice=lambda _: True, inputs=inputs or {}, actor=actor)


def retry_steps(
    steps: Mapping[UUID, Iterable[str]], *, actor: Actor, inputs: Mapping[RunStep, Json]
) -> frozenset[UUID]:
    """As retry, for the runs in `steps`, but only the failed steps named there are retried."""
    chosen = frozenset((run_id, step) for run_id, names in steps.items() for step in names)
    return _retry(list(steps), choice=chosen.__contains__, inputs=inputs, actor=actor)


def _retry(
    run_ids: Sequence[UUID], *, choice: _Choice, inputs: Mapping[RunStep, Json], actor: Actor
) -> frozenset[UUID]:
    with transaction.atomic():
        ways_up = parents_again.ways_up(run_ids)
        lower, upper = list(run_ids), list({one.parent for one in ways_up})
        children = [row[0] for row in run(sub_workflow_queries.OF_ENDINGS, runs=lower + upper, undo=UNDO)]
        locked, above = _lock(lower, above=upper, children=children)
        selection = _select(locked, choice=choice, inputs=inputs)
        won = _set_going(retries.RETRY, selection.work, inputs=inputs, actor=actor)
        won += _set_going(retries.RETRY_UNDO, selection.undoing, inputs=inputs, actor=actor)
        for_each.again([(one.run_id, step) for one in selection.work for step in one.steps])
        details = {one.run_id: one.details(inputs) for one in [*selection.work, *selection.undoing]}
        interventions.write("retry", details, actor=actor)
        waiting = parents_again.let_wait(won, ways_up=ways_up, locked=locked | above, actor=actor) if ways_up else []
        if children and won:
            run(sub_workflow_queries.LET_GO, children=children, runs=[*won, *waiting])
        parents_again.supersede([(one.run_id, step) for one in selection.work for step in one.steps], actor=actor)
        sub_workflows.awaited_again([*won, *waiting])  # the last locks: the rows of parents
    transaction.on_commit(dispatcher.after_commit)
    return frozenset(won)


def _lock(
    run_ids: Sequence[UUID], *, above: Sequence[UUID], children: Sequence[UUID]
) -> tuple[dict[UUID, UUID], dict[UUID, UUID]]:
    """Lock the runs, those `above` and `children` in ascending order; return two times {run: version}.

    First those of the runs that have failed, then those of the runs above that have failed or whose work goes on.
    """
    failed = [state.value for state in preconditions.RETRYABLE]
    found = run(retries.LOCK, runs=list(run_ids), states=failed, above=list(above), children=list(children))
    first, second = set(run_ids), set(above)
    return (
        {run_id: version_id for run_id, version_id, state, _ in found if run_id in first and state in failed},
        {run_id: version_id for run_id, version_id, _, goes_on in found if run_id in second and goes_on},
    )


def _select(locked: Mapping[UUID, UUID], *, choice: _Choice, inputs: Mapping[RunStep, Json]) -> _Selection:
    """Return what can be retried in these runs. `locked` has the version of each run."""
    past: dict[UUID, bool] = dict(run(retries.PAST_RETRY, runs=list(locked), undo=UNDO)) if locked else {}
    edited = {key: given for key, given in inputs.items() if given is not None and key[0] in locked}
    fixed = for_each.begun(list(edited)) | {key for key, given in edited.items() if _unread(locked, key, given)}
    return _failed(locked, past=past, choice=choice).possible(inputs=inputs, fixed=fixed)


def _unread(locked: Mapping[UUID, UUID], key: RunStep, given: Json) -> bool:
    """Whether the step reads nothing of the input given for it, so that the retry would do the same again."""
    run_id, step = key
    planned = plans.load(locked[run_id]).steps.get(step)
    return planned is not None and reads.of(planned).unread(given) is not None


def _failed(locked: Mapping[UUID, UUID], *, past: Mapping[UUID, bool], choice: _Choice) -> _Selection:
    """Return what failed in each run.

    `past` has the runs whose work cannot be retried, because it was stopped or undone; True if their compensation can.
    """
    wanted = [run_id for run_id in locked if past.get(run_id, True)]
    undoable = endings.undoable([run_id for run_id in wanted if run_id in past])
    work: list[_Retried] = []
    undoing: list[_Retried] = []
    for run_id, marks in marks_of_all(wanted).items():
        plan = plans.load(locked[run_id])
        if run_id in past:
            order = undoable.get(run_id, ())
            undoing.append(_retried_compensation(run_id, plan, marks, order=order, choice=choice))
        else:
            work.append(_retried_work(run_id, plan, marks, choice=choice))
    return _Selection(work, undoing)


def _retried_work(run_id: UUID, plan: Plan, marks: Mapping[str, Mark], *, choice: _Choice) -> _Retried:
    """Retry the chosen steps that failed with no `on_error` to handle it; the steps that they blocked come again."""
    failed = [
        step
        for step, mark in marks.items()
        if mark.state is StepState.FAILED
        and plan.steps[step].definition.on_error == "fail"
        and not plan.steps[step].handler
        and choice((run_id, step))
    ]
    return _Retried(run_id, failed, parents_again.blocked_behind(plan, marks, failed))


def _retried_compensation(
    run_id: UUID, plan: Plan, marks: Mapping[str, Mark], *, order: Iterable[str], choice: _Choice
) -> _Retried:
    """Retry the first compensation that failed. The other failed ones come after it, then on_failure and finally."""
    undos = [plan.undos[step].id for step in order if step in plan.undos]
    begun = [undo for undo in undos if undo in marks]
    failed = [undo for undo in begun if marks[undo].state is StepState.FAILED and choice((run_id, undo))]
    handlers = [step for step in marks if plan.steps[step].part in (Part.ON_FAILURE, Part.FINALLY)]
    return _Retried(run_id, failed[:1], [*failed[1:], *handlers])


def _set_going(
    statement: Statement, found: Sequence[_Retried], *, inputs: Mapping[RunStep, Json], actor: Actor
) -> list[UUID]:
    """Execute RETRY or RETRY_UNDO for these locked runs, and return the ids of the runs that it changed."""
    if not found:
        return []
    now = [(one.run_id, step) for one in found for step in one.steps]
    later = [(one.run_id, step) for one in found for step in one.later]
    runs, steps = columns(now, 2)
    blocked_runs, blocked_steps = columns(later, 2)
    won = run(
        statement,
        runs=runs,
        steps=steps,
        inputs=[values.nullable(inputs.get(key)) for key in now],
        blocked_runs=blocked_runs,
        blocked_steps=blocked_steps,
        by=actor.user_id,
        why=actor.reason,
    )
    return [row[0] for row in won]
