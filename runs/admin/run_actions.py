"""The admin's pages that do something by hand to one run or one dead letter: each asks for the reason, and does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404

from runs.admin.buttons import run_page
from runs.admin.confirmation import Page, actor_of, ask, filled, refused, show, succeeded
from runs.admin.formatting import json_text
from runs.admin.forms import ReplayForm
from runs.admin.permissions import require_change_run
from runs.control import pauses, preconditions, retries, stops
from runs.control import replays as control
from runs.control.replays import NotNow
from runs.domain.states import RUN_ENDED
from runs.models import Run
from runs.planning import plan
from workflows.definitions.errors import InvalidInput

OFFERED_STEPS = 500


@dataclass(frozen=True)
class RunVerb:
    """A verb over one run, as its page asks for it.

    `verb` is one of control's over a set of ids. `cannot` says why it is not legal for the run in this state, `done`
    what to say once it was won.
    """

    title: str
    says: str
    legal: Callable[[Run], bool]
    verb: Callable[..., frozenset[UUID]]
    cannot: Callable[[UUID, str], str]
    done: Callable[[UUID], str]
    danger: bool = False


CANCEL = RunVerb(
    "Cancel",
    "No step of the run begins any more. One that is running is told, and its outcome is still written. "
    "Then the run does what it has to do finally, and ends.",
    preconditions.can_cancel,
    stops.cancel,
    preconditions.cannot_cancel,
    lambda key: "The run is cancelled." if preconditions.state_of(key) in RUN_ENDED else "The run is being cancelled.",
    danger=True,
)
TERMINATE = RunVerb(
    "Terminate",
    "The run ends at once: what is still to be compensated stays as it is, and nothing of on_failure or finally "
    "begins any more. A step that is running is told. This cannot be taken back by a retry.",
    lambda run: run.state in preconditions.TERMINABLE,
    stops.terminate,
    lambda _, state: preconditions.cannot_terminate(state),
    lambda _: "The run is terminated.",
    danger=True,
)
PAUSE = RunVerb(
    "Pause",
    "Nothing of the run is begun until it is resumed. A step that is running runs on; what follows it is held.",
    lambda run: run.state in preconditions.PAUSABLE and run.paused_at is None,
    pauses.pause,
    lambda _, state: preconditions.cannot_pause(state),
    lambda _: "The run is paused.",
)
RESUME = RunVerb(
    "Resume",
    "The run goes on where it was held; a retry when it would have been due.",
    lambda run: run.state in preconditions.PAUSABLE and run.paused_at is not None,
    pauses.resume,
    lambda _, state: preconditions.cannot_resume(state),
    lambda _: "The run is resumed.",
)
RETRY = RunVerb(
    "Retry",
    "The run goes on from its failed steps, with the inputs that they had. To edit an input, open the dead letter.",
    lambda run: run.state in preconditions.RETRYABLE,
    retries.retry,
    preconditions.cannot_retry,
    lambda _: "The run goes on.",
)


def cancel(request: HttpRequest, key: UUID) -> HttpResponse:
    """End the run."""
    return _run_verb(request, key, CANCEL)


def terminate(request: HttpRequest, key: UUID) -> HttpResponse:
    """End the run at once."""
    return _run_verb(request, key, TERMINATE)


def pause(request: HttpRequest, key: UUID) -> HttpResponse:
    """Hold the run."""
    return _run_verb(request, key, PAUSE)


def resume(request: HttpRequest, key: UUID) -> HttpResponse:
    """Let the paused run go on."""
    return _run_verb(request, key, RESUME)


def retry(request: HttpRequest, key: UUID) -> HttpResponse:
    """Let the failed run go on."""
    return _run_verb(request, key, RETRY)


def replay(request: HttpRequest, key: UUID) -> HttpResponse:
    """Start a new run from a step of this one; the answer is the new run's page."""
    run = _run(request, key)
    if run.state not in preconditions.REPLAYABLE:
        return refused(request, f"the run is {run.state}; only a run that has ended can be replayed", to=run_page(key))
    says = "A new run begins at the step. This one stays as it is."
    steps = [step.id for step in plan.load(run.version_id).steps.values() if not step.handler][:OFFERED_STEPS]
    page = _of_run(run, verb="Replay", says=says, form=ReplayForm, steps=steps, stored=json_text(run.input))
    form = filled(request, page)
    new = _replayed(request, form, key=key) if form.is_valid() else None
    if new is None:
        return show(request, form, page)
    return succeeded(request, "This is the new run.", to=run_page(new))


def _run_verb(request: HttpRequest, key: UUID, asked: RunVerb) -> HttpResponse:
    run = _run(request, key)
    page = _of_run(run, verb=asked.title, says=asked.says, danger=asked.danger)
    if not asked.legal(run):
        return refused(request, asked.cannot(key, run.state), to=page.back)
    return ask(
        request,
        page,
        verb=lambda actor: asked.verb([key], actor=actor),
        done=lambda _: asked.done(key),
        refusal=lambda: asked.cannot(key, preconditions.state_of(key)),
    )


def _replayed(request: HttpRequest, form: forms.Form, *, key: UUID) -> UUID | None:
    """The new run's id; None, and the problem at its field, where it is refused."""
    asked = form.cleaned_data
    try:
        return control.replay(
            key,
            step=asked["step"] or None,
            latest=asked["version"] == "latest",
            given=asked["input"],
            actor=actor_of(request, asked["why"]),
        )
    except NotNow as refusal:
        form.add_error("step", str(refusal))
    except InvalidInput as error:
        form.add_error("input", [str(problem) for problem in error.problems])
    return None


def _run(request: HttpRequest, key: UUID) -> Run:
    require_change_run(request)
    runs = Run.objects.select_related("workflow", "version").defer("output", "version__definition")
    return get_object_or_404(runs, pk=key)


def _of_run(run: Run, **told: Any) -> Page:
    detail = f"version {run.version.number}, run {run.pk}"
    return Page(of=Run, name=run.workflow.name, detail=detail, state=run.state, back=run_page(run.pk), **told)
