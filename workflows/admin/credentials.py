"""The admin's page for credentials. Their values are typed in, and never shown again, not even in a refused form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from actions import payload
from actions.base import Json
from workflows.admin.base import AsksPermissions
from workflows.credentials import kinds, store
from workflows.credentials.encryption import KeyMissing
from workflows.credentials.store import Wanted
from workflows.definitions.errors import DefinitionError
from workflows.models import Credential

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    ModelAdmin = admin.ModelAdmin[Any]
    CredentialForm = forms.ModelForm[Credential]
else:
    from unfold.admin import ModelAdmin

    CredentialForm = forms.ModelForm

_FIELDS_OF = "; ".join(
    f"{kind.name}: {', '.join(kind.json_schema().get('properties', {'any names': 0}))}" for kind in kinds.KINDS.values()
)


class _Hidden(UnfoldAdminTextareaWidget):
    """A text area that is always empty when a page is shown."""

    def format_value(self, value: Any) -> str:
        """Return nothing, whatever was typed in."""
        return ""


class _Values(forms.CharField):
    """The values of a credential as a JSON object. No message shows them."""

    widget = _Hidden

    def clean(self, value: str | None) -> dict[str, Json]:
        """Parse the JSON. Raises ValidationError."""
        try:
            found = payload.loads(super().clean(value))
        except payload.PayloadError:
            found = None
        if not isinstance(found, dict):
            raise forms.ValidationError('Must be a JSON object, such as {"token": "..."}. Type the values again.')
        return found


class _Form(CredentialForm):
    kind = forms.ChoiceField(
        choices=[(one.name, f"{one.name}: {one.summary}") for one in kinds.KINDS.values()],
        widget=UnfoldAdminSelectWidget,
    )
    where = forms.CharField(
        label="hosts",
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="Where it may be sent, one in each line: api.example.com, api.example.com:8443, *.example.com.",
    )
    values = _Values(
        widget=_Hidden(attrs={"rows": 5, "autocomplete": "off", "spellcheck": "false", "class": "font-mono"}),
        help_text=f"A JSON object; they are encrypted, and never shown again. {_FIELDS_OF}.",
    )

    class Meta:
        model = Credential
        fields = ("workspace", "name", "kind", "requests")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["where"].initial = "\n".join(self.instance.hosts or ())

    def clean(self) -> dict[str, Any]:
        """Check name, kind, values, hosts and rate together, without storing them."""
        found = super().clean() or self.cleaned_data
        if self.errors:
            return found
        try:
            store.check(self.wanted())
        except (DefinitionError, KeyMissing) as error:
            raise forms.ValidationError([str(one) for one in getattr(error, "problems", (error,))]) from None
        return found

    def wanted(self) -> Wanted:
        """Return the credential that the form describes."""
        told, old = self.cleaned_data, self.instance
        return Wanted(
            name=told.get("name") or old.name,
            kind=told.get("kind") or old.kind,
            values=told["values"],
            hosts=told["where"].split(),
            requests=told["requests"],
        )


@admin.register(Credential)
class CredentialAdmin(AsksPermissions, ModelAdmin):
    """Whatever is changed, the values are given anew: else a new host could be given a secret that nobody knows."""

    form = _Form
    list_display = ("name", "workspace", "kind", "hosts", "requests", "created_at", "last_used_at", "uses")
    list_select_related = ("workspace",)
    list_filter = ("workspace", "kind")
    search_fields = ("name",)
    readonly_fields = ("created_at", "changed_at", "last_used_at", "uses", "used_by")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Credential]:
        """Leave out what is encrypted: no page needs it."""
        rows: QuerySet[Credential] = super().get_queryset(request)
        return rows.defer("sealed", "token")

    def get_fields(self, request: HttpRequest, obj: Credential | None = None) -> tuple[str, ...]:
        """The values stand on a page that can be saved only."""
        first = ("workspace", "name", "kind")
        if obj is not None and not self.has_change_permission(request, obj):
            return (*first, "hosts", "requests", *self.readonly_fields)
        return (*first, "where", "requests", "values", *(self.readonly_fields if obj else ()))

    def get_readonly_fields(self, request: HttpRequest, obj: Credential | None = None) -> tuple[str, ...]:
        return ("workspace", "name", "kind", *self.readonly_fields) if obj else ()

    @admin.display(description="used by")
    def used_by(self, row: Credential) -> str:
        """The workflows that refer to it."""
        return store.told(store.referring(row)) or "no workflow"

    def save_model(self, request: HttpRequest, obj: Credential, form: Any, change: bool) -> None:
        if change:
            store.replace(Credential.objects.get(pk=obj.pk), form.wanted())
            return
        made = store.create(form.wanted(), workspace=obj.workspace, by=cast("User", request.user))
        obj.pk = made.pk

    def delete_model(self, request: HttpRequest, obj: Credential) -> None:
        """Delete it, and say who refers to it."""
        if names := store.delete(obj, force=True):
            text = f"{obj.name} was used by {store.told(names)}, whose steps fail from now on."
            messages.warning(request, text)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Credential]) -> None:
        for row in queryset:
            self.delete_model(request, row)
