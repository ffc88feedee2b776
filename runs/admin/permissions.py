"""Who may press which button; workflows.workspaces.permissions decides."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from workflows.workspaces import permissions
from workflows.workspaces.permissions import Right, Way

START = permissions.way("admin: start a run", Right.START)
CHANGE_RUNS = permissions.way("admin: change runs", Right.CHANGE_RUNS)
ARCHIVE = permissions.way("admin: archive workflows", Right.PUBLISH)
CHANGE_DEAD_LETTERS = permissions.way("admin: change dead letters", Right.CHANGE_DEAD_LETTERS)


def may_start(request: Any) -> bool:
    """Whether this user may start runs."""
    return _may(request, START)


def may_change_run(request: HttpRequest) -> bool:
    """Whether this user may cancel, retry, replay and decide approvals."""
    return _may(request, CHANGE_RUNS)


def may_change_dead_letter(request: HttpRequest) -> bool:
    """Whether this user may retry and discard dead letters."""
    return _may(request, CHANGE_DEAD_LETTERS)


def sees_secrets(request: HttpRequest) -> bool:
    """Whether this user is shown the secrets in configs."""
    return permissions.sees_secrets(permissions.at_admin(request.user))


def require(request: HttpRequest, way: Way) -> None:
    """Raises PermissionDenied, which is answered with 403, where this user may not."""
    try:
        permissions.require(permissions.at_admin(request.user), way)
    except permissions.Forbidden as error:
        raise PermissionDenied(str(error)) from None


def _may(request: HttpRequest, way: Way) -> bool:
    return permissions.may(permissions.at_admin(request.user), way)
