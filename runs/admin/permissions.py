"""Who may press which button."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest


def may_start(request: Any) -> bool:
    """Whether this user may start runs."""
    return bool(request.user.has_perm("runs.add_run")) and admin.site.has_permission(request)


def may_change_run(request: HttpRequest) -> bool:
    """Whether this user may cancel, retry and replay."""
    return bool(request.user.has_perm("runs.change_run"))


def require_change_run(request: HttpRequest) -> None:
    """Raises PermissionDenied, which answers 403, where this user may not."""
    if not may_change_run(request):
        raise PermissionDenied("this account may not change runs")


def may_change_dead_letter(request: HttpRequest) -> bool:
    """Whether this user may retry and discard dead letters."""
    return bool(request.user.has_perm("runs.change_deadletter"))
