"""Sub-workflows: the run that a step starts, and the result of the step when that run has ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from django.conf import settings

from actions.base import Json, Permanent, Retryable
from runs.domain.outcomes import Child, HeldChildren, Outcome, RunFacts, StepResult
from runs.domain.states import RunState, StepState
from runs.engine import failure
from runs.engine.work import Clock, Work
from runs.planning.plan import Plan
from runs.planning.steps import PlannedStep
from runs.queries import sub_workflows, values
from runs.queries.database import Row, columns, run
from runs.queries.values import loads
from workflows.definitions import labels
from workflows.definitions.errors import InputNotChecked, InvalidInput
from workflows.models import Version
from workflows.publishing.inputs import check_input

KIND = "sub_workflow"
# The reason given for a sub-workflow run that is cancelled because its parent was cancelled or timed out.
PARENT_STOPPED = "its parent run was stopped"
# The resolution of the dead letters of a run in whose place the retry policy of its parent's step starts another one.
RETRIED_ABOVE = "its parent's step was retried, and has started another run"


def resolved(results: Sequence[StepResult], work: Sequence[Work], *, plan: Plan) -> list[StepResult]:
    """Return the results with the version that each sub-workflow run is to execute.

    A result whose workflow or version does not exist, or does not accept the input, is turned into a failure. One query
    reads all workflows, and another one the versions.
    """
    asked = [(at, result.child) for at, result in enumerate(results) if result.child is not None]
    found = list(results)
    if not asked:
        return found
    known = _known(asked, work)
    versions = Version.objects.in_bulk({version_id for _, _, version_id in known.values() if version_id is not None})
    for at, child in asked:
        step = plan.steps[results[at].step]
        try:
            child = _resolved(step, child, known=known[at], versions=versions)  # noqa: PLW2901
            found[at] = results[at]._replace(child=child)
        except (Permanent, Retryable) as error:
            tried = failure.Tried(work[at].clock.at, used=results[at].config)
            found[at] = failure.failed(step, work[at], error, tried)
    return found


def spawn(live: Sequence[Outcome]) -> bool:
    """Insert the sub-workflow runs that these outcomes start, and return whether there were any.

    The dead letters of runs that earlier attempts started are closed. Called in the transaction of the outcomes'
    record, for outcomes that won their fence.
    """
    rows = [_row(outcome, r, r.child) for outcome in live for r in outcome.results if r.child is not None]
    if rows:
        names = ("ids", "parents", "steps", "items", "attempts", "versions", "labels", "inputs")
        run(sub_workflows.SPAWN, **dict(zip(names, columns(rows, len(names)), strict=True)))
    again = [(o.run.id, r.step, o.item, r.attempt) for o in live for r in o.results if r.child and r.attempt > 1]
    if again:
        # One fault, one dead letter: that of the new run, if it fails as well.
        keys = dict(zip(("runs", "steps", "items", "attempts"), columns(again, 4), strict=True))
        run(sub_workflows.SUPERSEDE_ATTEMPTS, by=None, why=RETRIED_ABOVE, **keys)
    return bool(rows)


def _row(outcome: Outcome, result: StepResult, child: Child) -> tuple[object, ...]:
    step = (outcome.run.id, result.step, outcome.item, result.attempt)
    given = values.dumps(dict(child.asked.labels)), values.dumps(child.asked.input)
    return (child.id, *step, child.version_id, *given)


def wake_parents(run_ids: Sequence[UUID]) -> tuple[int, ...]:
    """Make the step rows that wait for these runs due, and return their ids.

    Call it in the transaction that ended the runs; these are its last locks. Runs without a waiting parent are ignored.
    """
    return tuple(row[0] for row in run(sub_workflows.CHILDREN_ENDED, runs=list(run_ids))) if run_ids else ()


def awaited_again(run_ids: Sequence[UUID]) -> None:
    """Let step rows wait again for these runs, which were retried before their parents had read their failure.

    These, too, are the last locks of the transaction.
    """
    if run_ids:
        run(sub_workflows.AWAITED_AGAIN, runs=list(run_ids))


def due(*, limit: int) -> list[int]:
    """Return up to `limit` ids of waiting step rows whose sub-workflow run has ended, the longest ended first."""
    return [row[0] for row in run(sub_workflows.ANSWERED, limit=limit)]


def answered(row_ids: Sequence[int]) -> dict[tuple[UUID, str], list[Row]]:
    """Read the results of the sub-workflow runs for which these step rows waited. Return rows for `outcome`.

    They are grouped by the parent's version and step.
    """
    found: dict[tuple[UUID, str], list[Row]] = {}
    for row in run(sub_workflows.ANSWERS, rows=list(row_ids)):
        found.setdefault((row[8], row[2]), []).append(row)
    return found


def sub_runs_to_cancel(*, limit: int) -> dict[int, list[UUID]]:
    """Return cancelled step rows whose sub-workflow runs are still to be cancelled: {row id: run ids}.

    A row's list is empty if its run has ended meanwhile.
    """
    found: dict[int, list[UUID]] = {}
    for row_id, child in run(sub_workflows.ORPHANS, limit=limit):
        found.setdefault(row_id, []).extend([] if child is None else [child])
    return found


def sub_runs_cancelled(row_ids: Sequence[int]) -> None:
    """Note in these cancelled step rows that their sub-workflow runs are cancelled, too."""
    run(sub_workflows.ORPHANS_ENDED, rows=list(row_ids))


def wake_stranded(*, limit: int) -> int:
    """Make step rows due that still wait although their run has ended. Return their number, which should be 0."""
    found = [row[0] for row in run(sub_workflows.STRANDED, limit=limit)]
    if found:
        run(sub_workflows.WAKE_STRANDED, rows=found)
    return len(found)


def outcome(row: Row, *, plan: Plan) -> Outcome:
    """Return the outcome of a step whose sub-workflow run has ended: success with its output, or a failure."""
    run_id, item, step_id, attempt, attempts, config, began, now, _, given, started_at, generation = row[:12]
    child, workflow, state, child_input, output, error, letter_run = row[12:]
    facts = RunFacts(id=run_id, input=loads(given), began=started_at.timestamp(), generation=generation)
    tries = loads(attempts) or []
    used = loads(config)
    if state == RunState.SUCCEEDED:
        ended: Json = {"run": str(child), "state": state, "output": loads(output)}
        result = StepResult(
            step=step_id, state=StepState.SUCCEEDED, output=ended, config=used, attempt=attempt, attempts=tries
        )
    else:
        work = Work(run=facts, item=item, steps={}, clock=Clock(at=now), attempt=attempt, attempts=tries)
        tried = failure.Tried(began, given=loads(child_input), used=used)
        cause = _failure(child, workflow, state, loads(error), letter_run=letter_run)
        result = failure.failed(plan.steps[step_id], work, cause, tried)
        if letter_run is not None and result.dead_reason == tried.reason:
            # One fault, one dead letter: that of the run below, whose retry lets this step wait again.
            result = result._replace(dead_reason=None)
    return Outcome(run=facts, item=item, fence=HeldChildren(), results=(result,))


def _known(asked: Sequence[tuple[int, Child]], work: Sequence[Work]) -> dict[int, tuple[int, UUID | None, UUID | None]]:
    """Return, by the number of the result: the parent's depth, the workflow's id and the version's id."""
    found = run(
        sub_workflows.RESOLVE,
        numbers=[at for at, _ in asked],
        runs=[work[at].run.id for at, _ in asked],
        names=[child.asked.workflow for _, child in asked],
        keys=[_uuid(child.asked.workflow) for _, child in asked],
        versions=[child.asked.version for _, child in asked],
    )
    return {row[0]: (row[1], row[2], row[3]) for row in found}


