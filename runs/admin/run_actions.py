"""What the buttons of a run do: each page asks for the reason, and does the verb."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404

from runs.admin.buttons import run_page
from runs.admin.confirmation import Page, actor_of, ask, filled, refused, sentences, show, succeeded
from runs.admin.formatting import SHOWN_CHARACTERS, json_text
from runs.admin.forms import ReplayForm, as_json
from runs.admin.permissions import CHANGE_RUNS, require, sees_secrets
from runs.control import preconditions, replays, verbs
from runs.control.replays import NotNow
from runs.control.verbs import RunVerb
from runs.domain.states import RUN_ENDED
from runs.history import masking
from runs.models import Run
from runs.planning import plan
from workflows.definitions.errors import InvalidInput

OFFERED_STEPS = 500


def act(request: HttpRequest, key: UUID, *, verb: RunVerb) -> HttpResponse:
    """Ask why, do the verb to the run, and go back to its page."""
    run = _run(request, key)
    page = _of_run(run, verb=verb.title, says=verb.does, danger=verb.dangerous)
    if not verb.legal(run):
        return refused(request, verb.why_not(key, run.state), to=page.back)
    return ask(
        request,
        page,
        verb=lambda actor: verb.function([key], actor=actor),
        done=lambda _: _done(key, verb=verb),
        refusal=lambda: verb.why_not(key, preconditions.state_of(key)),
    )


def replay(request: HttpRequest, key: UUID) -> HttpResponse:
    """Start a new run from a step of this one; the answer is the new run's page."""
    run = _run(request, key)
    if run.state not in verbs.REPLAY.states:
        return refused(request, f"the run is {run.state}; only a run that has ended can be replayed", to=run_page(key))
    steps = _steps(run)
    few = steps if len(steps) <= OFFERED_STEPS else []
    stored = json_text(run.input)
    page = _of_run(
        run,
        verb=verbs.REPLAY.title,
        says=verbs.REPLAY.does,
        form=ReplayForm,
        steps=[] if few else [step for step, _ in steps[:OFFERED_STEPS]],
        stored=stored,
    )
    form = filled(request, page, step=request.GET.get("step", ""), input=_prefilled(request, run))
    if few and isinstance(form, ReplayForm):
        form.choose_from(few)
    new = _replayed(request, form, run=run) if form.is_valid() else None
    if new is None:
        return show(request, form, page)
    return succeeded(request, "This is the new run.", to=run_page(new))


def _done(key: UUID, *, verb: RunVerb) -> str:
    """What the page says once it is done; a cancelled run may still have its `finally` steps to do."""
    ends_later = verb is verbs.CANCEL and preconditions.state_of(key) not in RUN_ENDED
    return " ".join([f"The run is {'being ' if ends_later else ''}{verb.past}.", *sentences(verb.notes([key]))])


def _steps(run: Run) -> list[tuple[str, str]]:
    """The steps of the run's version and of the current one that a replay may begin from, each with its title."""
    own = _replayable(run.version_id)
    current = _replayable(run.workflow.current_id) if run.workflow.current_id else own
    titled = [(step, step if step in set(current) else f"{step} (not in the current version)") for step in own]
    return titled + [(step, f"{step} (in the current version only)") for step in current if step not in set(own)]


def _replayable(version_id: UUID) -> list[str]:
    return [step.id for step in plan.load(version_id).steps.values() if not step.handler]


def _prefilled(request: HttpRequest, run: Run) -> str:
    """The old run's input, to be edited; nothing where it is too long for a page, or has secrets that are masked."""
    shown = masking.run_input(run, secrets=sees_secrets(request))
    text = as_json(shown)
    return text if shown == run.input and len(text) <= SHOWN_CHARACTERS else ""


def _replayed(request: HttpRequest, form: forms.Form, *, run: Run) -> UUID | None:
    """The new run's id; None, and the problem at its field, where it is refused."""
    asked = form.cleaned_data
    try:
        return replays.replay(
            run.pk,
            step=asked["step"] or None,
            latest=asked["version"] == "latest",
            # Compared as text: to Python, 1 and true are equal.
            given=None if as_json(asked["input"]) == as_json(run.input) else asked["input"],
            actor=actor_of(request, asked["why"]),
        )
    except NotNow as refusal:
        form.add_error("step", str(refusal))
    except InvalidInput as error:
        form.add_error("input", [str(problem) for problem in error.problems])
    return None


def _run(request: HttpRequest, key: UUID) -> Run:
    require(request, CHANGE_RUNS)
    runs = Run.objects.select_related("workflow", "version").defer("output", "version__definition")
    return get_object_or_404(runs, pk=key)


def _of_run(run: Run, **told: Any) -> Page:
    detail = f"version {run.version.number}, run {run.pk}"
    return Page(of=Run, name=run.workflow.name, detail=detail, state=run.state, back=run_page(run.pk), **told)
