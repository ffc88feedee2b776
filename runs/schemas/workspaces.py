"""The JSON of a workspace's settings and of API tokens in responses."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from runs.schemas.base import Shape
from workflows.models import ApiToken, Workspace


class WorkspaceShape(Shape):
    """A workspace and its settings.

    `concurrent_runs` is how many runs may be running at once, `runs_per_minute` how many may begin within any minute;
    null: no limit. Runs are kept for `keep_days` days after their end; null: for ever. The `alert_workflow` is started
    for every new dead letter; null: none.
    """

    id: UUID
    name: str
    concurrent_runs: int | None
    runs_per_minute: int | None
    keep_days: int | None
    alert_workflow: str | None
    alert_workflow_id: UUID | None
    created_at: datetime


class TokenShape(Shape):
    """An API token; only its first characters, `prefix`, are known. `expires_at` is null if it never ends.

    `last_used_at` is written once a minute at most.
    """

    id: int
    name: str
    prefix: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class TokenMade(TokenShape):
    """A new API token. `token` is the token itself, which is never shown again."""

    token: str


def workspace(found: Workspace) -> WorkspaceShape:
    """Return a workspace; its alert workflow should be loaded."""
    alert = found.alert_workflow
    return WorkspaceShape(
        id=found.pk,
        name=found.name,
        concurrent_runs=found.concurrent_runs,
        runs_per_minute=found.runs_per_minute,
        keep_days=found.keep_days or None,
        alert_workflow=alert.name if alert else None,
        alert_workflow_id=alert.pk if alert else None,
        created_at=found.created_at,
    )


def token(found: ApiToken) -> TokenShape:
    """Return a token without its secret."""
    return TokenShape.model_validate({name: getattr(found, name) for name in TokenShape.model_fields})


def made(found: ApiToken, plaintext: str) -> TokenMade:
    """Return a new token with its secret."""
    return TokenMade(**dict(token(found)), token=plaintext)
