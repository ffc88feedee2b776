"""The parts of a run's page besides its fields: timeline, dead letters, interventions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.urls import reverse

from runs.admin import item_tables, permissions
from runs.admin.buttons import Button, approval_buttons, signal_buttons
from runs.admin.formatting import colour, json_text, moment
from runs.admin.item_tables import ItemsTable
from runs.control import approvals, pauses
from runs.history import masking, retried_below, timeline
from runs.history.timeline import StepView
from runs.history.waiting import WaitView
from runs.history.words import duration, error_line, pause_line
from runs.models import Intervention, Run

SHOWN_STEPS = 500
SHOWN_DETAILS = 300
NOT_KEPT = "not kept: its attempt was killed before it could record it, or computing it again takes too long"
_DETAILS = (("steps", "steps"), ("with edited input:", "edited"))
# Steps in these states are shown unfolded, because users mostly look for them.
_OPEN = frozenset({"failed", "retrying", "running", "waiting"})


@dataclass(frozen=True)
class StepRow:
    """One step, for the template. `values` are (title, JSON text) of its error, input, config and output, if any."""

    view: StepView
    colour: str
    duration: str
    begun: str
    ended: str
    values: list[tuple[str, str]]
    attempts: list[dict[str, Any]]
    open: bool
    child_address: str
    waits: str
    buttons: list[Button]
    link: str
    items: ItemsTable | None


def context(run: Run, *, request: HttpRequest) -> dict[str, Any]:
    """Return the template's variables.

    Three queries, those for failed items, one if the plan is not cached, and one where a run below was retried by hand.
    """
    views = masking.steps(timeline.timeline(run), secrets=permissions.sees_secrets(request))
    items = item_tables.tables(run, views[:SHOWN_STEPS])
    by_hand = timeline.interventions(run)
    letters = list(run.dead_letters.order_by("id").only("id", "step", "state", "reason", "error"))
    return {
        "run": run,
        "run_colour": colour(run.state),
        "run_duration": duration(run.started_at, run.finished_at),
        "run_pause": pause_line(held) if (held := pauses.of_run(run)) else "",
        "run_error": error_line(run.error) if run.error is not None else "",
        "steps": [
            _row(view, run_id=run.pk, request=request, items=items.get(view.step)) for view in views[:SHOWN_STEPS]
        ],
        "steps_left_out": max(0, len(views) - SHOWN_STEPS),
        "letters": [
            {
                "address": reverse("admin:runs_deadletter_change", args=[dead_letter.pk]),
                "text": f"{dead_letter.place}: {dead_letter.reason}, {dead_letter.state}",
                "error": error_line(dead_letter.error),
            }
            for dead_letter in letters
        ],
        "parent_run": _address(run.parent_id) if run.parent_id else "",
        "original_run": _address(run.replay_of_id) if run.replay_of_id else "",
        "interventions": [_intervention(one) for one in by_hand],
        "notes": retried_below.notes(run, steps=views, interventions=by_hand),
    }


def _row(view: StepView, *, run_id: UUID, request: HttpRequest, items: ItemsTable | None) -> StepRow:
    wait = view.waiting_for
    buttons = _wait_buttons(wait, run_id=run_id, request=request) if wait is not None else []
    titled = (("error", view.error), ("input", view.input), ("config", view.config), ("output", view.output))
    return StepRow(
        view=view,
        colour=colour(view.state),
        duration=duration(view.started_at, view.finished_at),
        begun=moment(view.started_at),
        ended=moment(view.finished_at),
        values=[
            (title, NOT_KEPT if title in view.not_kept else json_text(value))
            for title, value in titled
            if value is not None or title in view.not_kept
        ],
        attempts=[_attempt(attempt) for attempt in view.attempts],
        open=view.state in _OPEN or (items is not None and bool(items.failed)),
        child_address=_address(view.child_run) if view.child_run else "",
        waits=wait_line(wait) if wait is not None else "",
        buttons=buttons,
        # Whoever has the link can decide, so it is shown only to users who see the buttons and so can decide anyway.
        link=(wait.approve_url or "") if wait is not None and buttons else "",
        items=items,
    )


def _wait_buttons(wait: WaitView, *, run_id: UUID, request: HttpRequest) -> list[Button]:
    """Return the buttons that end a wait: approve and reject, or send the signal; none if the user may not."""
    if wait.kind == "approval":
        return approval_buttons(request, wait.row, approvers=wait.approvers)
    if wait.kind == "signal" and wait.signal is not None:
        return signal_buttons(request, run_id, name=wait.signal)
    return []


def wait_line(asked: WaitView) -> str:
    """Return what a step waits for, since when and until when, as one line."""
    said = {
        "moment": "Waits",
        "signal": f"Waits for signal {asked.signal}" + (f" with key {asked.key}" if asked.key else ""),
        "approval": f"Waits for approval: {asked.message}",
        "run": "Waits for the run of its sub-workflow",
        "items": "Performs its items",
        "code": "Waits for code that has its action",
    }[asked.kind]
    told = [said, f"since {moment(asked.since)}"]
    if asked.until is not None:
        told.append(f"{'the next are due' if asked.kind == 'items' else 'until'} {moment(asked.until)}")
    if asked.approvers:
        told.append(f"to be decided by {', '.join(asked.approvers)}")
    return "; ".join(told)


def _intervention(one: Intervention) -> dict[str, str]:
    """Return an intervention for the template; `address` is the URL of the run that a replay started."""
    details = one.details if isinstance(one.details, dict) else {}
    named = [(title, ", ".join(map(str, details.get(key, [])))) for title, key in _DETAILS]
    return {
        "verb": one.verb,
        "by": approvals.who(one),
        "at": moment(one.at),
        "why": one.why,
        "details": "; ".join(f"{title} {steps}" for title, steps in named if steps)[:SHOWN_DETAILS],
        "address": _address(details["run"]) if "run" in details else "",
    }


def _address(run_id: object) -> str:
    return reverse("admin:runs_run_change", args=[run_id])


def _attempt(told: Any) -> dict[str, Any]:
    if not isinstance(told, dict):
        return {"number": "?", "outcome": "", "error": json_text(told), "finished_at": ""}
    return {
        "number": told.get("number", "?"),
        "outcome": told.get("outcome", ""),
        "error": error_line(told.get("error")),
        "finished_at": str(told.get("finished_at", ""))[:23].replace("T", " "),
    }
