"""Format states, times, ids and JSON for the admin's pages."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import UUID

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from actions.base import Json

# Longer values are cut on the page; the API and `show_run --json` show them in full.
SHOWN_CHARACTERS = 20_000

# State -> the theme's name of a colour; other states are grey.
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
    """Return the theme's name of a state's colour."""
    return COLOURS.get(state, "default")


def moment(value: datetime | None) -> str:
    """Return a time to the millisecond, in UTC; a dash for None."""
    if value is None:
        return "-"
    return value.astimezone(UTC).isoformat(sep=" ", timespec="milliseconds").replace("+00:00", " UTC")


def short_moment(value: datetime | None) -> SafeString:
    """Return a time for a list, to the second, in UTC; its title (shown on hover) has the milliseconds."""
    text = moment(value)
    return format_html('<span class="sw-id" title="{}">{}</span>', text, text[:19])


def json_text(value: Json) -> str:
    """Return the value as indented JSON, cut after SHOWN_CHARACTERS."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    if len(text) <= SHOWN_CHARACTERS:
        return text
    return f"{text[:SHOWN_CHARACTERS]}\n... cut; {len(text):,} characters in all, the API tells them whole"


def json_block(value: Json) -> SafeString:
    """Return the value as indented, HTML-escaped JSON in a <pre>."""
    return format_html('<pre class="sw-json">{}</pre>', json_text(value))


def run_link(run_id: UUID) -> SafeString:
    """Return a link to a run's page, with the run's id as its text."""
    address = reverse("admin:runs_run_change", args=[run_id])
    return format_html('<a class="sw-link" href="{}">{}</a>', address, run_id)


def short_id(key: UUID) -> SafeString:
    """Return an id for a list: its first 8 and last 4 characters. Its title (shown on hover) has the whole id.

    The first characters of a UUIDv7 are the time of its creation.
    """
    text = str(key)
    return format_html('<span class="sw-id" title="{}">{}…{}</span>', text, text[:8], text[-4:])


def short_run_link(run_id: UUID) -> SafeString:
    """Return a link to a run's page for a list, with the shortened id as its text."""
    address = reverse("admin:runs_run_change", args=[run_id])
    return format_html('<a class="sw-link" href="{}">{}</a>', address, short_id(run_id))
