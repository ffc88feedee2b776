"""JSON form fields for the admin. They refuse JSON that PostgreSQL cannot store, and say where it is wrong."""

from __future__ import annotations

from typing import Any

from django import forms
from django.forms.fields import InvalidJSONInput
from unfold.widgets import UnfoldAdminTextareaWidget

from actions import payload
from actions.base import Json
from workflows.definitions.secrets import marker_problems


class StrictJson(forms.JSONField):
    """A JSONField as strict as the API: no NaN, NUL, lone surrogates, integers beyond 64 bits, or deep nesting."""

    def to_python(self, value: Any) -> Any:
        """Parse the JSON. Raises ValidationError that names the path of the fault in the JSON."""
        if isinstance(value, str) and value.strip():
            try:
                payload.loads(value)
            except payload.PayloadError as error:
                raise _refused(error) from None
        return super().to_python(value)

    def bound_data(self, data: Any, initial: Any) -> Any:
        """Return what the form shows again: a refused text exactly as the user wrote it."""
        try:
            payload.loads(data or "null")
        except payload.PayloadError:
            return InvalidJSONInput(data)
        return super().bound_data(data, initial)


class JsonField(forms.CharField):
    """A text area with JSON. An optional field that is empty gives None."""

    def __init__(
        self, *, label: str, rows: int, required: bool = True, help_text: str = "", initial: str | None = None
    ) -> None:
        widget = UnfoldAdminTextareaWidget(attrs={"rows": rows, "spellcheck": "false", "class": "font-mono"})
        super().__init__(
            label=label, widget=widget, strip=False, required=required, help_text=help_text, initial=initial
        )

    def clean(self, value: str | None) -> Json:
        """Parse the JSON. Raises ValidationError that names the path of the fault in the JSON."""
        text = super().clean(value)
        if not self.required and not text.strip():
            return None
        try:
            found = payload.loads(text)
        except payload.PayloadError as error:
            raise _refused(error) from None
        if marked := next(marker_problems(found), None):
            raise forms.ValidationError(str(marked))
        return found


def _refused(error: payload.PayloadError) -> forms.ValidationError:
    where = f"{error.path}: " if error.path else ""
    return forms.ValidationError(f"{where}{error}")
