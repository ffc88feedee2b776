"""The admin's pages of runs: what they show, that they are read only, and the start of a run."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from runs.models import DeadLetter, Run, StepRun
from tests.engine import drain
from tests.flows import begun, published, the_run
from tests.runs.doors import admin, newest_run

pytestmark = pytest.mark.django_db(transaction=True)

SELECT = """
name: select-email
inputs: {type: object, properties: {age: {type: integer}}}
steps:
  - {id: pick, action: transform, with: {select: [email]}}
  - {id: after, action: default}
"""
EVIL = "<script>alert(1)</script>"
MODELS = ("run", "steprun", "ticket", "deadletter", "process")


def test_the_page_of_a_run_shows_every_step_and_escapes_what_it_shows() -> None:
    [run_id] = begun(published(SELECT), {"email": EVIL})
    drain()
    page = admin().get(reverse("admin:runs_run_change", args=[run_id])).content.decode()
    assert "pick" in page
    assert "after" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert EVIL not in page


def test_the_page_of_a_failed_run_says_why_and_leads_to_its_dead_letter() -> None:
    [run_id] = begun(published(SELECT), {"age": 1})
    drain()
    client = admin()
    page = client.get(reverse("admin:runs_run_change", args=[run_id])).content.decode()
    dead_letter = DeadLetter.objects.get()
    address = reverse("admin:runs_deadletter_change", args=[dead_letter.pk])
    assert address in page
    assert dead_letter.error["message"].split("'")[0] in page
    assert client.get(address).status_code == 200


def test_the_page_of_a_run_that_has_not_begun_shows_its_steps_as_pending() -> None:
    [run_id] = begun(published(SELECT), {"email": "e"})
    page = admin().get(reverse("admin:runs_run_change", args=[run_id])).content.decode()
    assert page.count("pending") >= 2


@pytest.mark.parametrize("model", MODELS)
def test_rows_of_the_engine_cannot_be_added_changed_or_deleted(model: str) -> None:
    begun(published(SELECT), {"age": 1})
    drain()
    client = admin()
    assert client.get(reverse(f"admin:runs_{model}_changelist")).status_code == 200
    assert client.get(reverse(f"admin:runs_{model}_add")).status_code == 403
    for row in (Run, StepRun, DeadLetter):
        if row._meta.model_name == model:
            key = row.objects.all()[0].pk
            assert client.get(reverse(f"admin:runs_{model}_change", args=[key])).status_code == 200
            assert client.post(reverse(f"admin:runs_{model}_change", args=[key]), {}).status_code == 403
            assert client.post(reverse(f"admin:runs_{model}_delete", args=[key])).status_code == 403


@pytest.mark.parametrize("model", MODELS)
def test_a_list_costs_the_same_however_long_it_is(model: str) -> None:
    client = admin()
    address = reverse(f"admin:runs_{model}_changelist")

    def queries() -> int:
        client.get(address)
        with CaptureQueriesContext(connection) as captured:
            assert client.get(address).status_code == 200
        return len(captured)

    begun(published(SELECT), {"age": 1})
    drain()
    begun(published(SELECT), {"age": 1})
    few = queries()
    for number in range(3):
        begun(published(SELECT.replace("select-email", f"other-{number}")), {"age": 1})
    drain()
    begun(published(SELECT), {"email": "e"}, {"email": "f"})
    assert queries() == few


def test_a_run_is_found_by_id_and_by_key_and_by_workflow() -> None:
    found = published(SELECT)
    [one] = begun(found, {"email": "e"}, idempotency_key="order-7")
    [other] = begun(published(SELECT.replace("select-email", "other")), {"email": "f"})
    client, address = admin(), reverse("admin:runs_run_changelist")

    def shown(**query: str) -> set[bool]:
        page = client.get(address, query).content.decode()
        return {str(one) in page, str(other) in page}

    for query in ({"q": str(one)}, {"q": "order-7"}, {"workflow": str(found.workflow.pk)}):
        page = client.get(address, query).content.decode()
        assert f"/{one}/" in page
        assert f"/{other}/" not in page
    for query in ({"q": "nothing"}, {"workflow": "no-id"}):
        page = client.get(address, query).content.decode()
        assert f"/{one}/" not in page


def test_a_run_is_started_from_its_workflow_and_shown() -> None:
    workflow = published(SELECT).workflow
    client = admin()
    change = reverse("admin:workflows_workflow_change", args=[workflow.pk])
    start = reverse("admin:runs_run_start", args=[workflow.pk])
    assert start in client.get(change).content.decode()
    assert start in client.get(reverse("admin:runs_run_choose"), {"q": "EMAIL"}).content.decode()
    assert "{}" in client.get(start).content.decode()
    answer = client.post(start, {"input": '{"email": "e"}', "idempotency_key": "k", "labels": "team=shop\r\na = b"})
    run = newest_run()
    assert answer.headers["Location"] == reverse("admin:runs_run_change", args=[run.pk])
    assert (run.input, run.idempotency_key, run.source) == ({"email": "e"}, "k", "admin")
    assert run.labels == {"team": "shop", "a": "b"}
    drain()
    assert the_run(run.pk).state == "succeeded"
    again = client.post(start, {"input": '{"email": "other"}', "idempotency_key": "k"}).content.decode()
    assert f"Run {run.pk} has this key with another input" in again
    assert newest_run().pk == run.pk


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"input": "{"}, "line 1"),
        ({"input": ""}, "required"),
        ({"input": '{"a": NaN}'}, "NaN"),
        ({"input": '{"age": "old"}'}, "input.age"),
        ({"input": "{}", "idempotency_key": "x" * 256}, "255"),
        ({"input": "{}", "labels": "team"}, "key=value"),
    ],
)
def test_a_bad_start_is_told_at_its_field_and_starts_nothing(form: dict[str, str], said: str) -> None:
    workflow = published(SELECT).workflow
    answer = admin().post(reverse("admin:runs_run_start", args=[workflow.pk]), form)
    assert answer.status_code == 200
    assert said in answer.content.decode()
    assert not Run.objects.exists()


def test_only_who_may_start_runs_sees_the_start_pages() -> None:
    workflow = published(SELECT).workflow
    client = Client()
    client.force_login(User.objects.create(username="reader", is_staff=True))
    for address in (
        reverse("admin:runs_run_choose"),
        reverse("admin:runs_run_start", args=[workflow.pk]),
    ):
        assert client.get(address).status_code == 403
        assert Client().get(address).status_code == 302
