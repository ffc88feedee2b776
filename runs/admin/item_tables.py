"""The tables on a run's page for its for_each steps: counts of items by outcome, and the first that failed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlencode

from django.urls import reverse

from runs.domain.states import STEP_ENDED, StepState
from runs.history.timeline import StepView
from runs.history.words import error_line
from runs.models import Run, StepRun

SHOWN_FAILED = 10
SHOWN_ERROR = 300
# Failed items are listed for the first 20 steps that have any; for later steps the page only links to the full list.
LOOKED_AT = 20


@dataclass(frozen=True)
class FailedItem:
    """One failed item; `index` is its position in the list from 0, as in expressions."""

    index: int
    error: str
    attempts: int
    address: str


@dataclass(frozen=True)
class ItemsTable:
    """The counts as text, the first failed items, and the URLs of the lists of all failed and all items."""

    counts: str
    failed: list[FailedItem]
    failed_left_out: int
    all_failed: str
    all_items: str


def tables(run: Run, views: Iterable[StepView]) -> dict[str, ItemsTable]:
    """Return, by step id, the tables of the for_each steps. One query per step with failed items, at most LOOKED_AT."""
    found: dict[str, ItemsTable] = {}
    looked_at = 0
    for view in views:
        if not isinstance(view.items, dict):
            continue
        counts = {name: _number(value) for name, value in view.items.items()}
        shown: list[FailedItem] = []
        if counts["failed"] and looked_at < LOOKED_AT:
            looked_at += 1
            shown = _failed(run, view.step)
        found[view.step] = ItemsTable(
            counts=_in_words(counts, over=view.state in {state.value for state in STEP_ENDED}),
            failed=shown,
            failed_left_out=max(0, counts["failed"] - len(shown)),
            all_failed=_list(run, view.step, state=StepState.FAILED.value),
            all_items=_list(run, view.step),
        )
    return found


def _failed(run: Run, step: str) -> list[FailedItem]:
    rows = StepRun.objects.filter(run_id=run.pk, step=step, item__gte=0, state=StepState.FAILED.value)
    first = rows.order_by("item").only("id", "item", "error", "attempt")[:SHOWN_FAILED]
    return [
        FailedItem(
            index=row.item,
            error=error_line(row.error)[:SHOWN_ERROR],
            attempts=row.attempt,
            address=reverse("admin:runs_steprun_change", args=[row.pk]),
        )
        for row in first
    ]


def _in_words(counts: dict[str, int], *, over: bool) -> str:
    ended = counts["succeeded"] + counts["failed"] + counts["skipped"]
    told = [f"{counts[name]:,} {name}" for name in ("succeeded", "failed", "skipped") if counts[name]]
    if left := counts["count"] - ended:
        told.append(f"{left:,} {'not performed' if over else 'under way or to come'}")
    noun = "item" if counts["count"] == 1 else "items"
    return f"{counts['count']:,} {noun}: {', '.join(told)}"


def _list(run: Run, step: str, **more: str) -> str:
    query = {"run__exact": run.pk, "step__exact": step, "item__gte": 0}
    query |= {f"{name}__exact": value for name, value in more.items()}
    return f"{reverse('admin:runs_steprun_changelist')}?{urlencode(query)}"


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
