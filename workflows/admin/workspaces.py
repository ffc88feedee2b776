"""The admin's pages for workspaces and API tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import Field
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.timesince import timeuntil
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from workflows.admin.base import AsksPermissions
from workflows.models import ApiToken, Scope, Workspace
from workflows.models.workspaces import new_scopes
from workflows.workspaces import permissions, tokens

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    # Unfold ships no type hints; its classes extend Django's and change their look only.
    ModelAdmin = admin.ModelAdmin[Any]
else:
    from unfold.admin import ModelAdmin

# So many tokens are named on the page of tokens.
_MOST_NAMED = 10


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
    """A new token is shown once, when it is created; later its name, scopes and end can be changed.

    Whoever is no superuser makes, changes and deletes tokens of their own only, and gives them scopes only for what
    Django's permissions let them do at the admin, too.
    """

    list_display = ("name", "prefix", "workspace", "user", "scope_names", "last_used_at", "expires_at", "remaining")
    list_select_related = ("workspace", "user")
    list_filter = ("workspace",)
    fields = ("workspace", "user", "name", "scopes", "expires_at")

    @admin.display(description="scopes")
    def scope_names(self, obj: ApiToken) -> str:
        """The scopes in one line."""
        return ", ".join(obj.scopes)

    @admin.display(description="remaining")
    def remaining(self, obj: ApiToken) -> str:
        """How long the token is still valid."""
        if obj.expires_at is None:
            return "never ends"
        return "has ended" if obj.expires_at <= timezone.now() else f"ends in {timeuntil(obj.expires_at)}"

    def has_change_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        return super().has_change_permission(request, obj) and _is_own(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        return super().has_delete_permission(request, obj) and _is_own(request, obj)

    def get_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> tuple[str, ...]:
        """Without the user where there is no choice: a new token is one's own."""
        if obj is None and not getattr(request.user, "is_superuser", False):
            return tuple(name for name in self.fields if name != "user")
        return self.fields

    def get_readonly_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> tuple[str, ...]:
        return ("workspace", "user") if obj else ()

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """A new token has the usual scopes and ends after a year, unless the form says otherwise."""
        usual = {"scopes": new_scopes(), "expires_at": tokens.end_after()}
        return {**usual, **super().get_changeform_initial_data(request)}

    def formfield_for_dbfield(self, db_field: Field[Any, Any], request: HttpRequest, **options: Any) -> Any:
        if db_field.name != "scopes":
            return super().formfield_for_dbfield(db_field, request, **options)
        help_text = "None includes another: whoever starts runs and reads them needs both."
        widget = UnfoldAdminCheckboxSelectMultipleWidget()
        return forms.MultipleChoiceField(choices=Scope.choices, widget=widget, help_text=help_text)

    def get_form(self, request: HttpRequest, obj: ApiToken | None = None, change: bool = False, **options: Any) -> Any:
        """The form; of the scopes, only those that the user may give, and those that the token has."""
        form = super().get_form(request, obj, change=change, **options)
        field = form.base_fields.get("scopes")
        if isinstance(field, forms.MultipleChoiceField):
            kept = obj.scopes if obj else []
            field.choices = [
                (scope, label)
                for scope, label in Scope.choices
                if scope in kept or permissions.may_give(request.user, scope)
            ]
        return form

    def save_model(self, request: HttpRequest, obj: ApiToken, form: forms.ModelForm[ApiToken], change: bool) -> None:
        if not change and "user" not in form.fields:
            obj.user = cast("User", request.user)
        plaintext = None if change else tokens.give_secret(obj)
        super().save_model(request, obj, form, change)
        if plaintext is not None:
            text = format_html("Copy this token now, it is not shown again: <code>{}</code>", plaintext)
            messages.warning(request, text)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list, and a warning that names the tokens that end soon."""
        ending = tokens.ending_soon()
        named = [
            f"{token.name} ({token.prefix}…) in {timeuntil(token.expires_at)}"
            for token in ending[:_MOST_NAMED]
            if token.expires_at is not None
        ]
        if named and self.has_view_permission(request):
            more = ending.count() - len(named)
            rest = f", and {more} more" if more else ""
            messages.warning(request, f"These tokens end soon; make new ones for them: {', '.join(named)}{rest}.")
        return super().changelist_view(request, extra_context)


def _is_own(request: HttpRequest, token: ApiToken | None) -> bool:
    """Whether the user may change this token: one's own, or any for a superuser. None stands for the list."""
    return token is None or bool(getattr(request.user, "is_superuser", False)) or token.user_id == request.user.pk
