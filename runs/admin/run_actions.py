"""The admin's pages that do something by hand to one run or one dead letter: each asks for the reason, and does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse

from runs.admin.base import json_text
from runs.admin.confirmation import Page, ask, filled, hand, refused, show, succeeded
from runs.admin.forms import EditedRetryForm, ReasonForm, ReplayForm, WhyForm, as_json
from runs.control import dead_letters, pauses, preconditions, retries, stops
from runs.control import replays as control
from runs.control.replays import NotNow
from runs.domain.states import RUN_ENDED
from runs.models import DeadLetter, Run
from runs.planning import plan
from workflows.definitions.errors import InvalidInput
from workflows.models import Workflow

OFFERED_STEPS = 500


@dataclass(frozen=True)
class Button:
    """A verb that is legal now, as the page offers it."""

    title: str
    address: str
    icon: str


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


def letter_buttons(request: HttpRequest, letter: DeadLetter) -> list[Button]:
    """The verbs that are legal for the dead letter as it and its run stand, for those who may."""
    if not may_change_letter(request) or letter.state not in preconditions.OPEN:
        return []
    goes_on = letter.run.state in preconditions.RETRYABLE
    offered = (
        ("Retry", "retry", "refresh", goes_on),
        ("Retry with edited input…", "edit", "edit", goes_on and preconditions.cannot_edit(letter) is None),
        ("Discard", "discard", "delete", True),
    )
    return [
        Button(title, reverse(f"admin:runs_deadletter_{name}", args=[letter.pk]), icon)
        for title, name, icon, legal in offered
        if legal
    ]


def may_change_run(request: HttpRequest) -> bool:
    """Whether this user may cancel, retry and replay."""
    return bool(request.user.has_perm("runs.change_run"))


def require_change_run(request: HttpRequest) -> None:
    """Raises PermissionDenied, which answers 403, where this user may not."""
    if not may_change_run(request):
        raise PermissionDenied("this account may not change runs")


def may_change_letter(request: HttpRequest) -> bool:
    """Whether this user may retry and discard dead letters."""
    return bool(request.user.has_perm("runs.change_deadletter"))


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


def pause_workflow(request: HttpRequest, key: UUID) -> HttpResponse:
    """Hold the workflow's runs, those to come included."""
    workflow = _workflow(request, key)
    says = (
        "Its runs are held, and so are those that are started from now on: they are accepted and queue. Steps that are "
        "running run on; what follows them is held."
    )
    return ask(
        request,
        _of_workflow(workflow, verb="Pause", says=says),
        verb=lambda hand: pauses.pause_workflow(workflow, hand=hand),
        done=lambda count: f"The workflow is paused; {_runs_were(count)} held.",
    )


def resume_workflow(request: HttpRequest, key: UUID) -> HttpResponse:
    """Let the workflow's runs go on."""
    workflow = _workflow(request, key)
    says = "Its runs go on, but for those that were paused themselves."
    return ask(
        request,
        _of_workflow(workflow, verb="Resume", says=says),
        verb=lambda hand: pauses.resume_workflow(workflow, hand=hand),
        done=lambda count: f"The workflow is resumed; {_runs_were(count)} let go.",
    )


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


def retry_letter(request: HttpRequest, key: UUID) -> HttpResponse:
    """Let the letter's run go on from its step."""
    says = "The run goes on from this step, with the input that the step had."
    return _letter_verb(request, key, WhyForm, verb="Retry", says=says)


def edit_letter(request: HttpRequest, key: UUID) -> HttpResponse:
    """Let the letter's run go on from its step with another input."""
    says = "The run goes on from this step, with the input below. The run's own input stays as it is."
    return _letter_verb(request, key, EditedRetryForm, verb="Retry with edited input", says=says)


