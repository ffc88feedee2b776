"""POST /api/v1/workflows/{id or name}/runs/bulk."""

from __future__ import annotations

import gzip
import io
import json
import time
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from runs.api.resources import bulk_start
from runs.models import Run
from runs.queries.database import observed
from tests.engine import drain
from tests.flows import published
from tests.runs.doors import Api, api, first_error

pytestmark = pytest.mark.django_db(transaction=True)

ADDRESS = "workflows/bulk-me/runs/bulk"
NDJSON = "application/x-ndjson"
PLAIN = "name: bulk-me\nsteps:\n  - {id: pick, action: transform, with: {select: [n]}}\n"
TYPED = PLAIN + "inputs: {type: object, required: [n], properties: {n: {type: integer}}}\n"
KEYED = PLAIN + 'concurrency: {limit: 1, key: "{{ input.customer }}", policy: skip}\n'


def lines(*entries: object) -> str:
    return "\n".join(entry if isinstance(entry, str) else json.dumps(entry) for entry in entries)


def send(body: str | bytes, *, client: Api | None = None, query: str = "", kind: str = NDJSON) -> tuple[int, Any]:
    return (client or api()).post(ADDRESS + query, body, content_type=kind)


def stream(body: io.BytesIO, **more: Any) -> Any:
    """The answer to a body that the server hands on as it comes."""
    words = {"REQUEST_METHOD": "POST", "PATH_INFO": f"/api/v1/{ADDRESS}", "CONTENT_TYPE": NDJSON, "wsgi.input": body}
    return Client().request(**words, HTTP_AUTHORIZATION=f"Bearer {api().token}", **more)


def inputs() -> list[Any]:
    return [run.input for run in Run.objects.order_by("id")]


def test_every_line_and_every_element_is_a_run_that_ends() -> None:
    published(PLAIN)
    wanted = [{"input": {"n": n}, "labels": {"half": str(n % 2)}, "priority": n % 3} for n in range(5)]
    status, told = send(lines(*wanted))
    assert (status, told["created"], told["known"], told["refused"]) == (201, 5, 0, 0)
    made = list(Run.objects.order_by("id"))
    assert [str(made[0].id), str(made[-1].id)] == [told["first"], told["last"]]
    assert [run.priority for run in made] == [0, 1, 2, 0, 1]
    assert made[1].labels == {"half": "1"}
    assert send(json.dumps(wanted), kind="application/json")[1]["created"] == 5
    assert inputs() == [{"n": n} for n in range(5)] * 2
    drain()
    assert set(Run.objects.values_list("state", flat=True)) == {"succeeded"}


def test_a_known_key_answers_the_first_run_and_a_key_twice_in_one_request_makes_one() -> None:
    published(PLAIN)
    body = lines({"input": 1, "idempotency_key": "a"}, {"input": 2, "idempotency_key": "b"})
    assert send(body)[1]["created"] == 2
    more = lines({"input": 2, "idempotency_key": "b"}, {"idempotency_key": "c"}, {"idempotency_key": "c"})
    status, told = send(more, query="?ids=true")
    assert (status, told["created"], told["known"]) == (201, 1, 2)
    by_key = {run.idempotency_key: str(run.id) for run in Run.objects.all()}
    assert [(one["line"], one["id"]) for one in told["ids"]] == [(1, by_key["b"]), (2, by_key["c"]), (3, by_key["c"])]
    status, told = send(body)
    assert (status, told["created"], told["known"], told["first"]) == (200, 0, 2, None)
    assert sorted(inputs(), key=str) == [1, 2, {}]


@pytest.mark.parametrize(
    ("line", "path", "said"),
    [
        ("nonsense", "", "is not JSON"),
        ("[1]", "", "must be a JSON object"),
        ('{"input": 1}, {"input": 2}', "", "is not JSON"),
        ('{"input": NaN}', "input", "no finite number"),
        ('{"input": 1e999}', "input", "no finite number"),
        ('{"input": 18446744073709551616}', "input", "beyond 64 bits"),
        ('{"input": "\\u0000"}', "input", "NUL"),
        ('{"input": "\\ud800"}', "input", "surrogate"),
        ('{"input": {"a": 1, "a": 2}}', "input", "twice"),
        ('{"input": ' + "[" * 5000 + "]" * 5000 + "}", "", "nested deeper"),
        ('{"imput": 1}', "imput", "not a known"),
        ('{"idempotency_key": ""}', "idempotency_key", "at least 1"),
        ('{"idempotency_key": "a\\nb"}', "idempotency_key", ""),
        ('{"priority": 101}', "priority", "100"),
        ('{"labels": {"a": null}}', "labels.a", "must be a text"),
    ],
)
def test_a_bad_line_is_refused_with_its_reason_and_the_good_ones_are_kept(line: str, path: str, said: str) -> None:
    published(PLAIN)
    status, told = send(lines({"input": "first"}, line, {"input": "last"}))
    assert (status, told["created"], told["refused"]) == (201, 2, 1)
    [refusal] = told["refusals"]
    assert (refusal["line"], refusal["path"]) == (2, path)
    assert said in refusal["message"]
    assert inputs() == ["first", "last"]


