"""The admin: cancel, retry, replay and discard, from a page and from a list."""

from __future__ import annotations

from uuid import UUID

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from runs.models import DeadLetter, Intervention, Run
from tests.engine import drain
from tests.flows import begun, published, steps, the_run
from tests.runs.doors import admin

pytestmark = pytest.mark.django_db(transaction=True)

FAILS = """
name: fails
inputs: {type: object}
steps:
  - {id: a, action: default}
  - {id: b, action: transform, with: {select: [email]}}
"""
GOOD, BAD = {"email": "a@b.c"}, {"mail": "<b>x</b>"}
RUN_VERBS = ("cancel", "retry", "replay")
LETTER_VERBS = ("retry", "edit", "discard")


def failed(number: int = 1) -> list[UUID]:
    ids = begun(published(FAILS), *[BAD] * number)
    drain()
    return ids


def live() -> UUID:
    return begun(published(FAILS), GOOD)[0]


def succeeded() -> UUID:
    run_id = live()
    drain()
    return run_id


def letter_of(run_id: UUID) -> DeadLetter:
    return DeadLetter.objects.get(run_id=run_id, state="open")


def run_page(run_id: UUID) -> str:
    return reverse("admin:runs_run_change", args=[run_id])


def letter_page(dead_letter: DeadLetter) -> str:
    return reverse("admin:runs_deadletter_change", args=[dead_letter.pk])


def run_verb(verb: str, run_id: UUID) -> str:
    return reverse(f"admin:runs_run_{verb}", args=[run_id])


def letter_verb(verb: str, dead_letter: DeadLetter) -> str:
    return reverse(f"admin:runs_deadletter_{verb}", args=[dead_letter.pk])


def text(client: Client, address: str) -> str:
    answer = client.get(address, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def staff(*permissions: str) -> Client:
    user = User.objects.create(username="staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def test_a_run_offers_the_verbs_that_are_legal_in_its_state() -> None:
    client = admin()
    [bad], running, good = failed(), live(), None
    offered = {
        run_id: [verb for verb in RUN_VERBS if run_verb(verb, run_id) in text(client, run_page(run_id))]
        for run_id in (bad, running)
    }
    assert offered == {bad: ["retry", "replay"], running: ["cancel"]}
    good = succeeded()
    assert [verb for verb in RUN_VERBS if run_verb(verb, good) in text(client, run_page(good))] == ["replay"]


def test_a_cancel_asks_first_and_is_told_on_the_page_with_its_reason() -> None:
    client, run_id = admin(), live()
    asked = text(client, run_verb("cancel", run_id))
    assert "csrfmiddlewaretoken" in asked
    assert f"run {run_id}" in asked
    assert the_run(run_id).state == "running"
    answer = client.post(run_verb("cancel", run_id), {"why": "<i>wrong</i> customer"})
    assert answer.headers["Location"] == run_page(run_id)
    assert the_run(run_id).state == "cancelled"
    page = text(client, run_page(run_id))
    assert "The run is cancelled." in page
    assert "&lt;i&gt;wrong&lt;/i&gt; customer" in page
    assert "by root" in page
    assert run_verb("cancel", run_id) not in page


def test_a_cross_site_post_cancels_nothing() -> None:
    run_id = live()
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create(username="root2", is_staff=True, is_superuser=True))
    assert client.post(run_verb("cancel", run_id), {"why": "x"}).status_code == 403
    assert the_run(run_id).state == "running"


def test_a_retry_lets_the_run_go_on() -> None:
    client, [run_id] = admin(), failed()
    client.post(run_verb("retry", run_id), {"why": "server is back"})
    told = Intervention.objects.get()
    assert (the_run(run_id).state, told.verb, told.why) == ("running", "retry", "server is back")


def test_a_replay_leads_to_the_new_run_and_back() -> None:
    client, [run_id] = admin(), failed()
    page = text(client, run_verb("replay", run_id))
    assert '<option value="b">' in page
    assert "&quot;mail&quot;" in page, "the form begins with the old run's input"
    chosen = text(client, run_verb("replay", run_id) + "?step=b")
    assert '<option value="b" selected>' in chosen
    form = {"step": "b", "version": "same", "input": '{"email": "e"}', "why": "corrected"}
    answer = client.post(run_verb("replay", run_id), form)
    new = Run.objects.exclude(pk=run_id).get()
    assert answer.headers["Location"] == run_page(new.pk)
    assert (new.replay_of_id, new.input) == (run_id, {"email": "e"})
    assert run_page(run_id) in text(client, run_page(new.pk))
    assert run_page(new.pk) in text(client, run_page(run_id))


def test_a_replay_with_the_latest_version_and_the_old_input() -> None:
    client, [run_id] = admin(), failed()
    published(FAILS.replace("select: [email]", "select: [mail]"))
    client.post(run_verb("replay", run_id), {"step": "", "version": "latest", "input": "", "why": ""})
    drain()
    new = Run.objects.exclude(pk=run_id).get()
    assert (new.state, new.input) == ("succeeded", BAD)


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"step": "nope", "version": "same"}, "nope is not one of the available choices"),
        ({"version": "newest"}, "newest"),
        ({"version": "same", "input": "{"}, "line 1"),
        ({"version": "same", "input": "[]"}, "input"),
        ({"version": "same", "why": "x" * 2001}, "2000"),
    ],
)
def test_a_replay_that_is_wrong_is_told_at_its_field_and_starts_nothing(form: dict[str, str], said: str) -> None:
    client, [run_id] = admin(), failed()
    answer = client.post(run_verb("replay", run_id), form)
    assert answer.status_code == 200
    page = answer.content.decode()
    assert "errorlist" in page or "errors" in page
    assert said in page
    assert Run.objects.count() == 1


