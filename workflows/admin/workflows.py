"""The admin's pages for workflows, with the steps of their drafts, and for versions."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import Field, JSONField, QuerySet, TextField
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.safestring import SafeString

from actions import described, registry
from actions.base import Json
from workflows.admin.base import AsksPermissions
from workflows.admin.fields import StrictJson
from workflows.definitions.definition import Definition
from workflows.definitions.errors import DefinitionError
from workflows.definitions.names import name_fault
from workflows.definitions.secrets import masked, masked_definition
from workflows.formats.export import export_yaml
from workflows.models import Step, Version, Workflow
from workflows.publishing.names import renamed, taken
from workflows.publishing.publish import publish_draft
from workflows.workspaces.permissions import at_admin, sees_secrets

if TYPE_CHECKING:
    # Unfold ships no type hints; its classes extend Django's and change their look only.
    ModelAdmin = admin.ModelAdmin[Any]
    StackedInline = admin.StackedInline[Step, Workflow]
    ModelForm = forms.ModelForm[Workflow]
else:
    from django.forms import ModelForm
    from unfold.admin import ModelAdmin, StackedInline

_PUBLISH_BUTTON = "workflows_workflow_publish_draft"
# What stands in the place of a step's fields for those who may not edit the workflow.
_MASKED = {"config": "masked_config", "more": "masked_more"}
_STRICT_JSON: dict[type[Field[Any, Any]], dict[str, Any]] = {JSONField: {"form_class": StrictJson}}


class ArchivedFilter(admin.SimpleListFilter):
    """Archived workflows are left out of the list unless they are asked for."""

    title = "archived"
    parameter_name = "archived"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "archived only"), ("all", "all")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Workflow]) -> QuerySet[Workflow]:
        """Only those of the list: a workflow's own page shows it in any case."""
        value = self.value()
        return queryset if value == "all" else queryset.filter(archived_at__isnull=value != "yes")


class WorkflowForm(ModelForm):
    """A workflow's own fields. The workspace is no field of an existing one, so Django would not compare its name.

    The name counts at once, also where the draft is not published.
    """

    def clean_name(self) -> str:
        """Return the name. Refuse a new one that cannot stand in an address, and one that another workflow has.

        Archived workflows do not count.
        """
        name: str = self.cleaned_data["name"]
        fault = name_fault(name) if "name" in self.changed_data else None
        if fault is not None:
            raise forms.ValidationError(f"{name} {fault}.")
        workspace = self.cleaned_data.get("workspace") or self.instance.workspace_id
        others = Workflow.objects.filter(workspace=workspace, name=name, archived_at=None).exclude(pk=self.instance.pk)
        if workspace is not None and others.exists():
            raise forms.ValidationError(f"another workflow of the workspace is named {name!r}; rename that one first")
        return name