def discard(request: HttpRequest, key: UUID) -> HttpResponse:
    """Close the letter for good."""
    letter = _letter(request, key)
    says = "The dead letter is closed for good. Its run stays as it is."
    page = _of_letter(letter, verb="Discard", says=says, form=ReasonForm, danger=True)
    if letter.state not in preconditions.OPEN:
        return refused(request, preconditions.cannot_discard(letter.state), to=page.back)
    return ask(
        request,
        page,
        verb=lambda hand: dead_letters.discard([key], hand=hand),
        done=lambda _: "The dead letter is discarded.",
        refusal=lambda: preconditions.cannot_discard(_letter(request, key).state),
    )


def _run_verb(request: HttpRequest, key: UUID, asked: RunVerb) -> HttpResponse:
    run = _run(request, key)
    page = _of_run(run, verb=asked.title, says=asked.says, danger=asked.danger)
    if not asked.legal(run):
        return refused(request, asked.cannot(key, run.state), to=page.back)
    return ask(
        request,
        page,
        verb=lambda hand: asked.verb([key], hand=hand),
        done=lambda _: asked.done(key),
        refusal=lambda: asked.cannot(key, preconditions.state_of(key)),
    )


def _letter_verb(request: HttpRequest, key: UUID, shape: type[WhyForm], *, verb: str, says: str) -> HttpResponse:
    letter = _letter(request, key)
    page = _of_letter(letter, verb=verb, says=says, form=shape)
    if letter.state not in preconditions.OPEN or letter.run.state not in preconditions.RETRYABLE:
        return refused(request, preconditions.cannot_retry_letter(letter), to=page.back)
    form = filled(request, page, input=as_json(letter.input))
    if not form.is_valid():
        return show(request, form, page)
    why, given = form.cleaned_data["why"], form.cleaned_data.get("input")
    if not dead_letters.retry([key], hand=hand(request, why), given=given):
        why_not = preconditions.cannot_retry_letter(_letter(request, key), edited=given is not None)
        if given is not None and preconditions.cannot_edit(letter) is not None:
            form.add_error("input", f"{why_not}.")
            return show(request, form, page)
        return refused(request, why_not, to=page.back)
    return succeeded(request, "The run goes on.", to=run_page(letter.run_id))


def _replayed(request: HttpRequest, form: forms.Form, *, key: UUID) -> UUID | None:
    """The new run's id; None, and the problem at its field, where it is refused."""
    asked = form.cleaned_data
    try:
        return control.replay(
            key,
            step=asked["step"] or None,
            latest=asked["version"] == "latest",
            given=asked["input"],
            hand=hand(request, asked["why"]),
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


def _workflow(request: HttpRequest, key: UUID) -> Workflow:
    require_change_run(request)
    return get_object_or_404(Workflow, pk=key, kind=Workflow.Kind.WORKFLOW)


def _letter(request: HttpRequest, key: UUID) -> DeadLetter:
    if not may_change_letter(request):
        raise PermissionDenied("this account may not change dead letters")
    letters = DeadLetter.objects.select_related("run", "workflow").defer(
        "run__input", "run__output", "config", "attempts", "workflow__settings"
    )
    return get_object_or_404(letters, pk=key)


def _of_run(run: Run, **told: Any) -> Page:
    detail = f"version {run.version.number}, run {run.pk}"
    return Page(of=Run, name=run.workflow.name, detail=detail, state=run.state, back=run_page(run.pk), **told)


def _of_workflow(workflow: Workflow, **told: Any) -> Page:
    state = "paused" if workflow.paused_at else "not paused"
    back = reverse("admin:workflows_workflow_change", args=[workflow.pk])
    return Page(of=Run, name=workflow.name, detail="the workflow", state=state, back=back, **told)


def _of_letter(letter: DeadLetter, **told: Any) -> Page:
    detail = f"of {letter.workflow.name}, run {letter.run_id}"
    back = reverse("admin:runs_deadletter_change", args=[letter.pk])
    return Page(of=DeadLetter, name=letter.step, detail=detail, state=letter.state, back=back, **told)


def _runs_were(count: int) -> str:
    return "1 run was" if count == 1 else f"{count} runs were"


def run_page(key: UUID) -> str:
    """The address of a run's page."""
    return reverse("admin:runs_run_change", args=[key])
