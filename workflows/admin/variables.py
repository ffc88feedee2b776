"""The admin's page for the variables of workspaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import Model
from django.db.models.functions import Now
from django.http import HttpRequest

from workflows.admin.base import AsksPermissions
from workflows.models import Variable
from workflows.workspaces import variables
from workflows.workspaces.variables import NotAVariable

if TYPE_CHECKING:
    # Unfold ships no type hints; its classes extend Django's and change their look only.
    ModelAdmin = admin.ModelAdmin[Any]
    _ModelForm = forms.ModelForm[Variable]
else:
    from unfold.admin import ModelAdmin

    _ModelForm = forms.ModelForm


class VariableForm(_ModelForm):
    """The value is JSON: a text stands in quotes."""

    class Meta:
        model = Variable
        fields = ("workspace", "name", "value")
        help_texts: ClassVar = {
            "value": 'JSON: "eu-central", 5, true, ["a", "b"]',
            "name": "Expressions read it as vars.name.",
        }

    def clean(self) -> dict[str, Any]:
        """Refuse what no variable may be, at the field that it is about."""
        given = super().clean() or self.cleaned_data
        workspace = given.get("workspace") or getattr(self.instance, "workspace", None)
        name = given.get("name") or self.instance.name
        if "value" not in given or workspace is None or not name:
            return given
        try:
            self.instance.kind = variables.check(name, given["value"])
            variables.room_for(workspace, name)
        except NotAVariable as error:
            self.add_error(error.field if error.field in self.fields else None, str(error))
        return given


@admin.register(Variable)
class VariableAdmin(AsksPermissions, ModelAdmin):
    form = VariableForm
    list_display = ("name", "kind", "shown", "workspace", "updated_at")
    list_select_related = ("workspace",)
    list_filter = ("workspace",)
    search_fields = ("name",)

    @admin.display(description="value")
    def shown(self, obj: Variable) -> str:
        """The beginning of the value."""
        text = str(obj.value)
        return text if len(text) <= 80 else f"{text[:80]}..."

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        """Definitions read a variable by its name, so a variable keeps it."""
        return ("workspace", "name") if obj else ()

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.updated_at = Now()
        super().save_model(request, obj, form, change)
        obj.refresh_from_db()
