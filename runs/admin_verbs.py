"""The admin's pages that do something by hand to one run or one dead letter: each asks for the reason, and does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import reverse

from runs import control, plan, standing
from runs.admin_forms import EditedRetryForm, ReasonForm, ReplayForm, WhyForm, as_json
from runs.admin_parts import colour, json_text
from runs.control import Hand, NotNow
from runs.models import DeadLetter, Run
from runs.states import RUN_ENDED
from workflows.errors import InvalidInput
from workflows.models import Workflow

OFFERED_STEPS = 500


@dataclass(frozen=True)
class Button:
    """A verb that is legal now, as the page offers it."""

    title: str
    address: str
    icon: str


@dataclass(frozen=True)
class Page:
    """What a confirmation page shows besides its form: of what, what the verb does, and the way back."""

    verb: str
    name: str
    detail: str
    state: str
    says: str
    back: str
    steps: list[str] = field(default_factory=list)
    stored: str = ""
    danger: bool = False

    @property
    def colour(self) -> str:
        return colour(self.state)


def run_buttons(request: HttpRequest, run: Run) -> list[Button]:
    """The verbs that are legal for the run as it stands, for those who may."""
    if not may_change_run(request):
        return []
    pausable = run.state in standing.PAUSABLE
    held = ("Resume", "resume", "play_arrow", pausable)
    if run.paused_at is None:
        held = ("Pause", "pause", "pause", pausable)
    offered = (
        ("Cancel", "cancel", "cancel", standing.can_cancel(run)),
        # Where the work is still to be stopped, a cancel is what is meant.
        ("Terminate", "terminate", "dangerous", run.state in standing.TERMINABLE and not standing.can_cancel(run)),
        held,
        ("Retry", "retry", "refresh", standing.can_retry(run)),
        ("Replay…", "replay", "replay", run.state in standing.REPLAYABLE),
    )
    return [
        Button(title, reverse(f"admin:runs_run_{name}", args=[run.pk]), icon)
        for title, name, icon, legal in offered
        if legal
    ]


def letter_buttons(request: HttpRequest, letter: DeadLetter) -> list[Button]:
    """The verbs that are legal for the dead letter as it and its run stand, for those who may."""
    if not may_change_letter(request) or letter.state not in standing.OPEN:
        return []
    goes_on = letter.run.state in standing.RETRYABLE
    offered = (
        ("Retry", "retry", "refresh", goes_on),
        ("Retry with edited input…", "edit", "edit", goes_on and standing.cannot_edit(letter) is None),
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


def may_change_letter(request: HttpRequest) -> bool:
    """Whether this user may retry and discard dead letters."""
    return bool(request.user.has_perm("runs.change_deadletter"))


def hand(request: HttpRequest, why: str) -> Hand:
    """The logged-in user's hand."""
    return Hand(request.user.pk, why)


def cancel(request: HttpRequest, key: UUID) -> HttpResponse:
    """End the run."""
    run = _run(request, key)
    if not standing.can_cancel(run):
        return refused(request, standing.cannot_cancel(key, run.state), to=run_page(key))
    says = (
        "No step of the run begins any more. One that is running is told, and its outcome is still written. "
        "Then the run does what it has to do finally, and ends."
    )
    page = _of_run(run, verb="Cancel", says=says, danger=True)
    form = WhyForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        return show(request, form, page, of=Run)
    if not control.cancel([key], hand=hand(request, form.cleaned_data["why"])):
        return refused(request, standing.cannot_cancel(key, control.standing(key)), to=page.back)
    return succeeded(
        request,
        "The run is cancelled." if control.standing(key) in RUN_ENDED else "The run is being cancelled.",
        to=page.back,
    )


def terminate(request: HttpRequest, key: UUID) -> HttpResponse:
    """End the run at once."""
    run = _run(request, key)
    if run.state not in standing.TERMINABLE:
        return refused(request, standing.cannot_terminate(run.state), to=run_page(key))
    says = (
        "The run ends at once: what is still to be compensated stays as it is, and nothing of on_failure or finally "
        "begins any more. A step that is running is told. This cannot be taken back by a retry."
    )
    page = _of_run(run, verb="Terminate", says=says, danger=True)
    form = WhyForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        return show(request, form, page, of=Run)
    if not control.terminate([key], hand=hand(request, form.cleaned_data["why"])):
        return refused(request, standing.cannot_terminate(control.standing(key)), to=page.back)
    return succeeded(request, "The run is terminated.", to=page.back)


