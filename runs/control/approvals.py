"""Approve or reject steps that wait for approval. Each decision is recorded as an Intervention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from actions.base import ActionError, Json
from actions.catalogue.approval import SIGNAL, ApprovalConfig
from actions.moments import to_minute
from runs.control import interventions, signals
from runs.domain.actor import Actor
from runs.domain.outcomes import StepKey
from runs.domain.states import RUN_LIVE, StepState
from runs.engine import waits
from runs.engine.config import accepted
from runs.engine.waits import Wait
from runs.models import Intervention, StepRun
from runs.planning import plan as plans
from runs.queries import signals as signal_queries
from runs.queries.database import run

APPROVE, REJECT = "approve", "reject"
# Who decided, when it was not a user who is logged in.
COMMAND, LINK = "a command", "a signed link"


@dataclass(frozen=True)
class Decision:
    """Approve or reject. `by` is the name that the history shows; `username` is checked against the step's approvers.

    A `username` of None is allowed everything: whoever may run commands on the server may decide about every step. If
    `attempt` is set, only a step that waits in that attempt is decided. The comment is `Actor.reason`.
    """

    approved: bool
    by: str
    username: str | None = None
    attempt: int | None = None

    @property
    def verb(self) -> str:
        """The verb under which the history shows the decision."""
        return APPROVE if self.approved else REJECT


def decide(step_keys: Sequence[StepKey], *, decision: Decision, actor: Actor) -> frozenset[StepKey]:
    """Approve or reject steps that wait for approval, and return those that this call decided."""
    with transaction.atomic():
        waiting = _lock_waiting(step_keys)
        meant = [one for one in waiting if decision.attempt in (None, one.attempt)]
        allowed = [one for one in meant if _may(question(one.version_id, one.step, one.config), decision.username)]
        payload: Json = {"approved": decision.approved, "by": decision.by, "comment": actor.reason}
        signals.wake(allowed, dict.fromkeys((one.run.id for one in allowed), payload))
        interventions.write(decision.verb, _details(allowed, decision=decision, actor=actor), actor=actor)
    return frozenset((one.run.id, one.step, one.item) for one in allowed)


def pending(rows: QuerySet[StepRun]) -> QuerySet[StepRun]:
    """Narrow the rows to steps that wait for approval.

    Index step_run_signal, or run_live if the workspace has few runs.
    """
    live = sorted(state.value for state in RUN_LIVE)
    return rows.filter(state=StepState.WAITING.value, signal=SIGNAL, signal_key__isnull=True, run__state__in=live)


def question(version_id: UUID, step: str, config: Json) -> ApprovalConfig | None:
    """Return what an approval step asks and who may approve, from its row's `config`.

    None if the version does not have the step, or not as an approval, as this code reads it.
    """
    planned = plans.load(version_id).steps.get(step)
    if planned is None:
        return None
    try:
        found = accepted(planned, planned.template if config is None else config)
    except ActionError:
        return None
    return found if isinstance(found, ApprovalConfig) else None


def asked(row: StepRun) -> ApprovalConfig | None:
    """As question, for a row that waits for approval and has its run loaded."""
    return question(row.run.version_id, row.step, row.config)


def may_decide(row: StepRun, username: str | None) -> bool:
    """Whether the user is one of the step's approvers, or the step names none."""
    return _may(asked(row), username)


def deciders(row: StepRun) -> str:
    """Return who may decide about a step that not everybody may decide about, for a message."""
    config = asked(row)
    if config is None:
        return "users of the commands approve_step and reject_step, as its config cannot be read"
    return ", ".join(config.approvers)


def cannot_decide(row: StepRun | None, *, step: str, username: str | None) -> str:
    """Return why a decision about this step changed nothing. `row` is None for a step that has not begun."""
    if row is None:
        return f"step {step!r} has not begun to wait for approval"
    if row.signal != SIGNAL:
        return f"step {step!r} is {row.state} and asks nobody; only a step that waits for approval can be decided"
    if row.state == StepState.WAITING:
        return f"{username!r} may not decide about step {step!r}; those who may are {deciders(row)}"
    found = decided(row)
    if found is None:
        return f"step {step!r} waits no more: it is {row.state}"
    return f"step {step!r} is decided already: {found.verb} by {who(found)}, {to_minute(found.at)}"


def decided(row: StepRun) -> Intervention | None:
    """Return the newest decision about the step, or None."""
    of_run = Intervention.objects.filter(run_id=row.run_id, verb__in=(APPROVE, REJECT))
    return of_run.filter(details__steps__contains=[row.step]).select_related("by").order_by("-id").first()


def who(one: Intervention) -> str:
    """Return who decided, as a name to show."""
    if one.by is not None:
        return one.by.get_username()
    via = one.details.get("via") if isinstance(one.details, dict) else None
    return str(via) if via else COMMAND


def _lock_waiting(step_keys: Sequence[StepKey]) -> list[Wait]:
    """Lock the runs, then return those of the steps that wait for approval."""
    runs = [step_key[0] for step_key in step_keys]
    run(signal_queries.LOCK_RUNS, runs=runs)
    found = run(
        signal_queries.WAITING_AT,
        runs=runs,
        steps=[step_key[1] for step_key in step_keys],
        items=[step_key[2] for step_key in step_keys],
        name=SIGNAL,
    )
    return [waits.read(row) for row in found]


def _details(decided: Sequence[Wait], *, decision: Decision, actor: Actor) -> dict[UUID, dict[str, Json]]:
    """Return the details of each run's intervention: the steps and, if no user is logged in, `via`."""
    steps: dict[UUID, list[Json]] = {}
    for one in decided:
        steps.setdefault(one.run.id, []).append(one.step)
    via: dict[str, Json] = {"via": decision.by} if actor.user_id is None else {}
    return {run_id: {"steps": names, **via} for run_id, names in steps.items()}


def _may(config: ApprovalConfig | None, username: str | None) -> bool:
    """Whether the user may decide. Where nobody can tell who may, only a command can: its user is None."""
    if username is None or config is None:
        return username is None
    return not config.approvers or username in config.approvers
