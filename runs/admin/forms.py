"""The forms of the admin's verbs: a reason, and what a retry or a replay is given."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from django import forms
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from actions.base import Json
from actions.catalogue.wait_for_signal import signal_name
from workflows.admin.fields import JsonField


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
    """From where, with which version, with which input. Steps are typed, with suggestions, where there are too many."""

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
        label="Input of the run (JSON)",
        rows=14,
        required=False,
        help_text="It begins with the input of the old run. Empty: the same.",
    )
    field_order = ("step", "version", "input", "why")

    def choose_from(self, steps: Sequence[tuple[str, str]]) -> None:
        """Make the step a select of these (step, title)."""
        self.fields["step"] = forms.ChoiceField(
            label="From step",
            required=False,
            choices=[("", "the beginning"), *steps],
            widget=UnfoldAdminSelectWidget(),
            help_text="Steps before it keep what they did in the old run.",
        )
        self.order_fields(self.field_order)


def as_json(value: Json) -> str:
    """The whole value as indented JSON, to be edited."""
    return json.dumps(value, indent=2, ensure_ascii=False)


CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f]")


class StartForm(forms.Form):
    """What a run is started with."""

    input = JsonField(label="Input (JSON)", rows=12, initial="{}")
    idempotency_key = forms.CharField(
        required=False,
        max_length=255,
        widget=UnfoldAdminTextInputWidget(),
        help_text="Starting again with a key that was used before shows the first run.",
    )
    labels = forms.CharField(
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "placeholder": "team=shop"}),
        help_text="One key=value on each line.",
    )

    priority = forms.IntegerField(
        required=False,
        min_value=-100,
        max_value=100,
        widget=UnfoldAdminIntegerFieldWidget(),
        help_text="-100 to 100, higher ones begin first; empty: the definition's.",
    )

    def clean_idempotency_key(self) -> str | None:
        """The key, None where it is empty."""
        key: str = self.cleaned_data["idempotency_key"]
        if CONTROL_CHARACTERS.search(key):
            raise forms.ValidationError("must have no control characters")
        return key or None

    def clean_labels(self) -> dict[str, str]:
        """The labels by their keys."""
        found = {}
        for line in filter(None, (line.strip() for line in self.cleaned_data["labels"].splitlines())):
            key, equals, value = (part.strip() for part in line.partition("="))
            if not (key and equals) or len(key) > 63 or len(value) > 255:
                raise forms.ValidationError(f"{line[:80]!r} must be written as key=value")
            found[key] = value
        return found


class SignalForm(forms.Form):
    """What is sent, and under which name."""

    name = forms.CharField(label="Name", max_length=100, widget=UnfoldAdminTextInputWidget())
    payload = JsonField(
        label="Payload (JSON)", rows=8, required=False, help_text="The step's output has it as `payload`. Empty: null."
    )

    def clean_name(self) -> str:
        """The name, if a signal may bear it."""
        try:
            return signal_name(self.cleaned_data["name"])
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None