def pause(request: HttpRequest, key: UUID) -> HttpResponse:
    """Hold the run."""
    says = "Nothing of the run is begun until it is resumed. A step that is running runs on; what follows it is held."
    return _hold(request, key, verb=control.pause, says=says)


def resume(request: HttpRequest, key: UUID) -> HttpResponse:
    """Let the paused run go on."""
    says = "The run goes on where it was held; a retry when it would have been due."
    return _hold(request, key, verb=control.resume, says=says)


def pause_workflow(request: HttpRequest, key: UUID) -> HttpResponse:
    """Hold the workflow's runs, those to come included."""
    says = (
        "Its runs are held, and so are those that are started from now on: they are accepted and queue. Steps that are "
        "running run on; what follows them is held."
    )
    return _hold_workflow(request, key, verb=control.pause_workflow, says=says)


def resume_workflow(request: HttpRequest, key: UUID) -> HttpResponse:
    """Let the workflow's runs go on."""
    says = "Its runs go on, but for those that were paused themselves."
    return _hold_workflow(request, key, verb=control.resume_workflow, says=says)


def retry(request: HttpRequest, key: UUID) -> HttpResponse:
    """Let the failed run go on."""
    run = _run(request, key)
    if run.state not in standing.RETRYABLE:
        return refused(request, standing.cannot_retry(key, run.state), to=run_page(key))
    says = (
        "The run goes on from its failed steps, with the inputs that they had. To edit an input, open the dead letter."
    )
    page = _of_run(run, verb="Retry", says=says)
    form = WhyForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        return show(request, form, page, of=Run)
    if not control.retry([key], hand=hand(request, form.cleaned_data["why"])):
        return refused(request, standing.cannot_retry(key, control.standing(key)), to=page.back)
    return succeeded(request, "The run goes on.", to=page.back)


def replay(request: HttpRequest, key: UUID) -> HttpResponse:
    """Start a new run from a step of this one; the answer is the new run's page."""
    run = _run(request, key)
    if run.state not in standing.REPLAYABLE:
        return refused(request, f"the run is {run.state}; only a run that has ended can be replayed", to=run_page(key))
    says = "A new run begins at the step. This one stays as it is."
    steps = [step.id for step in plan.load(run.version_id).steps.values() if not step.handler][:OFFERED_STEPS]
    page = _of_run(run, verb="Replay", says=says, steps=steps, stored=json_text(run.input))
    form = ReplayForm(request.POST if request.method == "POST" else None)
    new = _replayed(request, form, key=key) if form.is_valid() else None
    if new is None:
        return show(request, form, page, of=Run)
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
    page = _of_letter(letter, verb="Discard", says=says, danger=True)
    if letter.state not in standing.OPEN:
        return refused(request, standing.cannot_discard(letter.state), to=page.back)
    form = ReasonForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        return show(request, form, page, of=DeadLetter)
    if not control.discard([key], hand=hand(request, form.cleaned_data["why"])):
        return refused(request, standing.cannot_discard(_letter(request, key).state), to=page.back)
    return succeeded(request, "The dead letter is discarded.", to=page.back)


def _hold(request: HttpRequest, key: UUID, *, verb: Callable[..., frozenset[UUID]], says: str) -> HttpResponse:
    """Pause or resume one run."""
    run = _run(request, key)
    pauses = verb is control.pause
    title, cannot = ("Pause", standing.cannot_pause) if pauses else ("Resume", standing.cannot_resume)
    page = _of_run(run, verb=title, says=says)
    if run.state not in standing.PAUSABLE or (run.paused_at is None) != pauses:
        return refused(request, cannot(run.state), to=page.back)
    form = WhyForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        return show(request, form, page, of=Run)
    if not verb([key], hand=hand(request, form.cleaned_data["why"])):
        return refused(request, cannot(control.standing(key)), to=page.back)
    return succeeded(request, f"The run is {title.lower()}d.", to=page.back)


