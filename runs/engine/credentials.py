"""Perform a step that reaches outside with its credentials: open those that its definition names, and no others."""

from __future__ import annotations

from types import CoroutineType
from typing import Any, Protocol
from uuid import UUID

from actions import network
from actions.base import Json, Park, Permanent, Spawn
from actions.credentials import Credential
from runs.engine import event_loop
from runs.engine.config import fitted, rendered
from runs.engine.thread_pool import borrowed_connection
from runs.planning.steps import PlannedStep
from workflows.credentials import kinds, uses, vault

KIND = vault.KIND


class Attempt(Protocol):
    """What is needed of the attempt's context."""

    @property
    def scope(self) -> dict[str, Json]: ...

    def opened_for_config(self, name: str) -> Credential: ...


def opened(step: PlannedStep, name: str) -> Credential:
    """Open a credential that the step's config names as written. Raises Permanent for any other."""
    if name not in step.config.credentials:
        raise Permanent(
            f"step {step.id!r}: credential {name[:100]!r} is not named in the definition; write its name into `with` "
            "as it is, not as an expression and not in a payload",
            kind=KIND,
        )
    workspace = _workspace(step)
    found = vault.kept(workspace, name)
    if found is None:
        with borrowed_connection():
            found = vault.opened(workspace, name)
    uses.note(UUID(found.id), flush=borrowed_connection)
    return found


def bind(credential: Credential) -> None:
    """Hold the attempt's requests to the places where the credential may be sent; a signing secret is never sent."""
    if kinds.is_sent(credential.kind):
        network.bind(credential)


def perform(step: PlannedStep, context: Any, used: Json, *, given: Json) -> Json | Park | Spawn:
    """Call the action. Values of `{{ secrets.x.y }}` are put in now, when all that is recorded has been rendered."""
    with network.sending(str(step.workspace_id or "")):
        if step.config.secrets:
            used = rendered(step, {**context.scope, "secrets": _values(step, context)}, given=given)
        answer: Any = step.action.perform(fitted(step, used), context)
        if isinstance(answer, CoroutineType):
            answer = event_loop.perform(answer, step=step.id, timeout_seconds=step.timeout_seconds)
        found: Json | Park | Spawn = answer
        return found


def _values(step: PlannedStep, context: Attempt) -> dict[str, Json]:
    found: dict[str, dict[str, Json]] = {}
    for name, key in step.config.secrets:
        credential = context.opened_for_config(name)
        if key not in credential.values:
            known = ", ".join(sorted(credential.values))
            raise Permanent(f"step {step.id!r}: credential {name!r} has no field {key!r}; it has {known}", kind=KIND)
        network.bind(credential)
        found.setdefault(name, {})[key] = credential.values[key]
    return {**found}


def _workspace(step: PlannedStep) -> UUID:
    if step.workspace_id is None:
        raise Permanent(f"step {step.id!r} belongs to no workspace, which has the credentials", kind=KIND)
    return step.workspace_id
