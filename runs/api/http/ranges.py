"""Filter lists by time, by idempotency key and by labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import reduce
from operator import and_, or_
from typing import TypeVar

from django.db.models import Model, Q, QuerySet

from runs.api.http.filters import Filters
from runs.api.http.problems import bad
from runs.history.lists import Span
from runs.models import Run
from workflows.models import Workflow, Workspace

CREATED = ("created_after", "created_before")
FINISHED = ("finished_after", "finished_before")
OF_RUNS = (*CREATED, *FINISHED, "idempotency_key")
_EXAMPLE = "2026-03-01T09:00:00Z"
_EARLIEST, _LATEST = datetime(1970, 1, 3, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
M = TypeVar("M", bound=Model)


def described(*names: str) -> dict[str, str]:
    """Describe these filters for the OpenAPI document."""
    known = {name: f"Only those that were {name.replace('_', ' ')} this time, such as {_EXAMPLE}." for name in OF_RUNS}
    known["idempotency_key"] = "Only those with this idempotency key."
    return {name: known[name] for name in names}


def span_of(given: Filters) -> Span | None:
    """Return the times that are given, or None. Raises Refused (400)."""
    times = {name: _time(given, name) for name in (*CREATED, *FINISHED)}
    return None if not any(times.values()) else Span(**times)


def within(span: Span | None, *, of: QuerySet[M]) -> QuerySet[M]:
    """Return those that were created, and have ended, within the span; without one, all of them."""
    if span is None:
        return of
    found = of.filter(pk__gte=span.since, pk__lt=span.before)
    for name, end in asdict(span).items():
        if end is not None:
            field, _, side = name.partition("_")
            found = found.filter(**{f"{field}_at__{'gt' if side == 'after' else 'lt'}": end})
    return found


def with_key(given: Filters, *, of: QuerySet[Run], workspace: Workspace) -> QuerySet[Run]:
    """Return those with the idempotency key that is given. Workflows are named: the index of keys begins with them."""
    key = given.get("idempotency_key")
    if key is None:
        return of
    return of.filter(workflow__in=Workflow.objects.filter(workspace=workspace).values("pk"), idempotency_key=key)


def with_labels(labels: Mapping[str, Sequence[str]]) -> Q:
    """Return the condition for having all of these labels, each with one of its values."""
    single = {name: values[0] for name, values in labels.items() if len(values) == 1}
    several = [
        reduce(or_, (Q(labels__contains={name: value}) for value in values))
        for name, values in labels.items()
        if len(values) > 1
    ]
    return reduce(and_, several, Q(labels__contains=single) if single else Q())


def _time(given: Filters, name: str) -> datetime | None:
    text = given.get(name)
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        aware = found.tzinfo is not None and found.astimezone(UTC)
    except (ValueError, OverflowError):
        aware = None
    if not aware or not _EARLIEST < aware < _LATEST:
        message = f"must be a time with its time zone, such as {_EXAMPLE} (write + as %2B), not {text[:40]!r}"
        raise bad(name, message)
    return aware
