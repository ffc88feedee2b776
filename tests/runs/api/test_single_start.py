"""The quick way to start a run over the API: what it shares, what it looks at each time, and what it leaves alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from django.db.models.functions import Now
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext

from project import headers
from project.wsgi import application
from runs.api import fast_start
from runs.api.fast_start import StartSingle
from runs.control import starts
from runs.control.starts import Recipe
from runs.domain.requests import Authorization, Request, Started
from runs.models import Run
from runs.queries.database import observed
from tests.engine import drain
from tests.flows import owner, published, workspace
from tests.runs.doors import Api, Posted, api, posted
from tests.runs.locks import in_thread, other_connection, wait_for_waiter
from tests.waiting import wait_for
from workflows.definitions.errors import InvalidInput
from workflows.models import ApiToken, Workflow
from workflows.workspaces import tokens

pytestmark = pytest.mark.django_db(transaction=True)

PLAIN = "name: quick\nsteps:\n  - {id: pick, action: transform, with: {select: [n]}}\n"
KEYED = PLAIN + 'concurrency: {limit: 5, key: "{{ input.customer }}"}\n'
ADDRESS = "workflows/quick/runs"


@pytest.fixture
def client() -> Api:
    """One whose token and workflow are known already, and no others."""
    fast_start._workspaces.clear()
    fast_start._recipes.clear()
    fast_start._hosts.clear()
    published(PLAIN)
    found = api()
    assert found.post(ADDRESS, {"input": {"n": 0}})[0] == 201
    drain()
    return found


def test_a_start_looks_once_and_inserts_once(client: Api) -> None:
    with observed() as seen:
        status, told = client.post(ADDRESS, {"input": {"n": 1}, "labels": {"a": "b"}, "priority": 3})
    assert (status, told["state"]) == (201, "queued")
    assert seen == ["start_by_leave"]
    run = Run.objects.get(pk=told["id"])
    assert (run.input, run.labels, run.priority, run.source) == ({"n": 1}, {"a": "b"}, 3, "api")
    drain()
    run.refresh_from_db()
    assert run.state == "succeeded"


def test_the_answer_is_guarded_like_any_other(client: Api) -> None:
    answer = _post(client, {"input": {"n": 1}})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    ordinary = _post(client, [])
    assert ordinary.status == 400
    # Those speak of content, and of a page in a browser.
    assert set(ordinary.headers) - set(answer.headers) == {"allow", "x-frame-options"}
    of_its_body = ("content-type", "content-length")
    assert all(ordinary.headers[name] == value for name, value in answer.headers.items() if name not in of_its_body)


def test_where_https_is_wanted_only_https_is_quick(client: Api, settings: LazySettings) -> None:
    settings.SECURE_SSL_REDIRECT, settings.SECURE_HSTS_SECONDS = True, 60
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    guarded = StartSingle(WSGIHandler(), headers=headers.of_every_answer())
    words = {"Authorization": f"Bearer {client.token}"}
    with observed() as seen:
        refused = posted(f"/api/v1/{ADDRESS}", {}, headers=words, to=guarded)
        assert (refused.status, refused.headers["location"]) == (301, f"https://testserver/api/v1/{ADDRESS}")
        assert seen == []
        answer = posted(f"/api/v1/{ADDRESS}", {}, headers={**words, "X-Forwarded-Proto": "https"}, to=guarded)
    assert (answer.status, answer.headers["strict-transport-security"]) == (201, "max-age=60")
    assert seen == ["start_by_leave"]


def test_a_database_that_fails_is_told_of_and_the_start_is_not_tried_again(
    client: Api, caplog: pytest.LogCaptureFixture
) -> None:
    with observed() as seen, other_connection() as other, altered("SET lock_timeout = '200ms'", "RESET lock_timeout"):
        other.execute("SELECT 1 FROM workflows_workflow FOR UPDATE")
        answer = _post(client, {})
    assert "start_failed" in caplog.messages
    assert (answer.status, json.loads(answer.content)["title"]) == (503, "Service Unavailable")
    assert answer.headers["content-type"] == "application/problem+json"
    assert "content-security-policy" in answer.headers
    assert seen == ["start_by_leave"]


@contextmanager
def altered(sql: str, back: str) -> Iterator[None]:
    """The database is otherwise in the block."""
    with connection.cursor() as cursor:
        cursor.execute(sql)
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(back)


def test_a_body_that_breaks_off_is_told_of_and_starts_nothing(client: Api) -> None:
    class Gone:
        def read(self, *_: object) -> bytes:
            raise OSError("the client went away")

    told: list[Any] = []
    environ = RequestFactory().post(f"/api/v1/{ADDRESS}", data="{}", content_type="application/json").environ
    environ |= {"wsgi.input": Gone(), "HTTP_AUTHORIZATION": f"Bearer {client.token}"}
    content = b"".join(application(environ, lambda *status_and_headers: told.extend(status_and_headers)))  # type: ignore[arg-type]  # nobody calls write
    assert (told[0], json.loads(content)["status"]) == ("500 Internal Server Error", 500)
    assert Run.objects.count() == 1


def test_who_has_no_token_fills_no_memory_with_hosts(client: Api) -> None:
    for number in range(80):
        assert _post(client, {}, Host=f"localhost:{number}", Authorization="Bearer wrong").status == 401
        assert _post(client, {}, Host=f"localhost:{'0' * 9999}{number}", Authorization="Bearer wrong").status == 401
    assert len(fast_start._hosts) <= 64
    assert max(map(len, fast_start._hosts)) < 20


def test_a_workflow_that_was_moved_to_another_workspace_is_not_there(client: Api) -> None:
    Workflow.objects.filter(name="quick").update(workspace=workspace("elsewhere"))
    assert client.post(ADDRESS, {})[0] == 404
    assert Run.objects.count() == 1


def test_what_nobody_expected_is_logged_and_told_of(client: Api, caplog: pytest.LogCaptureFixture) -> None:
    with altered("ALTER TABLE runs_ticket RENAME TO away", "ALTER TABLE away RENAME TO runs_ticket"):
        answer = _post(client, {})
    assert (answer.status, json.loads(answer.content)["title"]) == (500, "Internal Server Error")
    assert "start_failed" in caplog.messages
    assert Run.objects.count() == 1
    assert _post(client, {}).status == 201


def _post(client: Api, body: Any, **headers: str) -> Posted:
    return posted(f"/api/v1/{ADDRESS}", body, headers={"Authorization": f"Bearer {client.token}", **headers})


def test_requests_that_come_while_one_is_committed_share_the_next_statement(client: Api) -> None:
    answers: list[tuple[int, Any]] = []
    bodies = [{"idempotency_key": key} for key in ("a", "b", "b", "c")]
    recipe = next(iter(fast_start._recipes.values()))
    with observed() as seen, other_connection() as other, ExitStack() as stack:
        # A start takes a lock of its workflow's row, as its foreign key does.
        other.execute("SELECT 1 FROM workflows_workflow FOR UPDATE")
        for place, body in enumerate(bodies):
            stack.enter_context(in_thread(lambda body=body: answers.append(client.post(ADDRESS, body))))  # type: ignore[misc]
            if place == 0:
                wait_for_waiter()
            else:
                wait_for(lambda place=place: starts._starts.waiting(recipe) == place, what="the line")  # type: ignore[misc]
        other.commit()
        wait_for(lambda: len(answers) == 4, what="all answers")
    assert seen.count("start_by_leave") == 2
    assert sorted(status for status, _ in answers) == [200, 201, 201, 201]
    assert len({told["id"] for _, told in answers}) == 3
    assert set(Run.objects.values_list("idempotency_key", flat=True)) == {None, "a", "b", "c"}


def test_starts_by_threads_share_a_statement_too(client: Api) -> None:
    workflow = Workflow.objects.select_related("current").get(name="quick")
    assert workflow.current is not None
    recipe = Recipe(workflow.current, workflow, "test")
    made: list[Started] = []

    def start() -> None:
        made.extend(starts.start([Request()], version=recipe.version, workflow=workflow, source="test"))

    with observed() as seen, other_connection() as other, ExitStack() as stack:
        other.execute("SELECT 1 FROM workflows_workflow FOR UPDATE")
        for place in range(4):
            stack.enter_context(in_thread(start))
            if place == 0:
                wait_for_waiter()
            else:
                wait_for(lambda place=place: starts._starts.waiting(recipe) == place, what="the line")  # type: ignore[misc]
        other.commit()
    assert len({one.run_id for one in made}) == 4
    assert seen.count("start") == 2


def test_a_request_that_cannot_be_started_holds_back_none_beside_it(client: Api) -> None:
    published(KEYED)
    workflow = Workflow.objects.select_related("current").get(name="quick")
    assert workflow.current is not None
    recipe = Recipe(workflow.current, workflow, "test")
    good, bad = Request({"customer": "a"}), Request({})
    answers = starts.insert_each(recipe, [good, bad, good])
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
        answers = starts.insert_each(recipe, [good, held, good])
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


def _narrow() -> None:
    ApiToken.objects.update(scopes=["read", "operate", "publish", "admin"])


@pytest.mark.parametrize(("change", "status"), [(_revoke, 401), (_expire, 401), (_dismiss, 401), (_narrow, 403)])
def test_a_token_that_holds_no_longer_starts_nothing_from_then_on(
    client: Api, change: Callable[[], None], status: int
) -> None:
    change()
    assert client.post(ADDRESS, {"input": {"n": 1}})[0] == status
    assert Run.objects.count() == 1


@pytest.mark.parametrize("how", ["deleted", "without the scope"])
def test_one_token_that_holds_no_longer_fails_alone(how: str, client: Api) -> None:
    other = api()
    assert other.post(ADDRESS, {})[0] == 201
    recipe = next(iter(fast_start._recipes.values()))
    token = ApiToken.objects.order_by("id")[0]
    if how == "deleted":
        token.delete()
    else:
        token.scopes = ["read"]
        token.save()
    authorizations = [Authorization(tokens.digest(one.token), "quick") for one in (other, client, other)]
    _refuses_the_middle_one(recipe, authorizations)


def test_a_start_writes_down_that_its_token_was_used_once_a_minute(client: Api) -> None:
    before = ApiToken.objects.get().last_used_at
    assert before is not None
    with CaptureQueriesContext(connection) as seen:
        assert client.post(ADDRESS, {"input": {"n": 1}})[0] == 201
    assert not [one for one in seen if "workflows_apitoken" in one["sql"] and "UPDATE" in one["sql"]]
    assert ApiToken.objects.get().last_used_at == before
    ApiToken.objects.update(last_used_at=Now() - timedelta(minutes=2))
    tokens._noted.clear()
    assert client.post(ADDRESS, {"input": {"n": 1}})[0] == 201
    after = ApiToken.objects.get().last_used_at
    assert after is not None
    assert after >= before


def test_a_token_that_somebody_changes_just_now_starts_all_the_same(client: Api) -> None:
    tokens._noted.clear()
    with other_connection() as other:
        other.execute("SELECT 1 FROM workflows_apitoken FOR UPDATE")
        assert client.post(ADDRESS, {"input": {"n": 1}})[0] == 201
        other.rollback()


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
    recipe = next(iter(fast_start._recipes.values()))
    Workflow.objects.filter(pk=recipe.workflow.pk).update(name="was-quick")
    token = tokens.digest(client.token)
    _refuses_the_middle_one(recipe, [Authorization(token, name) for name in ("was-quick", "quick", "was-quick")])


def _refuses_the_middle_one(recipe: Recipe, authorizations: Sequence[Authorization]) -> None:
    """Also where it asks for what is there: whoever has no leave is not told of it."""
    count = Run.objects.count()
    answers = starts.insert_each(
        recipe, [Request(authorization=authorization, idempotency_key="k") for authorization in authorizations]
    )
    told = [(answer.created, answer.outdated) for answer in answers if isinstance(answer, Started)]
    assert told == [(True, False), (False, True), (False, False)]
    assert Run.objects.count() == count + 1


def test_who_has_looked_already_goes_with_those_by_leave(client: Api) -> None:
    recipe = next(iter(fast_start._recipes.values()))
    authorizations = [
        Request(authorization=Authorization("no such token", "quick")),
        Request(authorization=Authorization("", "")),
    ]
    answers = starts.insert_each(recipe, [authorizations[0], Request(), authorizations[1]])
    assert [answer.created for answer in answers if isinstance(answer, Started)] == [False, True, False]


def test_a_workflow_that_is_gone_starts_nothing(client: Api) -> None:
    recipe = next(iter(fast_start._recipes.values()))
    Run.objects.all().delete()
    workflow = Workflow.objects.get(name="quick")
    workflow.current = None
    workflow.save()
    workflow.versions.all().delete()
    workflow.delete()
    [answer] = starts.insert_each(recipe, [Request(authorization=Authorization(tokens.digest(client.token), "quick"))])
    assert isinstance(answer, Started)
    assert answer.outdated
    assert client.post(ADDRESS, {})[0] == 404


def test_a_workflow_of_another_workspace_is_not_there(client: Api) -> None:
    assert api("other").post(ADDRESS, {})[0] == 404
    assert Run.objects.count() == 1


def test_a_connection_that_broke_while_idle_costs_no_request(client: Api) -> None:
    with other_connection() as other, connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [cursor.fetchone()[0]])
    with observed() as seen:
        assert _post(client, {"input": {"n": 1}}).status == 201
    assert seen == ["start_by_leave"]


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
    assert "start_by_leave" not in seen


def test_other_headers_take_the_ordinary_way(client: Api) -> None:
    assert _post(client, {}, Accept="text/html").status == 406
    assert _post(client, {}, Authorization=f"bearer  {client.token}").status == 201
    assert _post(client, {}, Authorization="Bearer stw_wrong").status == 401
    assert _post(client, {}, Host="evil.example").status == 400
    assert client.post(ADDRESS, "a: 1", content_type="application/yaml")[0] == 415
