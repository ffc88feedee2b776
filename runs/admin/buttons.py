"""Which buttons a page of a run or a dead letter shows: the verbs that are legal now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpRequest
from django.urls import reverse

from runs.admin.permissions import may_change_dead_letter, may_change_run
from runs.control import preconditions, verbs
from runs.control.verbs import Verb
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
    # Where the work can still be stopped, a cancel is what is meant.
    legal = [verb for verb in verbs.OVER_RUNS if verb.legal(run)]
    offered: list[tuple[str, Verb]] = [
        (verb.title, verb) for verb in legal if verb is not verbs.TERMINATE or verbs.CANCEL not in legal
    ]
    if run.state in verbs.REPLAY.states:
        offered.append((f"{verbs.REPLAY.title}…", verbs.REPLAY))
    return [Button(title, reverse(f"admin:runs_run_{verb.name}", args=[run.pk]), verb.icon) for title, verb in offered]


def dead_letter_buttons(request: HttpRequest, dead_letter: DeadLetter) -> list[Button]:
    """The verbs that are legal for the dead letter as it and its run stand, for those who may."""
    if not may_change_dead_letter(request):
        return []
    offered = [(verb.title, verb.name, verb.icon) for verb in verbs.OVER_DEAD_LETTERS if verb.legal(dead_letter)]
    if verbs.RETRY_DEAD_LETTER.legal(dead_letter) and preconditions.can_edit(dead_letter):
        offered.insert(1, ("Retry with edited input…", "edit", "edit"))
    found = [
        Button(title, reverse(f"admin:runs_deadletter_{name}", args=[dead_letter.pk]), icon)
        for title, name, icon in offered
    ]
    if may_change_run(request) and preconditions.can_replay_from(dead_letter):
        address = reverse("admin:runs_run_replay", args=[dead_letter.run_id])
        if dead_letter.step:
            step = urlencode({"step": dead_letter.step})
            found.append(Button("Replay from this step…", f"{address}?{step}", verbs.REPLAY.icon))
        else:
            found.append(Button("Replay the run…", address, verbs.REPLAY.icon))
    return found


def approval_buttons(request: HttpRequest, row: int, *, approvers: Sequence[str]) -> list[Button]:
    """Approve and Reject, for those who may."""
    if not may_change_run(request) or (approvers and request.user.get_username() not in approvers):
        return []
    return [
        Button(verb.title, reverse(f"admin:runs_approval_{verb.name}", args=[row]), verb.icon)
        for verb in (verbs.APPROVE, verbs.REJECT)
    ]


def signal_buttons(request: HttpRequest, run_id: UUID, *, name: str) -> list[Button]:
    """What lets a step go on that waits for this signal, for those who may."""
    if not may_change_run(request):
        return []
    address = reverse("admin:runs_run_signal", args=[run_id])
    return [Button("Send signal…", f"{address}?{urlencode({'name': name})}", verbs.SIGNAL.icon)]


def run_page(key: UUID) -> str:
    """The address of a run's page."""
    return reverse("admin:runs_run_change", args=[key])
