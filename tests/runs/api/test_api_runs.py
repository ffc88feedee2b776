"""/api/v1/runs and /api/v1/dead-letters: lists, filters, pages, one of them."""

from __future__ import annotations

import re
from datetime import datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from drf_spectacular.validation import validate_schema
from uuid_utils.compat import uuid7

from runs.control import pauses
from runs.domain.actor import Actor
from tests.engine import drain
from tests.flows import begun, published
from tests.runs.doors import Api, admin, api, first_error

pytestmark = pytest.mark.django_db(transaction=True)

SELECT = "name: select-email\nsteps:\n  - {id: pick, action: transform, with: {select: [email]}}\n"
TEN = "name: ten\nsteps:\n" + "".join(
    f"  - {{id: s{n}, action: {'fail' if n == 5 else 'default'}{', with: {message: no stock}' if n == 5 else ''}}}\n"
    for n in range(1, 11)
)
UTC_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def test_a_finished_run_is_told_with_every_step() -> None:
    [run_id] = begun(published(SELECT), {"email": "user@example.com", "age": 20}, labels={"team": "shop"})
    drain()
    status, run = api().get(f"runs/{run_id}")
    assert status == 200
    assert (run["workflow"], run["version"], run["state"]) == ("select-email", 1, "succeeded")
    assert run["input"] == {"email": "user@example.com", "age": 20}
    assert run["output"] == {"email": "user@example.com"}
    assert (run["error"], run["labels"]) == (None, {"team": "shop"})
    for name in ("created_at", "started_at", "finished_at"):
        assert UTC_TIME.fullmatch(run[name])
        assert datetime.fromisoformat(run[name]).tzinfo is not None
    [step] = run["steps"]
    assert step.keys() == {
        *("step", "action", "state", "attempt", "attempts", "input", "config"),
        *(
            "output",
            "output_url",
            "error",
            "started_at",
            "finished_at",
            "child_run",
            "items",
            "progress",
            "waiting_for",
            "approve_url",
        ),
        *("not_kept", "left_out", "step_url"),
    }
    assert (step["step"], step["action"], step["state"], step["attempt"]) == (
        "pick",
        "transform",
        "succeeded",
        1,
    )
    assert step["input"] == run["input"]
    assert step["output"] == {"email": "user@example.com"}
    assert step["config"] == {"select": ["email"]}


def test_a_run_that_fails_in_the_middle_says_where_and_leaves_a_dead_letter() -> None:
    [run_id] = begun(published(TEN), {"order": 7})
    drain()
    client = api()
    _, run = client.get(f"runs/{run_id}")
    assert run["state"] == "failed"
    states = [step["state"] for step in run["steps"]]
    assert states[:5] == ["succeeded"] * 4 + ["failed"]
    assert not {"succeeded", "running", "failed"} & set(states[5:])
    _, letters = client.get("dead-letters", workflow="ten", state="open", run=str(run_id))
    [summary] = letters["results"]
    assert (summary["step"], summary["run"], summary["workflow"]) == ("s5", str(run_id), "ten")
    assert "no stock" in summary["error"]["message"]
    status, dead_letter = client.get(f"dead-letters/{summary['id']}")
    assert (status, dead_letter["input"]) == (200, {"order": 7})
    assert client.get("dead-letters", state="retried")[1]["results"] == []
    assert api("theirs").get(f"dead-letters/{summary['id']}")[0] == 404


def test_runs_are_filtered_by_workflow_state_and_label() -> None:
    found = published(SELECT)
    [good] = begun(found, {"email": "e"}, labels={"team": "shop"})
    [bad] = begun(found, {})
    drain()
    [running] = begun(published(TEN))
    client = api()

    def ids(**query: str) -> list[str]:
        status, body = client.get("runs", **query)
        assert status == 200, body
        return [run["id"] for run in body["results"]]

    assert ids() == [str(running), str(bad), str(good)]
    assert ids(workflow="select-email") == ids(workflow=str(found.workflow.pk)) == [str(bad), str(good)]
    for word in ("success", "succeeded", "completed"):
        assert ids(state=word) == ids(status=word) == [str(good)]
    assert ids(state="queued,running,failed") == [str(running), str(bad)]
    assert ids(state="failed") == ids(state="cancelled,failed") == [str(bad)]
    assert ids(state="cancelled") == []
    assert ids(**{"label.team": "shop"}) == [str(good)]
    assert ids(**{"label.team": "other"}) == []
    assert ids(workflow="nobody") == []


@pytest.mark.parametrize(
    ("query", "path", "hint"),
    [
        ({"stat": "failed"}, "stat", "state"),
        ({"state": "suceeded"}, "state", "succeeded"),
        ({"state": ""}, "state", ""),
        ({"limit": "ten"}, "limit", "1000"),
        ({"limit": "1.5"}, "limit", ""),
        ({"cursor": "!"}, "cursor", "next"),
        ({"cursor": "ä"}, "cursor", "next"),
        ({"workflow": "a\x00"}, "workflow", "NUL"),
        ({"label.": "a"}, "label.", "label.<key>"),
    ],
)
def test_an_unknown_filter_is_refused_and_the_known_ones_are_named(query: dict[str, str], path: str, hint: str) -> None:
    status, problem = api().get("runs", **query)
    assert status == 400
    assert first_error(problem)[0] == path
    assert hint in first_error(problem)[1]


