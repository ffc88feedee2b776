"""The forms of the admin's verbs: a reason, and what a retry or a replay is given."""

from __future__ import annotations

import json

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from actions import payload
from actions.base import Json

_CODE = {"spellcheck": "false", "class": "font-mono"}


class JsonField(forms.CharField):
    """A value written as JSON; None where it is empty and need not be given. An error names the place."""

    def __init__(self, *, label: str, rows: int, required: bool = True, help_text: str = "") -> None:
        widget = UnfoldAdminTextareaWidget(attrs={"rows": rows, **_CODE})
        super().__init__(label=label, widget=widget, strip=False, required=required, help_text=help_text)

    def clean(self, value: str | None) -> Json:
        """The value. Raises ValidationError."""
        text = super().clean(value)
        if not text.strip():
            return None
        try:
            return payload.loads(text)
        except payload.PayloadError as error:
            where = f"{error.path}: " if error.path else ""
            raise forms.ValidationError(f"{where}{error}") from None


class WhyForm(forms.Form):
    """Why; it may be left out."""

    why = forms.CharField(
        label="Reason",
        required=False,
        max_length=2000,
        widget=UnfoldAdminTextInputWidget(),
        help_text="It is kept with the run.",
    )


class ReasonForm(forms.Form):
    """Why; it must be told."""

    why = forms.CharField(
        label="Reason",
        max_length=2000,
        widget=UnfoldAdminTextInputWidget(),
        help_text="It is kept with the dead letter and the run.",
    )


class EditedRetryForm(WhyForm):
    """The step's new input; the form begins with the old one."""

    input = JsonField(label="Input of the step (JSON)", rows=14)
    field_order = ("input", "why")


class ReplayForm(WhyForm):
    """From where, with which version, with which input."""

    step = forms.CharField(
        label="From step",
        required=False,
        max_length=64,
        widget=UnfoldAdminTextInputWidget(attrs={"list": "steps", "autocomplete": "off"}),
        help_text="Empty: from the beginning. Steps before it keep what they did in the old run.",
    )
    version = forms.ChoiceField(
        choices=[("same", "the version of this run"), ("latest", "the workflow's current version")],
        widget=UnfoldAdminSelectWidget(),
    )
    input = JsonField(
        label="Input of the run (JSON)", rows=8, required=False, help_text="Empty: the input of the old run."
    )
    field_order = ("step", "version", "input", "why")


def as_json(value: Json) -> str:
    """The whole value as indented JSON, to be edited."""
    return json.dumps(value, indent=2, ensure_ascii=False)
