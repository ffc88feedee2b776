"""The quick way to start a run over the API: what it shares, what it looks at each time, and what it leaves alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client

from runs import control, starting
from runs.api import single_start
from runs.database import observed
from runs.models import Run
from runs.requests import Request, Started
from runs.starting import Recipe
from tests.engine import drain
from tests.flows import owner, published
from tests.runs.doors import Api, api
from tests.runs.locks import in_thread, other_connection, wait_for_waiter
from tests.waiting import wait_for
from workflows import tokens
from workflows.errors import InvalidInput
from workflows.models import ApiToken, Workflow

pytestmark = pytest.mark.django_db(transaction=True)

PLAIN = "name: quick\nsteps:\n  - {id: pick, action: transform, with: {select: [n]}}\n"
KEYED = PLAIN + 'concurrency: {limit: 5, key: "{{ input.customer }}"}\n'
ADDRESS = "workflows/quick/runs"


@pytest.fixture
def client() -> Api:
    """One whose token and workflow are known already, and no others."""
    single_start._workspaces.clear()
    single_start._recipes.clear()
    published(PLAIN)
    found = api()
    assert found.post(ADDRESS, {"input": {"n": 0}})[0] == 201
    drain()
    return found


def test_a_start_looks_once_and_inserts_once(client: Api) -> None:
    with observed() as seen:
        status, told = client.post(ADDRESS, {"input": {"n": 1}, "labels": {"a": "b"}, "priority": 3})
    assert (status, told["state"]) == (201, "queued")
    assert seen == ["still_good", "start"]
    run = Run.objects.get(pk=told["id"])
    assert (run.input, run.labels, run.priority, run.source) == ({"n": 1}, {"a": "b"}, 3, "api")
    drain()
    run.refresh_from_db()
    assert run.state == "succeeded"


def test_the_answer_is_guarded_like_any_other(client: Api) -> None:
    answer = _post(client, {"input": {"n": 1}})
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Content-Length"] == str(len(answer.content))
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]


def _post(client: Api, body: Any, **headers: str) -> Any:
    words = {"Authorization": f"Bearer {client.token}", **headers}
    return Client().post(f"/api/v1/{ADDRESS}", json.dumps(body), content_type="application/json", headers=words)


def test_requests_that_come_while_one_is_committed_share_the_next_statement(client: Api) -> None:
    answers: list[tuple[int, Any]] = []
    bodies = [{"idempotency_key": key} for key in ("a", "b", "b", "c")]
    recipe = next(iter(single_start._recipes.values()))
    with observed() as seen, other_connection() as other, ExitStack() as stack:
        # A start takes a lock of its workflow's row, as its foreign key does.
        other.execute("SELECT 1 FROM workflows_workflow FOR UPDATE")
        for place, body in enumerate(bodies):
            stack.enter_context(in_thread(lambda body=body: answers.append(client.post(ADDRESS, body))))  # type: ignore[misc]
            if place == 0:
                wait_for_waiter()
            else:
                wait_for(lambda place=place: single_start._starts.waiting(recipe) == place, what="the line")  # type: ignore[misc]
        other.commit()
        wait_for(lambda: len(answers) == 4, what="all answers")
    assert seen.count("start") == 2
    assert sorted(status for status, _ in answers) == [200, 201, 201, 201]
    assert len({told["id"] for _, told in answers}) == 3
    assert set(Run.objects.values_list("idempotency_key", flat=True)) == {None, "a", "b", "c"}


def test_starts_by_threads_share_a_statement_too(client: Api) -> None:
    workflow = Workflow.objects.select_related("current").get(name="quick")
    assert workflow.current is not None
    recipe = Recipe(workflow.current, workflow, "test")
    made: list[Started] = []

    def start() -> None:
        made.extend(control.start([Request()], version=recipe.version, workflow=workflow, source="test"))

    with observed() as seen, other_connection() as other, ExitStack() as stack:
        other.execute("SELECT 1 FROM workflows_workflow FOR UPDATE")
        for place in range(4):
            stack.enter_context(in_thread(start))
            if place == 0:
                wait_for_waiter()
            else:
                wait_for(lambda place=place: starting._starts.waiting(recipe) == place, what="the line")  # type: ignore[misc]
        other.commit()
    assert len({one.run_id for one in made}) == 4
    assert seen.count("start") == 2


def test_a_request_that_cannot_be_started_holds_back_none_beside_it(client: Api) -> None:
    published(KEYED)
    workflow = Workflow.objects.select_related("current").get(name="quick")
    assert workflow.current is not None
    recipe = Recipe(workflow.current, workflow, "test")
    good, bad = Request({"customer": "a"}), Request({})
    answers = starting.insert_each(recipe, [good, bad, good])
    assert [type(answer) for answer in answers] == [Started, InvalidInput, Started]
    held = Request({"customer": "a"}, idempotency_key="held")
    with other_connection() as other, connection.cursor() as cursor:
        # A twin of the key that is not committed, by a run of any other kind.
        columns = "workspace_id, workflow_id, version_id, source, labels, input, generation"
        other.execute(
            f"INSERT INTO runs_run (id, idempotency_key, state, {columns})"
            f" SELECT gen_random_uuid(), 'held', 'queued', {columns} FROM runs_run LIMIT 1"
        )
        cursor.execute("SET lock_timeout = '200ms'")
        answers = starting.insert_each(recipe, [good, held, good])
        cursor.execute("RESET lock_timeout")
    assert [isinstance(answer, Started) for answer in answers] == [True, False, True]
    assert Run.objects.filter(source="test").count() == 4


def _revoke() -> None:
    ApiToken.objects.all().delete()


def _expire() -> None:
    ApiToken.objects.update(expires_at=Now() - timedelta(seconds=1))


def _dismiss() -> None:
    user = owner()
    user.is_active = False
    user.save()


@pytest.mark.parametrize("change", [_revoke, _expire, _dismiss])
def test_a_token_that_holds_no_longer_starts_nothing_from_then_on(client: Api, change: Callable[[], None]) -> None:
    change()
    assert client.post(ADDRESS, {"input": {"n": 1}})[0] == 401
    assert Run.objects.count() == 1


def test_one_token_that_holds_no_longer_fails_alone(client: Api) -> None:
    other = api()
    assert other.post(ADDRESS, {})[0] == 201
    recipe = next(iter(single_start._recipes.values()))
    ApiToken.objects.order_by("id")[0].delete()
    asked = [single_start._Asked(tokens.digest(one.token), "quick", Request()) for one in (other, client, other)]
    answers = single_start._start(recipe, asked)
    assert [isinstance(answer, Started) for answer in answers] == [True, False, True]


def test_a_version_that_was_just_published_is_the_one_that_is_started(client: Api) -> None:
    version = published(PLAIN + "description: changed\n").version
    status, told = client.post(ADDRESS, {"input": {"n": 1}})
    assert status == 201
    assert Run.objects.get(pk=told["id"]).version_id == version.pk


def test_a_name_that_was_given_to_another_workflow_starts_that_one(client: Api) -> None:
    first = Workflow.objects.get(name="quick")
    Workflow.objects.filter(pk=first.pk).update(name="was-quick")
    assert client.post(ADDRESS, {})[0] == 404
    second = published(PLAIN).workflow
    assert client.post(ADDRESS, {})[0] == 201
    assert client.post(f"workflows/{first.pk}/runs", {})[0] == 201
    assert [Run.objects.filter(workflow=one).count() for one in (first, second)] == [2, 1]


def test_one_who_came_by_a_name_that_is_another_workflow_s_now_fails_alone(client: Api) -> None:
    recipe = next(iter(single_start._recipes.values()))
    Workflow.objects.filter(pk=recipe.workflow.pk).update(name="was-quick")
    token = tokens.digest(client.token)
    asked = [single_start._Asked(token, name, Request()) for name in ("was-quick", "quick", "was-quick")]
    answers = single_start._start(recipe, asked)
    assert [isinstance(answer, Started) for answer in answers] == [True, False, True]


def test_a_workflow_of_another_workspace_is_not_there(client: Api) -> None:
    assert api("other").post(ADDRESS, {})[0] == 404
    assert Run.objects.count() == 1


def test_a_connection_that_broke_while_idle_costs_no_request(client: Api) -> None:
    with other_connection() as other, connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [cursor.fetchone()[0]])
    with observed() as seen:
        assert _post(client, {"input": {"n": 1}}).status_code == 201
    assert seen[:3] == ["still_good", "still_good", "start"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"input": {"n": "x" * 2_000_000}}, 201),
        ({"inptu": 1}, 400),
        ([], 400),
        ({"idempotency_key": "\x00"}, 400),
    ],
)
def test_what_is_large_or_wrong_takes_the_ordinary_way(client: Api, body: Any, status: int) -> None:
    with observed() as seen:
        assert client.post(ADDRESS, body)[0] == status
    assert "still_good" not in seen


def test_other_headers_take_the_ordinary_way(client: Api) -> None:
    assert _post(client, {}, Accept="text/html").status_code == 406
    assert _post(client, {}, Authorization=f"bearer  {client.token}").status_code == 201
    assert _post(client, {}, Authorization="Bearer stw_wrong").status_code == 401
    assert _post(client, {}, Host="evil.example").status_code == 400
    assert client.post(ADDRESS, "a: 1", content_type="application/yaml")[0] == 415
