"""Form fields of the admin that take what the database can hold, and say what is wrong with the rest."""

from __future__ import annotations

from typing import Any

from django import forms
from django.forms.fields import InvalidJSONInput

from actions import payload


class StrictJson(forms.JSONField):
    """JSON as the API reads it: no NaN, NUL, lone surrogates, integers beyond 64 bits, or deep nesting."""

    def to_python(self, value: Any) -> Any:
        """The value. The error names the place in the JSON."""
        if isinstance(value, str) and value.strip():
            try:
                payload.loads(value)
            except payload.PayloadError as error:
                where = f"{error.path}: " if error.path else ""
                raise forms.ValidationError(f"{where}{error}") from None
        return super().to_python(value)

    def bound_data(self, data: Any, initial: Any) -> Any:
        """What the form shows again: the author's own text where it is refused."""
        try:
            payload.loads(data or "null")
        except payload.PayloadError:
            return InvalidJSONInput(data)
        return super().bound_data(data, initial)
