"""The whole site beside clients that send half a request: nobody waits for them, and strangers are not read."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from pytest_django.plugin import DjangoDbBlocker

from runs.models import Run
from tests.flows import published
from tests.project.web import Connection, WebServer, timed
from tests.runs.doors import api
from tests.waiting import wait_for
from tests.workers import Worker

pytestmark = pytest.mark.django_db(transaction=True)

PLAIN = "name: quick\nsteps:\n  - {id: pick, action: transform, with: {select: [n]}}\n"
START = "/api/v1/workflows/quick/runs"
# Far more than a busy machine needs, and far less than the 60 s for which the half-sent requests may stay.
_SOON_SECONDS = 15.0


@pytest.fixture(scope="module")
def patient(
    tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[WebServer]:
    """A web process whose clients may be silent for a minute: whoever waits for them waits long."""
    with django_db_blocker.unblock():
        env = {**Worker._settings(), "REQUEST_BODY_SECONDS": "60"}
    started = WebServer(tmp_path_factory.mktemp("web"), env=env).wait_ready()
    yield started
    started.kill()


@pytest.fixture(scope="module")
def strict(
    tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[WebServer]:
    """One whose clients may be silent for two seconds."""
    with django_db_blocker.unblock():
        env = {**Worker._settings(), "REQUEST_BODY_SECONDS": "2", "REQUEST_HEADER_SECONDS": "2"}
    started = WebServer(tmp_path_factory.mktemp("web"), env=env).wait_ready()
    yield started
    assert started.stop() == 0, started.log.read_text()


@pytest.fixture
def bearer() -> str:
    published(PLAIN)
    return f"Bearer {api().token}"


def test_forty_half_sent_requests_hold_nobody_up(patient: WebServer, bearer: str) -> None:
    half = [
        *(Connection(patient).head("GET", "/health", length=1000) for _ in range(20)),
        *(Connection(patient).head("POST", "/admin/login/", length=1000) for _ in range(5)),
        *(Connection(patient).head("POST", START, length=1000, Content_Type="application/json") for _ in range(5)),
        *(Connection(patient).head("POST", START, length=1000, Authorization=bearer) for _ in range(5)),
        *(Connection(patient).send("GET / HTTP/1.1\r\nHost: local") for _ in range(5)),
    ]
    for _ in range(5):
        answer, seconds = timed(patient, "GET", "/health")
        assert (answer.status, answer.json()["status"]) == (200, "ok")
        assert seconds < _SOON_SECONDS
    words = {"Authorization": bearer, "Content_Type": "application/json"}
    answer, seconds = timed(patient, "POST", START, b'{"input": {"n": 1}}', **words)
    assert (answer.status, Run.objects.count()) == (201, 1)
    assert seconds < _SOON_SECONDS
    assert timed(patient, "GET", "/admin/login/")[0].status == 200
    del half


def test_a_stranger_s_long_body_is_refused_unread_and_at_once(patient: WebServer, bearer: str) -> None:
    began = time.monotonic()
    for path in (START, f"{START}/bulk", "/api/v1/workflows", "/api/v1/nowhere"):
        for token in ({}, {"Authorization": "Bearer wrong"}):
            words = {"Content_Type": "application/json", **token}
            stranger = Connection(patient).head("POST", path, words, length=9_000_000)
            answer = stranger.answer()
            assert answer.status == (404 if "nowhere" in path else 401)
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.closed
            assert stranger.ended()
    assert time.monotonic() - began < 60


def test_a_known_caller_s_refused_body_is_read_so_that_the_answer_arrives(patient: WebServer, bearer: str) -> None:
    words = {"Authorization": bearer, "Content_Type": "application/json"}
    answer, _ = timed(patient, "POST", START, b"a" * 11_000_000, **words)
    assert (answer.status, "larger than 10 MB" in answer.json()["detail"]) == (413, True)
    answer, _ = timed(patient, "POST", "/api/v1/workflows/none/runs/bulk", b"a" * 3_000_000, **words)
    assert answer.status == 404


def test_long_inputs_start_runs_one_by_one_and_as_drafts_of_any_kind(patient: WebServer, bearer: str) -> None:
    for size in (1000, 70_000, 900_000, 3_000_000):
        body = json.dumps({"input": {"n": "a" * size}}).encode()
        words = {"Authorization": bearer, "Content_Type": "application/json"}
        assert timed(patient, "POST", START, body, **words)[0].status == 201
    assert [len(run.input["n"]) for run in Run.objects.order_by("id")] == [1000, 70_000, 900_000, 3_000_000]


def test_an_api_body_in_chunks_is_411_but_in_bulk(patient: WebServer, bearer: str) -> None:
    words = {"Authorization": bearer, "Content_Type": "application/json", "Transfer_Encoding": "chunked"}
    assert Connection(patient).head("POST", START, words).send("2\r\n{}\r\n0\r\n\r\n").answer().status == 411
    body = b'[{"input": {"n": 1}}, {"input": {"n": 2}}]'
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:])) + b"0\r\n\r\n"
    answer = Connection(patient).head("POST", f"{START}/bulk", words).send(chunks).answer()
    assert (answer.status, answer.json()["created"]) == (201, 2)


def test_a_bulk_start_goes_on_while_its_lines_come_and_commits_them_meanwhile(strict: WebServer, bearer: str) -> None:
    words = {"Authorization": bearer, "Content_Type": "application/x-ndjson", "Transfer_Encoding": "chunked"}
    bulk = Connection(strict).head("POST", f"{START}/bulk", words)
    line = json.dumps({"input": {"n": "a" * 500}}) + "\n"
    for _ in range(3):
        block = line * 1000
        bulk.send(f"{len(block):x}\r\n{block}\r\n")
    wait_for(lambda: Run.objects.count() >= 1000, what="the first thousand runs")
    answer = bulk.send("0\r\n\r\n").answer()
    assert (answer.status, answer.json()["created"]) == (201, 3000)


@pytest.mark.parametrize("length", [None, 900_000])
def test_a_bulk_start_that_stops_is_408_and_says_what_it_started(
    strict: WebServer, bearer: str, length: int | None
) -> None:
    words = {"Authorization": bearer, "Content_Type": "application/x-ndjson"}
    words |= {"Transfer_Encoding": "chunked"} if length is None else {}
    bulk = Connection(strict).head("POST", f"{START}/bulk", words, length=length)
    lines = b"".join(json.dumps({"input": {"n": n}}).encode() + b"\n" for n in range(5000))
    bulk.send(b"%x\r\n%b\r\n" % (len(lines), lines) if length is None else lines)
    answer = bulk.answer()
    assert (answer.status, answer.json()["created"], answer.closed) == (408, 5000, True)
    assert "bytes a second" in answer.json()["detail"]
    assert bulk.ended()


def test_a_bulk_start_whose_client_goes_away_keeps_its_whole_lines(strict: WebServer, bearer: str) -> None:
    words = {"Authorization": bearer, "Content_Type": "application/x-ndjson"}
    bulk = Connection(strict).head("POST", f"{START}/bulk", words, length=900_000)
    bulk.send('{"input": 1}\n{"input": 2}\n{"inp')
    bulk.close()
    wait_for(lambda: Run.objects.count() == 2, what="the two runs")


@pytest.mark.parametrize("size", [1000, 500_000, 2_000_000])
def test_half_a_start_is_408_and_starts_nothing(strict: WebServer, bearer: str, size: int) -> None:
    words = {"Authorization": bearer, "Content_Type": "application/json"}
    half = Connection(strict).head("POST", START, words, length=size).send('{"input": {"n": "')
    answer = half.answer()
    assert (answer.status, answer.json()["status"], answer.closed) == (408, 408, True)
    assert Run.objects.count() == 0


def test_heads_that_do_not_end_are_closed(strict: WebServer) -> None:
    parts = ("", "GET", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: localhost\r\nX-A: ")
    half = [Connection(strict).send(part) for part in parts]
    kept = Connection(strict)
    assert kept.head("GET", "/health").answer().status == 200
    assert all(connection.ended() for connection in (*half, kept))


def test_what_is_closed_frees_its_threads_and_their_database_connections(strict: WebServer, bearer: str) -> None:
    words = {"Authorization": bearer, "Content_Type": "application/x-ndjson"}
    for _ in range(30):
        Connection(strict).head("POST", f"{START}/bulk", words, length=900_000).send('{"input": 1}\n').close()
    wait_for(lambda: Run.objects.count() == 30, what="all runs")
    answer, _ = timed(strict, "POST", f"{START}/bulk", b'{"input": 1}\n' * 9000, **words)
    assert (answer.status, answer.json()["created"]) == (201, 9000)
    log = strict.log.read_text()
    assert "Traceback" not in log
