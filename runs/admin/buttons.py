"""Which buttons a page of a run or a dead letter shows: the verbs that are legal now."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.http import HttpRequest
from django.urls import reverse

from runs.admin.permissions import may_change_dead_letter, may_change_run
from runs.control import preconditions
from runs.models import DeadLetter, Run


@dataclass(frozen=True)
class Button:
    """A verb that is legal now, as the page offers it."""

    title: str
    address: str
    icon: str


def run_buttons(request: HttpRequest, run: Run) -> list[Button]:
    """The verbs that are legal for the run as it stands, for those who may."""
    if not may_change_run(request):
        return []
    pausable = run.state in preconditions.PAUSABLE
    held = ("Resume", "resume", "play_arrow", pausable)
    if run.paused_at is None:
        held = ("Pause", "pause", "pause", pausable)
    offered = (
        ("Cancel", "cancel", "cancel", preconditions.can_cancel(run)),
        # Where the work is still to be stopped, a cancel is what is meant.
        (
            "Terminate",
            "terminate",
            "dangerous",
            run.state in preconditions.TERMINABLE and not preconditions.can_cancel(run),
        ),
        held,
        ("Retry", "retry", "refresh", preconditions.can_retry(run)),
        ("Replay…", "replay", "replay", run.state in preconditions.REPLAYABLE),
    )
    return [
        Button(title, reverse(f"admin:runs_run_{name}", args=[run.pk]), icon)
        for title, name, icon, legal in offered
        if legal
    ]


def dead_letter_buttons(request: HttpRequest, dead_letter: DeadLetter) -> list[Button]:
    """The verbs that are legal for the dead letter as it and its run stand, for those who may."""
    if not may_change_dead_letter(request) or dead_letter.state not in preconditions.OPEN:
        return []
    goes_on = dead_letter.run.state in preconditions.RETRYABLE
    offered = (
        ("Retry", "retry", "refresh", goes_on),
        ("Retry with edited input…", "edit", "edit", goes_on and preconditions.cannot_edit(dead_letter) is None),
        ("Discard", "discard", "delete", True),
    )
    return [
        Button(title, reverse(f"admin:runs_deadletter_{name}", args=[dead_letter.pk]), icon)
        for title, name, icon, legal in offered
        if legal
    ]


def run_page(key: UUID) -> str:
    """The address of a run's page."""
    return reverse("admin:runs_run_change", args=[key])
