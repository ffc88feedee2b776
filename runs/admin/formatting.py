"""How the dashboard writes states, times, ids and JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import UUID

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from actions.base import Json

# Longer values are cut on the page; the API and `show_run --json` tell them whole.
SHOWN_CHARACTERS = 20_000

# State -> the theme's colour; what is not here is grey.
COLOURS = {
    "succeeded": "success",
    "running": "info",
    "queued": "info",
    "compensating": "info",
    "waiting": "warning",
    "paused": "warning",
    "retrying": "warning",
    "open": "warning",
    "failed": "danger",
}


def colour(state: str) -> str:
    """The theme's name for a state's colour."""
    return COLOURS.get(state, "default")


def moment(value: datetime | None) -> str:
    """A time to the millisecond, in UTC."""
    if value is None:
        return "-"
    return value.astimezone(UTC).isoformat(sep=" ", timespec="milliseconds").replace("+00:00", " UTC")


def short_moment(value: datetime | None) -> SafeString:
    """A time as lists show it, to the second, in UTC; the title has the whole."""
    text = moment(value)
    return format_html('<span class="sw-id" title="{}">{}</span>', text, text[:19])


def json_text(value: Json) -> str:
    """The value as indented JSON, cut where it is very long."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    if len(text) <= SHOWN_CHARACTERS:
        return text
    return f"{text[:SHOWN_CHARACTERS]}\n... cut; {len(text):,} characters in all, the API tells them whole"


def json_block(value: Json) -> SafeString:
    """The value as escaped, indented JSON on a page."""
    return format_html('<pre class="sw-json">{}</pre>', json_text(value))


def run_link(run_id: UUID) -> SafeString:
    """A link to a run's page, by its id."""
    address = reverse("admin:runs_run_change", args=[run_id])
    return format_html('<a class="sw-link" href="{}">{}</a>', address, run_id)


def short_id(key: UUID) -> SafeString:
    """An id as lists show it: how it begins (when it was made) and how it ends; the title has the whole."""
    text = str(key)
    return format_html('<span class="sw-id" title="{}">{}…{}</span>', text, text[:8], text[-4:])


def short_run_link(run_id: UUID) -> SafeString:
    """The same link as lists show it."""
    address = reverse("admin:runs_run_change", args=[run_id])
    return format_html('<a class="sw-link" href="{}">{}</a>', address, short_id(run_id))
