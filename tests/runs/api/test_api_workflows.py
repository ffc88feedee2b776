"""/api/v1/workflows: publish, look at, start."""

from __future__ import annotations

import json

import pytest
from django.test import Client

from actions.base import Json
from runs.models import Run
from tests.engine import drain
from tests.runs.doors import api, first_error
from workflows.models import Version, Workflow

pytestmark = pytest.mark.django_db(transaction=True)

SELECT = {
    "name": "select-email",
    "steps": [{"id": "pick", "action": "transform", "with": {"select": ["email"]}}],
}
SHORT = {
    "name": "data-pipeline",
    "steps": [
        {"name": "extract", "type": "transform", "payload": {"source": "db"}, "max_retries": 3},
        {"name": "process", "type": "compute", "payload": {"iterations": 1000}, "max_retries": 2},
        {"name": "notify", "type": "notify", "payload": {"channel": "slack"}, "max_retries": 1},
    ],
}


def test_a_new_definition_makes_a_workflow_and_the_same_again_nothing() -> None:
    client = api()
    status, made = client.post("workflows", SELECT)
    assert status == 201
    assert (made["name"], made["version"], len(made["hash"])) == ("select-email", 1, 64)
    assert client.post("workflows", SELECT) == (200, made)
    changed = {**SELECT, "description": "changed"}
    status, second = client.post("workflows", changed)
    assert (status, second["id"], second["version"]) == (201, made["id"], 2)


def test_a_definition_may_be_sent_as_yaml_and_its_faults_have_lines() -> None:
    client = api()
    good = "name: y\nsteps:\n  - {id: a, action: default}\n"
    assert client.post("workflows", good, content_type="application/yaml")[0] == 201
    bad = "name: y\nsteps:\n  - id: a\n    action: defualt\n"
    for content_type in ("text/yaml", "application/x-yaml"):
        status, problem = client.post("workflows", bad, content_type=content_type)
        assert status == 400
        assert problem["errors"][0]["path"] == "steps[0].action"
        assert problem["errors"][0]["line"] == 4
        assert "default" in problem["errors"][0]["message"]


def test_the_short_form_is_started_at_once_and_each_start_is_shown_by_its_own_id() -> None:
    client = api()
    status, made = client.post("workflows", SHORT)
    assert status == 201
    assert (made["status"], made["state"], made["run"]) == ("pending", "queued", {"id": made["id"], "state": "queued"})
    assert (made["current_step"], made["total_steps"]) == (0, 3)
    other = {**SHORT, "steps": [{**SHORT["steps"][0], "payload": {"source": "file"}}, *SHORT["steps"][1:]]}  # type: ignore[dict-item]  # a list
    again, second = client.post("workflows", other)
    assert again == 201
    assert (second["version"], second["hash"]) == (made["version"], made["hash"])
    assert (second["workflow"], second["workflow_id"]) == (made["workflow"], made["workflow_id"])
    assert second["id"] != made["id"]
    drain()
    for one, source in ((made, "db"), (second, "file")):
        status, shown = client.get(f"workflows/{one['id']}")
        assert (status, shown["id"], shown["run"]["id"], shown["name"]) == (200, one["id"], one["id"], "data-pipeline")
        assert (shown["state"], shown["status"]) == ("succeeded", "completed")
        assert (shown["current_step"], shown["total_steps"]) == (3, 3)
        assert shown["completed_at"] == shown["finished_at"] is not None
        assert [(s["step"], s["state"]) for s in shown["steps"]] == [
            ("extract", "succeeded"),
            ("process", "succeeded"),
            ("notify", "succeeded"),
        ]
        assert shown["steps"][0]["output"] == {"source": source}
    # The workflow that both are starts of has its own id, and shows the latest.
    status, shown = client.get(f"workflows/{made['workflow_id']}")
    assert (status, shown["definition"]["name"], shown["latest_run"]["id"]) == (200, "data-pipeline", second["id"])


@pytest.mark.parametrize(
    ("last", "state", "status", "done"),
    [
        ({"type": "fail"}, "failed", "failed", 1),
        ({"type": "fail", "on_error": "continue"}, "succeeded", "completed", 2),
        ({"type": "noop", "if": "false"}, "succeeded", "completed", 2),
        ({"type": "wait", "payload": {"seconds": 3600}}, "waiting", "running", 1),
    ],
)
def test_a_start_of_the_short_form_tells_how_far_it_is(last: Json, state: str, status: str, done: int) -> None:
    client = api()
    first: Json = {"type": "compute", "payload": {"iterations": 1}}
    _, made = client.post("workflows", {"name": "x", "steps": [first, last]})
    drain()
    shown = client.get(f"workflows/{made['id']}")[1]
    assert (shown["state"], shown["status"]) == (state, status)
    assert (shown["current_step"], shown["total_steps"]) == (done, 2)


def test_the_id_of_a_start_belongs_to_its_workspace_and_no_other_run_is_a_workflow() -> None:
    client = api()
    _, made = client.post("workflows", SHORT)
    assert api("theirs").get(f"workflows/{made['id']}")[0] == 404
    assert client.post("workflows/data-pipeline/runs", {"input": _input()})[0] == 201
    [other] = Run.objects.exclude(pk=made["id"])
    assert client.get(f"workflows/{other.pk}")[0] == 404
    _, canonical = client.post("workflows", SELECT)
    assert client.get(f"workflows/{canonical['id']}")[1]["id"] == canonical["id"]


def _input() -> Json:
    return {"extract": {"source": "x"}, "process": {}, "notify": {"channel": "ops"}}


