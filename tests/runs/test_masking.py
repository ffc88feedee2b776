"""Whoever may not edit a workflow sees its configs without the secrets in them, on every way in that shows one."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from runs.models import DeadLetter, Run, StepRun
from tests.engine import drain
from tests.flows import begun, of_earlier_release, owner, workspace
from tests.runs.doors import Api
from workflows.definitions.secrets import MARKER
from workflows.models import Step, Version, Workflow
from workflows.workspaces import tokens

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "hunter2"
# Port 9 of this host answers nobody; and the guard refuses it anyway.
_WITH = {"url": f"http://user:{SECRET}@127.0.0.1:9/", "headers": {"Authorization": f"Bearer {SECRET}"}}
# A job is refused with a user or password in its URL, and so is a workflow unless an earlier release published it.
_JOB = {**_WITH, "url": f"http://127.0.0.1:9/?token={SECRET}"}
# With an expression, so that the config that an attempt had is stored.
_ASKED = {**_WITH, "query": {"n": "{{ 1 + 1 }}"}}
_ASK = {"action": "http_request", "retry": "none", "with": _ASKED}
ASKS = {"name": "asks", "steps": [{"id": "ask", **_ASK}], "on_failure": [{"id": "tell", **_ASK}]}


@pytest.fixture
def run() -> Run:
    """A failed run of a step whose config has secrets, and the same step as a job."""
    [run_id] = begun(of_earlier_release(json.dumps(ASKS)))
    status, _ = _api().post("jobs", {"type": "http_request", "payload": _JOB})
    assert status == 201
    drain()
    return Run.objects.get(pk=run_id)


def _api() -> Api:
    return Api(tokens.issue(workspace(), owner(), "test")[1])


def _shown(api: Api, run: Run) -> dict[str, str]:
    job = Run.objects.exclude(pk=run.pk).get()
    letters = DeadLetter.objects.values_list("pk", flat=True)
    paths = [
        f"runs/{run.pk}",
        f"runs/{job.pk}",
        f"jobs/{job.pk}",
        "workflows/asks",
        *(f"dead-letters/{key}" for key in letters),
    ]
    found = {}
    for path in paths:
        status, told = api.get(path)
        assert status == 200, told
        found[path] = json.dumps(told)
    return found


def test_a_token_that_may_publish_sees_everything_over_the_api(run: Run) -> None:
    assert all(SECRET in text and MARKER not in text for text in _shown(_api(), run).values())


def test_a_token_without_the_scope_publish_sees_no_secret(run: Run) -> None:
    api = Api(tokens.issue(workspace(), owner(), "test", scopes={"read", "start", "operate", "admin"})[1])
    shown = _shown(api, run)
    assert [path for path, text in shown.items() if SECRET in text] == []
    assert [path for path, text in shown.items() if MARKER not in text] == []


def _pages(run: Run) -> list[str]:
    workflow = Workflow.objects.get(name="asks")
    Step.objects.create(workflow=workflow, key="x", action="notify", position=9, config={"password": SECRET})
    jobs = Run.objects.exclude(pk=run.pk).get()
    return [
        reverse("admin:runs_run_change", args=[run.pk]),
        reverse("admin:runs_run_change", args=[jobs.pk]),
        *(reverse("admin:runs_steprun_change", args=[key]) for key in StepRun.objects.values_list("pk", flat=True)),
        *(
            reverse("admin:runs_deadletter_change", args=[key])
            for key in DeadLetter.objects.values_list("pk", flat=True)
        ),
        reverse("admin:workflows_version_change", args=[Version.objects.get(workflow=workflow).pk]),
        reverse("admin:workflows_workflow_change", args=[workflow.pk]),
    ]


def _browser(*names: str) -> Client:
    user = User.objects.create(username="-".join(names), is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client = Client()
    client.force_login(user)
    return client


_VIEWS = ("view_run", "view_steprun", "view_deadletter", "view_version", "view_workflow", "view_step")


def test_pages_of_the_admin_show_secrets_only_to_those_who_may_edit_workflows(run: Run) -> None:
    reader, editor = _browser(*_VIEWS), _browser(*_VIEWS, "change_workflow", "change_step")
    for page in _pages(run):
        seen = {client: client.get(page) for client in (reader, editor)}
        assert {answer.status_code for answer in seen.values()} == {200}
        assert SECRET not in seen[reader].content.decode(), page
        assert SECRET in seen[editor].content.decode(), page


def test_a_masked_input_cannot_be_given_to_a_retry(run: Run) -> None:
    letter = DeadLetter.objects.exclude(run=run).get()
    client = _browser(*_VIEWS, "change_deadletter")
    page = reverse("admin:runs_deadletter_edit", args=[letter.pk])
    assert SECRET not in client.get(page).content.decode()
    answer = client.post(page, {"input": json.dumps({"url": "https://h/", "headers": {"Cookie": MARKER}}), "why": "x"})
    assert "is a masked value" in answer.content.decode()
    letter.refresh_from_db()
    assert letter.state == "open"


def test_a_job_with_a_masked_value_is_refused(run: Run) -> None:
    sent = {"type": "http_request", "payload": {"url": f"https://{MARKER}@host/"}}
    status, told = _api().post("jobs", sent)
    assert status == 400
    assert "payload.url" in json.dumps(told)