def test_bytes_that_are_no_text_and_half_a_line_at_the_end_are_refused() -> None:
    published(PLAIN)
    status, told = send(b'{"input": "\xff"}\n{"input": 1}\n{"input": {"n"')
    assert (status, told["created"]) == (201, 1)
    assert [one["line"] for one in told["refusals"]] == [1, 3]


def test_an_input_that_the_schema_refuses_holds_back_no_other() -> None:
    published(TYPED)
    status, told = send(lines({"input": {"n": 1}}, {"input": {"n": "x"}}, {"input": {}}, {"input": {"n": 2}}))
    assert (status, told["created"], told["refused"]) == (201, 2, 2)
    assert [(one["line"], one["path"]) for one in told["refusals"]] == [(2, "input.n"), (3, "input")]
    assert inputs() == [{"n": 1}, {"n": 2}]


def test_the_workflow_s_concurrency_holds_and_a_key_that_cannot_be_worked_out_is_refused() -> None:
    published(KEYED)
    status, told = send(lines(*({"input": {"customer": name}} for name in "aab"), {"input": {}}))
    assert (status, told["created"], told["refused"]) == (201, 3, 1)
    assert told["refusals"][0]["path"] == "concurrency.key"
    assert [run.state == "cancelled" for run in Run.objects.order_by("id")] == [False, True, False]


def test_refusals_are_told_up_to_a_hundred_and_counted_beyond() -> None:
    published(PLAIN)
    status, told = send("x\n" * 250)
    assert (status, told["created"], told["refused"], len(told["refusals"])) == (200, 0, 250, 100)


def test_what_was_read_of_a_broken_array_is_kept_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    published(PLAIN)
    monkeypatch.setattr(bulk_start, "FIRST_RUNS", 2)
    monkeypatch.setattr(bulk_start, "SLICE_RUNS", 2)
    status, told = send('[{"input": 1}, {"input": 2}, {"input": 3}, {"inp', kind="application/json")
    assert (status, told["status"], told["created"]) == (400, 400, 3)
    assert "last whole element is number 3" in told["detail"]
    assert inputs() == [1, 2, 3]
    status, told = send('{"input": 1}', kind="application/json")
    assert (status, told["created"]) == (400, 0)
    assert "array" in told["detail"]