def test_a_run_is_started_by_name_or_id_and_a_repeated_key_answers_the_first() -> None:
    client = api()
    _, made = client.post("workflows", SELECT)
    body = {"input": {"email": "user@example.com"}, "idempotency_key": "k1", "labels": {"team": "shop"}}
    status, started = client.post("workflows/select-email/runs", body)
    assert (status, started["state"]) == (201, "queued")
    status, again = client.post(f"workflows/{made['id']}/runs", body)
    assert (status, again["id"]) == (200, started["id"])
    assert Run.objects.count() == 1
    assert Run.objects.get().labels == {"team": "shop"}


def test_a_name_with_a_slash_is_found() -> None:
    client = api()
    client.post("workflows", {**SELECT, "name": "team/select"})
    assert client.get("workflows/team%2Fselect")[0] == 200
    assert client.post("workflows/team%2Fselect/runs", {"input": {"email": "e"}})[0] == 201


def test_a_workflow_that_is_not_published_cannot_be_started() -> None:
    client = api()
    client.post("workflows", SELECT)
    Workflow.objects.update(current=None)
    status, problem = client.post("workflows/select-email/runs", {})
    assert (status, problem["title"]) == (409, "Conflict")


def test_an_input_that_the_schema_refuses_starts_nothing() -> None:
    client = api()
    strict = {**SELECT, "inputs": {"type": "object", "required": ["email"]}}
    client.post("workflows", strict)
    status, problem = client.post("workflows/select-email/runs", {"input": {}})
    assert status == 400
    assert first_error(problem)[0].startswith("input")
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"inputs": {}}, "inputs"),
        ({"idempotency_key": ""}, "idempotency_key"),
        ({"idempotency_key": "x" * 256}, "idempotency_key"),
        ({"idempotency_key": "a\nb"}, "idempotency_key"),
        ({"labels": {"a": None}}, "labels.a"),
        ({"labels": []}, "labels"),
        ([], ""),
    ],
)
def test_a_bad_start_is_refused_with_its_path(body: object, path: str) -> None:
    client = api()
    client.post("workflows", SELECT)
    status, problem = client.post("workflows/select-email/runs", body)
    assert (status, first_error(problem)[0]) == (400, path)
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "",
        "[]",
        "null",
        '{"name": NaN}',
        '{"name": 1e400}',
        '{"name": 18446744073709551616}',
        '{"name": "a\\u0000b"}',
        '{"name": "\\ud800"}',
        '{"name": "a", "name": "b"}',
        "[" * 10_000 + "]" * 10_000,
        '{"name": "x", "steps": [{"id": "a", "action": "nope"}]}',
        '{"name": "x", "steps": [{"id": "a", "action": "default", "needs": ["b"]}]}',
        b"\xff\xfe",
    ],
)
def test_a_body_that_is_no_definition_is_refused_and_nothing_is_stored(text: str | bytes) -> None:
    status, problem = api().post("workflows", text)
    assert (status, problem["status"], problem["title"]) == (400, 400, "Bad Request")
    assert problem["errors"]
    assert not Workflow.objects.exists()
    assert not Version.objects.exists()


def test_a_body_over_ten_megabytes_is_refused() -> None:
    text = json.dumps({"name": "x" * (10 * 1024 * 1024)})
    for content_type in ("application/json", "application/yaml"):
        status, problem = api().post("workflows", text, content_type=content_type)
        assert (status, problem["status"]) == (413, 413)


def test_a_short_form_that_cannot_be_started_is_not_published_either() -> None:
    refused = {**SHORT, "inputs": {"type": "object", "required": ["missing"]}}
    status, _ = api().post("workflows", refused)
    assert status == 400
    assert not Workflow.objects.exists()


def test_workflows_of_another_workspace_are_not_there() -> None:
    _, made = api("theirs").post("workflows", SELECT)
    mine = api()
    assert mine.get(f"workflows/{made['id']}")[0] == 404
    assert mine.get("workflows/select-email")[0] == 404
    assert mine.post(f"workflows/{made['id']}/runs", {})[0] == 404
    assert mine.get("workflows")[1]["results"] == []


def test_every_error_is_a_problem() -> None:
    anonymous = Client()
    answer = anonymous.get("/api/v1/workflows")
    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.json().keys() == {"type", "title", "status", "detail"}
    wrong = anonymous.get("/api/v1/workflows", headers={"Authorization": "Bearer nope"})
    assert wrong.status_code == 401
    token = {"Authorization": f"Bearer {api().token}"}
    for method, path, status in [
        ("get", "/api/v1/nowhere", 404),
        ("get", "/api/v1/workflows/", 404),
        ("get", "/api/v1/workflows/%00", 404),
        ("get", "/api/v1/runs/no-id", 404),
        ("delete", "/api/v1/workflows", 405),
    ]:
        answer = getattr(anonymous, method)(path, headers=token)
        assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
        assert answer.json()["status"] == status
    form = anonymous.post("/api/v1/workflows", {"name": "x"}, headers=token)
    assert (form.status_code, form.json()["status"]) == (415, 415)


def test_what_yaml_may_read_otherwise_is_a_warning_of_the_publish() -> None:
    text = "name: shop\nsteps:\n  - {id: a, action: notify, with: {channel: a, text: +49}}\n"
    status, told = api().post("workflows", text, content_type="application/yaml")
    assert status == 201
    [warning] = told["warnings"]
    assert warning.startswith("steps[0].with.text (line 3) is read as the number 49")
