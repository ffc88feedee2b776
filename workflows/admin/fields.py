"""Form fields of the admin that take what the database can hold, and say what is wrong with the rest."""

from __future__ import annotations

from typing import Any

from django import forms
from django.forms.fields import InvalidJSONInput
from unfold.widgets import UnfoldAdminTextareaWidget

from actions import payload
from actions.base import Json


class StrictJson(forms.JSONField):
    """JSON as the API reads it: no NaN, NUL, lone surrogates, integers beyond 64 bits, or deep nesting."""

    def to_python(self, value: Any) -> Any:
        """The value. The error names the place in the JSON."""
        if isinstance(value, str) and value.strip():
            try:
                payload.loads(value)
            except payload.PayloadError as error:
                raise _refused(error) from None
        return super().to_python(value)

    def bound_data(self, data: Any, initial: Any) -> Any:
        """What the form shows again: the author's own text where it is refused."""
        try:
            payload.loads(data or "null")
        except payload.PayloadError:
            return InvalidJSONInput(data)
        return super().bound_data(data, initial)


class JsonField(forms.CharField):
    """A value written as JSON; None where it is empty and need not be given. An error names the place."""

    def __init__(
        self, *, label: str, rows: int, required: bool = True, help_text: str = "", initial: str | None = None
    ) -> None:
        widget = UnfoldAdminTextareaWidget(attrs={"rows": rows, "spellcheck": "false", "class": "font-mono"})
        super().__init__(
            label=label, widget=widget, strip=False, required=required, help_text=help_text, initial=initial
        )

    def clean(self, value: str | None) -> Json:
        """The value. Raises ValidationError."""
        text = super().clean(value)
        if not self.required and not text.strip():
            return None
        try:
            return payload.loads(text)
        except payload.PayloadError as error:
            raise _refused(error) from None


def _refused(error: payload.PayloadError) -> forms.ValidationError:
    where = f"{error.path}: " if error.path else ""
    return forms.ValidationError(f"{where}{error}")
