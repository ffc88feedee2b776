"""What every page of the admin shares: it asks workflows.workspaces.permissions who may see and change its rows."""

from __future__ import annotations

from typing import Any

from django.db.models import Model
from django.http import HttpRequest

from workflows.workspaces.permissions import may_at_admin


class AsksPermissions:
    """Put before ModelAdmin, whose own questions it answers."""

    model: type[Model]

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether the user may look at the rows."""
        return may_at_admin(request.user, "view", self.model)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Whether the user may add a row."""
        return may_at_admin(request.user, "add", self.model)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether the user may change the row."""
        return may_at_admin(request.user, "change", self.model)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether the user may delete the row."""
        return may_at_admin(request.user, "delete", self.model)