def _resolved(
    step: PlannedStep,
    child: Child,
    *,
    known: tuple[int, UUID | None, UUID | None],
    versions: dict[UUID, Version],
) -> Child:
    """Return the child with its version, with the defaults of its `inputs` in the input, and its rendered labels."""
    depth, workflow_id, version_id = known
    where = f"step {step.id!r}: with"
    limit = settings.SUB_WORKFLOW_DEPTH
    if depth >= limit:
        raise Permanent(
            f"step {step.id!r}: this run is sub-workflow number {depth} in line, and {limit} is the limit; "
            "a workflow that calls itself needs a condition that ends it",
            kind=KIND,
        )
    if workflow_id is None:
        raise Permanent(f"{where}.workflow: this workspace has no workflow {child.asked.workflow!r}", kind=KIND)
    if version_id is None:
        lacks = "has no published version" if child.asked.version is None else f"has no version {child.asked.version}"
        raise Permanent(f"{where}.version: workflow {child.asked.workflow!r} {lacks}", kind=KIND)
    try:
        given = check_input(versions[version_id], child.asked.input)
    except InputNotChecked as error:
        raise Retryable(f"{where}.{error}", kind=KIND) from None
    except InvalidInput as error:
        faults = "; ".join(map(str, error.problems))
        raise Permanent(f"{where}.{faults}", kind=KIND) from None
    found = _labels(step, child, version=versions[version_id], given=given)
    return replace(child, asked=replace(child.asked, input=given, labels=found), version_id=version_id)


def _labels(step: PlannedStep, child: Child, *, version: Version, given: Json) -> dict[str, str]:
    """Return the labels that the step gives, with those of the version that need rendering. Raises Permanent."""
    try:
        own = labels.rendered(labels.with_expressions(version.definition), given)
    except InvalidInput as error:
        raise Permanent(f"step {step.id!r}: workflow {child.asked.workflow!r}: {error}", kind=KIND) from None
    return {**own, **child.asked.labels}


def _failure(
    child: UUID | None, workflow: str | None, state: str | None, error: Json, *, letter_run: UUID | None
) -> Retryable:
    """Return the error of a step whose sub-workflow run did not succeed: that run, its failed step and its message.

    `letter_run` is the run that has the dead letter of the fault: that run, or one below it.
    """
    if child is None:
        return Retryable("the run that it waited for is gone", kind=KIND)
    known = error if isinstance(error, dict) else {}
    where = f" at step {known['step']!r}" if "step" in known else ""
    why = f": {known['message']}" if "message" in known else ""
    pointer: dict[str, Json] = {"dead_letter_run": str(letter_run)} if letter_run is not None else {}
    cause: dict[str, Json] = {key: known[key] for key in ("step", "kind", "message") if key in known}
    return Retryable(
        f"run {child} of workflow {workflow!r} {'was ' if state == RunState.CANCELLED else ''}{state}{where}{why}",
        kind=KIND,
        details={"run": str(child), "state": state, "error": cause or None, **pointer},
    )


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