def _hold_workflow(request: HttpRequest, key: UUID, *, verb: Callable[..., int], says: str) -> HttpResponse:
    """Pause or resume a workflow."""
    if not may_change_run(request):
        raise PermissionDenied("this account may not change runs")
    workflow = get_object_or_404(Workflow, pk=key, kind=Workflow.Kind.WORKFLOW)
    title, done = ("Pause", "held") if verb is control.pause_workflow else ("Resume", "let go")
    back = reverse("admin:workflows_workflow_change", args=[key])
    state = "paused" if workflow.paused_at else "not paused"
    page = Page(verb=title, name=workflow.name, detail="the workflow", state=state, says=says, back=back)
    form = WhyForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        return show(request, form, page, of=Run)
    count = verb(workflow, hand=hand(request, form.cleaned_data["why"]))
    runs = "1 run was" if count == 1 else f"{count} runs were"
    return succeeded(request, f"The workflow is {title.lower()}d; {runs} {done}.", to=back)


def _letter_verb(request: HttpRequest, key: UUID, shape: type[WhyForm], *, verb: str, says: str) -> HttpResponse:
    letter = _letter(request, key)
    page = _of_letter(letter, verb=verb, says=says)
    if letter.state not in standing.OPEN or letter.run.state not in standing.RETRYABLE:
        return refused(request, standing.cannot_retry_letter(letter), to=page.back)
    initial = {"input": as_json(letter.input)}
    form = shape(request.POST if request.method == "POST" else None, initial=initial)
    if not form.is_valid():
        return show(request, form, page, of=DeadLetter)
    why, given = form.cleaned_data["why"], form.cleaned_data.get("input")
    if not control.retry_letters([key], hand=hand(request, why), given=given):
        why_not = standing.cannot_retry_letter(_letter(request, key), edited=given is not None)
        if given is not None and standing.cannot_edit(letter) is not None:
            form.add_error("input", f"{why_not}.")
            return show(request, form, page, of=DeadLetter)
        return refused(request, why_not, to=page.back)
    return succeeded(request, "The run goes on.", to=run_page(letter.run_id))


def _replayed(request: HttpRequest, form: ReplayForm, *, key: UUID) -> UUID | None:
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
    if not may_change_run(request):
        raise PermissionDenied("this account may not change runs")
    runs = Run.objects.select_related("workflow", "version").defer("output", "version__definition")
    return get_object_or_404(runs, pk=key)


def _letter(request: HttpRequest, key: UUID) -> DeadLetter:
    if not may_change_letter(request):
        raise PermissionDenied("this account may not change dead letters")
    letters = DeadLetter.objects.select_related("run__workflow").defer(
        "run__input", "run__output", "config", "attempts"
    )
    return get_object_or_404(letters, pk=key)


def _of_run(run: Run, **told: Any) -> Page:
    detail = f"version {run.version.number}, run {run.pk}"
    return Page(name=run.workflow.name, detail=detail, state=run.state, back=run_page(run.pk), **told)


def _of_letter(letter: DeadLetter, **told: Any) -> Page:
    detail = f"of {letter.run.workflow.name}, run {letter.run_id}"
    return Page(name=letter.step, detail=detail, state=letter.state, back=_letter_page(letter.pk), **told)


def run_page(key: UUID) -> str:
    """The address of a run's page."""
    return reverse("admin:runs_run_change", args=[key])


def _letter_page(key: UUID) -> str:
    return reverse("admin:runs_deadletter_change", args=[key])


def refused(request: HttpRequest, why: str, *, to: str) -> HttpResponse:
    """Back to a page that says why nothing was changed."""
    messages.error(request, f"Nothing was changed: {why}.")
    return redirect(to)


def succeeded(request: HttpRequest, said: str, *, to: str) -> HttpResponse:
    """Back to a page that says what was done."""
    messages.success(request, said)
    return redirect(to)


def show(request: HttpRequest, form: forms.Form, page: Page, *, of: type[Model]) -> HttpResponse:
    """The page that asks before something is done to a row of this model."""
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": page.verb,
        "opts": of._meta,
        "form": form,
        "page": page,
    }
    return TemplateResponse(request, "runs/verb.html", context)
