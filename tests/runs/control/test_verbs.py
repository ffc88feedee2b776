"""Every door has every verb of the catalogue, with its sentence and its legal states, or the catalogue says why not."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from django.contrib import admin as django_admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import User
from django.core.management import get_commands, load_command_class
from django.test import RequestFactory
from django.urls import reverse
from django.utils.html import escape
from drf_spectacular.generators import SchemaGenerator

from runs.admin import buttons
from runs.control import verbs
from runs.control.verbs import ABSENT, VERBS, Door, Target, Verb
from runs.domain.states import RUN_ENDED, DeadLetterState, RunState
from runs.models import Approval, DeadLetter, Run
from tests.engine import drain
from tests.flows import begun, published, steps
from tests.runs.api.test_api_signals import asking
from tests.runs.doors import admin, api

pytestmark = pytest.mark.django_db(transaction=True)

MODELS: dict[Target, Any] = {Target.RUN: Run, Target.STEP: Approval, Target.DEAD_LETTER: DeadLetter}
PLURALS = {Target.RUN: "runs", Target.STEP: "steps", Target.DEAD_LETTER: "dead_letters", Target.WORKFLOW: "workflows"}
FAILS = "name: fails\nsteps: [{id: a, action: fail, with: {message: no}}]"
WAITS = "name: waits\nsteps: [{id: a, action: wait_for_signal, with: {name: paid}}]"


def named(found: list[Verb]) -> list[Any]:
    return [pytest.param(verb, id=f"{verb.name}-{verb.target}") for verb in found]


@cache
def operations() -> dict[str, str]:
    """The sentence of each operation of the API, by its id."""
    paths = SchemaGenerator().get_schema(request=None, public=True)["paths"].values()  # type: ignore[no-untyped-call]
    return {one["operationId"]: one.get("description", "") for path in paths for one in path.values()}


def waiting() -> Run:
    [run_id] = begun(published(WAITS))
    drain()
    return Run.objects.get(pk=run_id)


def failed() -> Run:
    [run_id] = begun(published(FAILS))
    drain()
    return Run.objects.get(pk=run_id)


def paused() -> Run:
    run = waiting()
    api().post(f"runs/{run.pk}/pause", {})
    return Run.objects.get(pk=run.pk)


LEGAL: dict[Verb, Callable[[], Run]] = {
    **dict.fromkeys((verbs.CANCEL, verbs.TERMINATE, verbs.PAUSE, verbs.SIGNAL), waiting),
    verbs.RESUME: paused,
    **dict.fromkeys((verbs.RETRY, verbs.REPLAY), failed),
}


def subject(verb: Verb) -> Any:
    """Something that the verb is legal for."""
    if verb.target is Target.RUN:
        return LEGAL[verb]()
    if verb.target is Target.DEAD_LETTER:
        return DeadLetter.objects.get(run=failed())
    if verb.target is Target.WORKFLOW:
        return published(WAITS).workflow
    [run_id] = asking()
    return Approval.objects.get(pk=steps(run_id)["ok"].pk)


def button(verb: Verb, key: Any) -> str:
    """The address of the page behind the verb's button."""
    holder = {
        Target.RUN: "run",
        Target.STEP: "approval",
        Target.DEAD_LETTER: "deadletter",
        Target.WORKFLOW: "run" if verb is verbs.START else "workflow",
    }
    return reverse(f"admin:runs_{holder[verb.target]}_{verb.name}", args=[key])


def test_at_most_five_reasons_keep_a_verb_from_a_door_and_each_says_why() -> None:
    assert len(ABSENT) <= 5
    assert all(absence.reason and absence.doors for absence in ABSENT)
    assert len(set(VERBS)) == len({(verb.name, verb.target) for verb in VERBS})


@pytest.mark.parametrize("verb", named([*VERBS]))
def test_the_api_describes_the_verb_in_its_sentence_or_does_not_have_it(verb: Verb) -> None:
    one = f"{PLURALS[verb.target]}_{verb.name}"
    many = "workflows_start_bulk" if verb is verbs.START else f"{one}_many"
    for door, operation in ((Door.API, one), (Door.BULK, many)):
        assert (operation in operations()) is verbs.has(verb, door), operation
        assert operations().get(operation, verb.does).startswith(verb.does)