def test_a_connection_that_breaks_off_keeps_its_whole_lines() -> None:
    published(PLAIN)

    class Breaking(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            found = super().read(size)
            if not found:
                raise OSError("gone")
            return found

    body = Breaking(lines({"input": 1}, {"input": 2}, '{"inp').encode())
    answer = stream(body, CONTENT_LENGTH="5000")
    assert (answer.status_code, answer.json()["created"]) == (400, 2)
    assert inputs() == [1, 2]


def test_lines_whose_checks_take_long_end_the_request_and_it_says_where_to_go_on(settings: Settings) -> None:
    key = "{{ input.rows|map('string')|sort|length }}"
    published(f'name: bulk-me\nconcurrency: {{limit: 1000, key: "{key}"}}\nsteps: [{{id: a, action: default}}]')
    settings.BULK_START_CPU_SECONDS = 1
    rows = list(range(600))
    began = time.thread_time()
    status, told = send(lines(*({"input": {"rows": rows}} for _ in range(2000))))
    assert time.thread_time() - began < 20
    assert (status, told["refused"]) == (413, 0), told
    assert 0 < told["created"] < 2000
    assert told["created"] == Run.objects.count()
    assert f"send those from line {told['created'] + 1} on in another" in told["detail"]


def test_more_than_a_request_may_hold_is_413_and_says_where_to_go_on(settings: Settings) -> None:
    published(PLAIN)
    settings.BULK_START_MAX_RUNS = 3
    status, told = send(lines(*({"input": n} for n in range(5))))
    assert (status, told["created"]) == (413, 3)
    assert "from line 4 on" in told["detail"]
    settings.BULK_START_MAX_MEGABYTES = 1
    for body in (b"x" * (1 << 20) + b"\n", gzip.compress(b"[" + b" " * (2 << 20))):
        answer = Client().post(
            f"/api/v1/{ADDRESS}",
            body,
            content_type=NDJSON,
            headers={
                "Authorization": f"Bearer {api().token}",
                "Content-Encoding": "gzip" if body[:1] == b"\x1f" else "identity",
            },
        )
        assert answer.status_code == 413
        assert "larger than 1 MB" in answer.json()["detail"]


def test_a_single_line_of_64_mb_is_refused_and_those_around_it_are_kept() -> None:
    published(PLAIN)
    status, told = send(b'{"input": 1}\n{"input": "' + b"x" * (64 << 20) + b'"}\n{"input": 2}\n')
    assert (status, told["created"], told["refused"]) == (201, 2, 1)
    assert told["refusals"][0]["message"] == "is longer than 10 MB"


def test_the_body_may_be_packed_and_may_come_without_a_length() -> None:
    published(PLAIN)
    headers = {"Authorization": f"Bearer {api().token}"}
    body = lines({"input": 1}, {"input": 2}).encode()
    packed = Client().post(
        f"/api/v1/{ADDRESS}", gzip.compress(body), content_type=NDJSON, headers={**headers, "Content-Encoding": "gzip"}
    )
    assert packed.json()["created"] == 2
    chunked = stream(io.BytesIO(body), HTTP_TRANSFER_ENCODING="chunked", **{"wsgi.input_terminated": True})
    assert chunked.json()["created"] == 2


def test_labels_in_the_address_are_every_run_s_and_a_line_s_own_win() -> None:
    published(PLAIN)
    client = api()
    body = lines({"input": 1}, {"input": 2, "labels": {"team": "b"}})
    assert send(body, client=client, query="?label.batch=x&label.team=a")[0] == 201
    assert [run.labels for run in Run.objects.order_by("id")] == [
        {"batch": "x", "team": "a"},
        {"batch": "x", "team": "b"},
    ]
    assert len(client.get("runs", **{"label.batch": "x"})[1]["results"]) == 2


@pytest.mark.parametrize("query", ["?ids=perhaps", "?lable.batch=x", "?label.a=%00", "?label." + "k" * 64 + "=x"])
def test_what_the_address_asks_for_and_nobody_knows_is_refused(query: str) -> None:
    published(PLAIN)
    status, told = send(lines({"input": 1}), query=query)
    assert status == 400
    assert first_error(told)[0]
    assert not Run.objects.exists()


def test_other_kinds_of_bodies_and_workflows_are_refused_before_anything_is_read() -> None:
    published(PLAIN)
    assert send("a,b", kind="text/csv")[0] == 415
    assert api().post("workflows/no-such/runs/bulk", "{}", content_type=NDJSON)[0] == 404
    assert api("other").post(ADDRESS, "{}", content_type=NDJSON)[0] == 404
    assert Client().post(f"/api/v1/{ADDRESS}", "{}", content_type=NDJSON).status_code == 401
    assert not Run.objects.exists()


def test_a_slice_costs_the_same_statements_however_many_runs_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    published(PLAIN)
    client = api()
    seen = []
    monkeypatch.setattr(bulk_start, "FIRST_RUNS", 1000)
    monkeypatch.setattr(bulk_start, "SLICE_SECONDS", 1000)
    send(lines({}), client=client)  # the first request looks at its connection, too
    for count in (1, 300):
        with observed() as ours, CaptureQueriesContext(connection) as django:
            send(lines(*({"input": n, "idempotency_key": f"{count}-{n}"} for n in range(count))), client=client)
        seen.append((ours.count("start"), ours.count("known_keys"), len(django)))
    assert seen[0] == seen[1]
    assert seen[0][:2] == (1, 0)
    monkeypatch.setattr(bulk_start, "FIRST_RUNS", 100)
    monkeypatch.setattr(bulk_start, "SLICE_RUNS", 100)
    with observed() as ours:
        send(lines(*({"input": n} for n in range(300))), client=client)
    assert ours.count("start") == 3
