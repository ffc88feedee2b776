"""The admin's pages for workspaces and API tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import admin, messages
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.html import format_html

from workflows.admin.base import AsksPermissions
from workflows.models import ApiToken, Workspace
from workflows.workspaces import tokens

if TYPE_CHECKING:
    # Unfold ships no type hints; its classes extend Django's and change their look only.
    ModelAdmin = admin.ModelAdmin[Any]
else:
    from unfold.admin import ModelAdmin


@admin.register(Workspace)
class WorkspaceAdmin(AsksPermissions, ModelAdmin):
    list_display = ("name", "concurrent_runs", "runs_per_minute", "keep_days", "created_at")
    search_fields = ("name",)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Offer a limit for a new workspace, so that a flood of its runs leaves room for other workspaces."""
        return {
            "concurrent_runs": settings.DEFAULT_CONCURRENT_RUNS or None,
            **super().get_changeform_initial_data(request),
        }


@admin.register(ApiToken)
class ApiTokenAdmin(AsksPermissions, ModelAdmin):
    """A new token is shown once, when it is created; later only its name and expiry can be changed."""

    list_display = ("name", "prefix", "workspace", "user", "created_at", "expires_at")
    list_select_related = ("workspace", "user")
    list_filter = ("workspace",)
    fields = ("workspace", "user", "name", "expires_at")

    def get_readonly_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> tuple[str, ...]:
        return ("workspace", "user") if obj else ()

    def save_model(self, request: HttpRequest, obj: ApiToken, form: ModelForm[ApiToken], change: bool) -> None:
        plaintext = None if change else tokens.give_secret(obj)
        super().save_model(request, obj, form, change)
        if plaintext is not None:
            text = format_html("Copy this token now, it is not shown again: <code>{}</code>", plaintext)
            messages.warning(request, text)