def test_a_verb_that_is_not_legal_any_more_changes_nothing_and_says_the_state() -> None:
    client, good = admin(), succeeded()
    for verb in ("cancel", "retry"):
        answer = client.post(run_verb(verb, good), {"why": "x"}, follow=True)
        assert "Nothing was changed: the run is succeeded" in answer.content.decode()
    assert "only a run that has ended" in text(client, run_verb("replay", live()))
    assert not Intervention.objects.exists()


def test_a_dead_letter_is_retried_with_an_edited_input() -> None:
    client, [run_id] = admin(), failed()
    dead_letter = letter_of(run_id)
    page = text(client, letter_verb("edit", dead_letter))
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert "<b>x</b>" not in page
    wrong = client.post(letter_verb("edit", dead_letter), {"input": '{"email": NaN}'})
    assert "NaN" in wrong.content.decode()
    assert the_run(run_id).state == "failed"
    answer = client.post(letter_verb("edit", dead_letter), {"input": '{"email": "e"}', "why": "typo"})
    assert answer.headers["Location"] == run_page(run_id)
    drain()
    assert (the_run(run_id).state, steps(run_id)["b"].output) == ("succeeded", {"email": "e"})
    assert "with edited input: b" in text(client, run_page(run_id))


def test_a_dead_letter_offers_only_what_is_legal() -> None:
    client, [run_id] = admin(), failed()
    dead_letter = letter_of(run_id)
    page = text(client, letter_page(dead_letter))
    assert all(letter_verb(verb, dead_letter) in page for verb in LETTER_VERBS)
    client.post(letter_verb("retry", dead_letter), {"why": ""})
    page = text(client, letter_page(dead_letter))
    assert not any(letter_verb(verb, dead_letter) in page for verb in LETTER_VERBS)
    for verb in LETTER_VERBS:
        said = client.post(letter_verb(verb, dead_letter), {"why": "x", "input": "{}"}, follow=True).content.decode()
        assert "Nothing was changed: the dead letter is retried" in said