@pytest.mark.parametrize("verb", named([verb for verb in VERBS if verbs.has(verb, Door.COMMAND)]))
def test_a_command_does_the_verb_and_says_so_in_its_sentence(verb: Verb) -> None:
    assert get_commands()[verb.command_name] == "runs"
    assert load_command_class("runs", verb.command_name).help.startswith(verb.does)


@pytest.mark.parametrize("verb", named([verb for verb in VERBS if verbs.has(verb, Door.BUTTON)]))
def test_the_page_behind_a_button_shows_the_verbs_sentence(verb: Verb) -> None:
    told = admin().get(button(verb, subject(verb).pk)).content.decode()
    assert escape(verb.does) in told


@pytest.mark.parametrize("verb", named([verb for verb in VERBS if verb.target in MODELS]))
def test_a_list_offers_the_verb_and_asks_in_its_sentence_or_does_not_have_it(verb: Verb) -> None:
    model = MODELS[verb.target]
    request = RequestFactory().get("/")
    request.user = User.objects.create_superuser("root")
    offered = django_admin.site._registry[model].get_actions(request)
    assert (f"{verb.name}_chosen" in offered) is verbs.has(verb, Door.LIST)
    if verbs.has(verb, Door.LIST):
        address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        form = {"action": f"{verb.name}_chosen", ACTION_CHECKBOX_NAME: [str(subject(verb).pk)]}
        assert escape(verb.does) in admin().post(address, form).content.decode()


@pytest.mark.parametrize("verb", named([*verbs.OVER_RUNS, *verbs.OVER_DEAD_LETTERS]))
def test_the_api_takes_many_in_the_verbs_legal_states_only_and_names_them(verb: Verb) -> None:
    states: list[Any] = [*(RunState if verb.target is Target.RUN else DeadLetterState)]
    path = f"{PLURALS[verb.target].replace('_', '-')}/{verb.name}"
    for state in states:
        status, told = api().post(path, {"filter": {"state": state.value}, "why": "test"})
        assert status == (200 if state in verb.states else 400), (state, told)
        if status == 400:
            named_states = ", ".join(sorted(one.value for one in verb.states))
            assert told["errors"][0]["message"].endswith(f"cannot be {verb.past}; name only {named_states}")


@pytest.mark.parametrize("state", list(RunState))
def test_a_runs_buttons_are_the_verbs_that_are_legal_in_its_state(state: RunState) -> None:
    request = RequestFactory().get("/")
    request.user = User.objects.create_superuser("root")
    shown = {one.title.rstrip("…").lower() for one in buttons.run_buttons(request, Run(state=state.value))}
    legal = {verb.name for verb in (*verbs.OVER_RUNS, verbs.REPLAY) if state in verb.states}
    # A run that is not paused cannot be resumed, and one whose work can be stopped is cancelled, not terminated.
    hidden = {"resume"} | ({"terminate"} if "cancel" in legal else set())
    assert shown == legal - hidden
    assert ("replay" in shown) is (state in RUN_ENDED)


@pytest.mark.parametrize("verb", named([*verbs.OVER_RUNS]))
def test_every_door_refuses_in_the_same_words(verb: verbs.RunVerb) -> None:
    run = waiting() if verb in (verbs.RETRY, verbs.RESUME) else succeeded()
    status, told = api().post(f"runs/{run.pk}/{verb.name}", {})
    assert status == 409
    reason = verb.why_not(run.pk, run.state)
    assert told["detail"] == reason
    page = admin().get(button(verb, run.pk), follow=True).content.decode()
    assert escape(reason) in page


def succeeded() -> Run:
    [run_id] = begun(published("name: good\nsteps: [{id: a, action: default}]"))
    drain()
    return Run.objects.get(pk=run_id)