def test_pages_follow_each_other_newest_first_and_end() -> None:
    ids = [str(run_id) for run_id in begun(published(SELECT), *[{"n": n} for n in range(5)])]
    client = api()
    seen: list[str] = []
    query: dict[str, str] = {"limit": "2", "state": "queued,running"}
    pages = 0
    while query:
        _, body = client.get("runs", **query)
        seen += [run["id"] for run in body["results"]]
        pages += 1
        query = _query(body["next"])
        assert not query or query["state"] == "queued,running"
    assert (seen, pages) == (sorted(ids, reverse=True), 3)


def test_a_limit_beyond_the_bounds_is_clamped() -> None:
    begun(published(SELECT), *[{"n": n} for n in range(3)])
    client = api()
    assert len(client.get("runs", limit="0")[1]["results"]) == 1
    assert len(client.get("runs", limit="-5")[1]["results"]) == 1
    assert len(client.get("runs", limit="9" * 5000)[1]["results"]) == 3


def test_runs_of_another_workspace_are_not_there() -> None:
    [run_id] = begun(published(SELECT), {"email": "e"})
    theirs = api("theirs")
    assert theirs.get(f"runs/{run_id}")[0] == 404
    assert theirs.get("runs")[1]["results"] == []
    assert theirs.get("runs", workflow="select-email")[1]["results"] == []
    assert theirs.get(f"runs/{uuid7()}")[0] == 404


def test_pages_of_states_that_few_runs_have_are_merged_and_leave_out_what_is_paused() -> None:
    failing = begun(published("name: failing\nsteps: [{id: a, action: fail}]"), *[{"n": n} for n in range(3)])
    drain()
    waiting = begun(published("name: naps\nsteps: [{id: a, action: wait, with: {for: 1h}}]"), {"n": 3}, {"n": 4})
    drain()
    begun(published(SELECT), {"email": "e"})
    drain()
    pauses.pause([waiting[0]], actor=Actor(reason="because"))
    client = api()
    seen: list[str] = []
    query: dict[str, str] = {"limit": "2", "state": "failed,waiting,cancelled", "paused": "false"}
    while query:
        _, body = client.get("runs", **query)
        seen += [run["id"] for run in body["results"]]
        query = _query(body["next"])
    assert seen == sorted(map(str, [*failing, waiting[1]]), reverse=True)


@pytest.mark.parametrize("path", ["runs", "workflows", "dead-letters", "jobs"])
def test_a_list_costs_the_same_however_long_it_is(path: str) -> None:
    client = api()

    def more() -> None:
        number = len(client.get("workflows")[1]["results"])
        text = TEN.replace("name: ten", f"name: ten-{number}")
        begun(published(text), {})
        client.post("jobs", {"type": "compute", "payload": {"iterations": 1}})
        drain()

    more()
    first = _queries(client, path)
    more()
    more()
    assert _queries(client, path) == first


def test_a_superuser_with_a_session_sees_the_default_workspace_and_others_nothing() -> None:
    [run_id] = begun(published(SELECT), {"email": "e"})
    assert admin().get(f"/api/v1/runs/{run_id}").status_code == 200
    nobody = Client()
    from tests.flows import owner

    nobody.force_login(owner())
    assert nobody.get("/api/v1/runs").status_code == 403


def test_the_schema_names_every_address_without_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    answer = Client().get("/api/v1/schema", headers={"Authorization": f"Bearer {api().token}"})
    assert answer.status_code == 200
    validate_schema(answer.json())  # type: ignore[no-untyped-call]  # the library has no types
    paths = answer.json()["paths"]
    assert "/api/v1/workflows/{key}/runs" in paths
    assert "/api/v1/dead-letters" in paths
    posts = {path: found["post"]["responses"].keys() for path, found in paths.items() if "post" in found}
    assert {path for path, answers in posts.items() if not {"408", "413", "503"} <= answers} == set()
    assert "Warning" not in capsys.readouterr().err


def _query(address: str | None) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(urlsplit(address or "").query).items()}


def _queries(client: Api, path: str) -> int:
    client.get(path)
    with CaptureQueriesContext(connection) as captured:
        assert client.get(path)[0] == 200
    return len(captured)


def test_an_error_that_nobody_expected_is_a_problem_without_its_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("secret cause")

    monkeypatch.setattr("runs.history.timeline.timeline", broken)
    [run_id] = begun(published(SELECT), {"email": "e"})
    client = Client(raise_request_exception=False, headers={"Authorization": f"Bearer {api().token}"})
    answer = client.get(f"/api/v1/runs/{run_id}")
    assert (answer.status_code, answer.headers["Content-Type"]) == (500, "application/problem+json")
    assert b"secret" not in answer.content