def test_a_discard_needs_a_reason() -> None:
    client, [run_id] = admin(), failed()
    dead_letter = letter_of(run_id)
    assert "required" in client.post(letter_verb("discard", dead_letter), {"why": "  "}).content.decode()
    assert letter_of(run_id).state == "open"
    client.post(letter_verb("discard", dead_letter), {"why": "customer gone"})
    dead_letter.refresh_from_db()
    assert (dead_letter.state, dead_letter.resolution) == ("discarded", "customer gone")
    assert "customer gone" in text(client, run_page(run_id))


def chosen(client: Client, model: str, action: str, keys: list[UUID], **form: str) -> str:
    """The page that an action over chosen rows leads to."""
    address = reverse(f"admin:runs_{model}_changelist")
    posted = {"action": action, "index": "0", "_selected_action": [str(key) for key in keys], **form}
    return client.post(address, posted, follow=True).content.decode()


def test_a_list_cancels_those_that_have_not_ended_and_says_how_many() -> None:
    client = admin()
    [bad], first, second, other = failed(), live(), live(), live()
    keys = [bad, first, second]
    assert "Cancel 2 runs" in chosen(client, "run", "cancel_chosen", keys)
    assert the_run(first).state == "running"
    assert "2 runs cancelled." in chosen(client, "run", "cancel_chosen", keys, confirmed="yes", why="stop")
    assert [the_run(key).state for key in (*keys, other)] == ["failed", "cancelled", "cancelled", "running"]
    assert "Nothing was changed" in chosen(client, "run", "cancel_chosen", keys)
    assert Intervention.objects.filter(why="stop").count() == 2


def test_a_list_retries_all_that_the_filter_shows() -> None:
    client = admin()
    first, second = failed(2)
    address = reverse("admin:runs_run_changelist") + "?state__exact=failed"
    form = {"action": "retry_chosen", "index": "0", "select_across": "1", "_selected_action": [str(first)]}
    assert "Retry 2 runs" in client.post(address, form).content.decode()
    client.post(address, {**form, "confirmed": "yes", "why": ""})
    assert {the_run(key).state for key in (first, second)} == {"running"}


def test_a_list_of_dead_letters_retries_and_discards() -> None:
    client = admin()
    first, second, third = failed(3)
    letters = [letter_of(run_id) for run_id in (first, second, third)]
    keys = [dead_letter.pk for dead_letter in letters]
    assert "1 dead letter retried." in chosen(client, "deadletter", "retry_chosen", keys[:1], confirmed="yes", why="")
    assert "required" in chosen(client, "deadletter", "discard_chosen", keys, confirmed="yes", why="")
    assert "2 dead letters discarded." in chosen(
        client, "deadletter", "discard_chosen", keys, confirmed="yes", why="old"
    )
    assert [DeadLetter.objects.get(pk=key).state for key in keys] == ["retried", "discarded", "discarded"]


def test_who_may_only_look_is_offered_no_verb_and_refused_each() -> None:
    [bad], running = failed(), live()
    dead_letter = letter_of(bad)
    client = staff("view_run", "view_deadletter")
    assert run_verb("cancel", running) not in text(client, run_page(running))
    assert letter_verb("discard", dead_letter) not in text(client, letter_page(dead_letter))
    assert "cancel_chosen" not in text(client, reverse("admin:runs_run_changelist"))
    for address in (
        *(run_verb(verb, bad) for verb in RUN_VERBS),
        *(letter_verb(verb, dead_letter) for verb in LETTER_VERBS),
    ):
        assert client.get(address).status_code == 403
        assert client.post(address, {"why": "x"}).status_code == 403
        assert Client().get(address).status_code == 302
    chosen(client, "run", "cancel_chosen", [running], confirmed="yes", why="")
    assert the_run(running).state == "running"


def test_who_may_change_runs_may_cancel_and_cannot_edit_rows() -> None:
    running = live()
    client = staff("view_run", "change_run")
    assert client.post(run_page(running), {"state": "succeeded"}).status_code == 403
    client.post(run_verb("cancel", running), {"why": "x"})
    assert the_run(running).state == "cancelled"