class StepInline(StackedInline):
    """The steps of a draft, in their order."""

    model = Step
    extra = 0
    per_page = 50
    ordering_field = "position"
    formfield_overrides = _STRICT_JSON
    # Two fields per line: the theme's lines are too narrow for more.
    fields = (
        ("key", "action"),
        ("label", "position"),
        "takes",
        "config",
        ("needs", "join"),
        ("condition", "on_error"),
        ("timeout", "retry"),
        "more",
    )

    def get_fields(self, request: HttpRequest, obj: Workflow | None = None) -> Any:
        """Show the config with its secrets masked to those who may not edit it."""
        if sees_secrets(at_admin(request.user)):
            return self.fields
        return tuple(_MASKED.get(field, field) if isinstance(field, str) else field for field in self.fields)

    def get_readonly_fields(self, request: HttpRequest, obj: Workflow | None = None) -> tuple[str, ...]:
        return ("takes", *(() if sees_secrets(at_admin(request.user)) else _MASKED.values()))

    @admin.display(description="the action takes")
    def takes(self, step: Step) -> SafeString:
        """What the step's action is for, and the fields of its config."""
        return format_html("<div style='white-space: pre-wrap'>{}</div>", _takes(step.action))

    @admin.display(description="config")
    def masked_config(self, step: Step) -> SafeString:
        return _as_json(masked(step.config))

    @admin.display(description="more")
    def masked_more(self, step: Step) -> SafeString:
        return _as_json(masked(step.more))

    def formfield_for_dbfield(self, db_field: Field[Any, Any], request: HttpRequest, **kwargs: Any) -> Any:
        """Make the text areas small, so that a step fits on a screen; users can drag them larger."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and db_field.name == "action":
            field.help_text = f"One of {', '.join(registry.names())}; docs/actions/ has them all."
        if field is not None and isinstance(db_field, (JSONField, TextField)):
            field.widget.attrs["rows"] = 4 if db_field.name == "config" else 2
        return field


@admin.register(Workflow)
class WorkflowAdmin(AsksPermissions, ModelAdmin):
    """Editing changes the draft; `publish_draft` makes a version from it, which new runs then use."""

    form = WorkflowForm
    list_display = ("name", "workspace", "owner", "kind", "current", "paused_at", "created_at")
    list_select_related = ("workspace", "owner", "current")
    list_filter = ("workspace", "kind", ArchivedFilter)
    search_fields = ("name", "description")
    readonly_fields = ("current", "paused_at", "archived_at", "created_at")
    fields = (
        "workspace", "owner", "name", "description", "settings", "keep_days", "current", "paused_at", "archived_at",
        "created_at",
    )  # fmt: skip
    inlines = (StepInline,)
    formfield_overrides = _STRICT_JSON
    actions = ("publish_selected",)
    actions_submit_line = ("publish_draft",)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Workflow | None:
        """Return the workflow of a page; for those who may not edit it, with secrets in its settings masked."""
        workflow: Workflow | None = super().get_object(request, object_id, from_field)
        if workflow is not None and not sees_secrets(at_admin(request.user)):
            workflow.settings = masked_definition(workflow.settings)
        return workflow

    def get_fields(self, request: HttpRequest, obj: Workflow | None = None) -> Any:
        """Leave out what a new workflow does not have yet."""
        return self.fields if obj else tuple(name for name in self.fields if name not in self.readonly_fields)

    def get_readonly_fields(self, request: HttpRequest, obj: Workflow | None = None) -> tuple[str, ...]:
        """A workflow cannot move to another workspace, because its runs could not follow."""
        return (*self.readonly_fields, "workspace") if obj else self.readonly_fields

    def has_change_permission(self, request: HttpRequest, obj: Workflow | None = None) -> bool:
        """Nobody edits the workflow that holds a workspace's jobs, or one that is archived."""
        fixed = obj is not None and (obj.kind == Workflow.Kind.JOBS or obj.archived_at is not None)
        return not fixed and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Workflow | None = None) -> bool:
        """Deleting is a verb with a page of its own, which says what keeps a workflow."""
        return False

    @admin.action(description="Save and publish")
    def publish_draft(self, request: HttpRequest, obj: Workflow) -> None:
        """Do nothing: unfold needs the method for the button. `save_related` publishes, once the steps are saved."""

    def save_model(self, request: HttpRequest, obj: Workflow, form: Any, change: bool) -> None:
        """Keep the old name of a workflow that is renamed, and say who uses it. A new name is no alias any more."""
        old = Workflow.objects.values_list("name", flat=True).get(pk=obj.pk) if change else None
        super().save_model(request, obj, form, change)
        if old is None:
            taken(obj.name, workspace=obj.workspace_id)
        elif old != obj.name:
            messages.info(request, renamed(obj, old=old))

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if _PUBLISH_BUTTON in request.POST:
            _publish(request, form.instance)

    def response_change(self, request: HttpRequest, obj: Workflow) -> HttpResponse:
        """After publishing, stay on the page: here the user corrects a refused draft, or starts a run."""
        response = super().response_change(request, obj)
        return HttpResponseRedirect(request.get_full_path()) if _PUBLISH_BUTTON in request.POST else response

    @admin.action(description="Publish the drafts", permissions=["change"])
    def publish_selected(self, request: HttpRequest, queryset: QuerySet[Workflow]) -> None:
        for workflow in queryset.filter(kind=Workflow.Kind.WORKFLOW):
            _publish(request, workflow)


@admin.register(Version)
class VersionAdmin(AsksPermissions, ModelAdmin):
    """Versions are read only: the database refuses to change them."""

    list_display = ("workflow", "number", "short_hash", "created_at", "created_by")
    list_select_related = ("workflow", "created_by")
    list_filter = ("workflow__workspace",)
    search_fields = ("workflow__name", "hash")
    ordering = ("-id",)
    fields = ("workflow", "number", "hash", "created_at", "created_by", "yaml")
    readonly_fields = fields

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Version | None:
        """Return the version of a page, with secrets masked for those who may not edit it. It is never saved."""
        version: Version | None = super().get_object(request, object_id, from_field)
        if version is not None and not sees_secrets(at_admin(request.user)):
            version.definition = masked_definition(version.definition)
        return version

    @admin.display(description="hash")
    def short_hash(self, version: Version) -> str:
        return version.hash[:12]

    @admin.display(description="definition")
    def yaml(self, version: Version) -> SafeString:
        return format_html("<pre>{}</pre>", export_yaml(Definition.model_validate(version.definition)))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Version]:
        """Leave the definition out of lists, as it may be large."""
        versions: QuerySet[Version] = super().get_queryset(request)
        return versions if request.resolver_match and request.resolver_match.kwargs else versions.defer("definition")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Version | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Version | None = None) -> bool:
        return False


@lru_cache(maxsize=256)
def _takes(name: str) -> str:
    """Return what an action is for, and its config's fields, as lines; for an unknown name, what is wrong with it."""
    try:
        action = registry.get(name)
    except registry.UnknownAction as error:
        return str(error) if name else "Choose an action, and save."
    lines = [line.replace("`", "") for line in described.fields(described.as_json(action)["config"], required=True)]
    return "\n".join([f"{action.name}: {action.summary}", *lines])


def _as_json(value: Json) -> SafeString:
    return format_html("<pre>{}</pre>", json.dumps(value, indent=2, ensure_ascii=False))


def _publish(request: HttpRequest, workflow: Workflow) -> None:
    """Publish the draft, and show the new version, or each problem with its path, as a message."""
    try:
        published = publish_draft(workflow, by=cast(User, request.user))
    except DefinitionError as error:
        for problem in error.problems[:20]:
            messages.error(request, f"{workflow.name}: {problem}")
        return
    done = "is published" if published.version_created else "had this content already"
    messages.success(request, f"{workflow.name}: {published.version} {done}")
    for warning in published.warnings:
        messages.warning(request, f"{workflow.name}: {warning}")
