"""Secrets that were planted in credentials are nowhere: no row, message, log line, page, answer, export or metric."""

from __future__ import annotations

import base64
import io
import json
import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit
from uuid import UUID

import pytest
import redis
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse

from actions import network
from project import redaction
from runs.control import retries
from runs.domain.actor import Actor
from runs.models import DeadLetter, Run, StepRun
from tests.actions.http_server import Server, serving
from tests.engine import deliver, drain
from tests.flows import begun, owner, published, workspace
from tests.runs import doors
from workflows.credentials import store, vault
from workflows.credentials.store import Wanted
from workflows.workspaces import tokens

pytestmark = pytest.mark.django_db(transaction=True)
# Characters that are written differently in each form.
CANARIES = {
    "crm": "cAnary-bearer-7d1f+/=",
    "user": "cAnary \"basic\" <7d2f> & 'ü'",
    "key": "cAnary-key-7d3f%&?=/+",
    "own": "cAnary{{ input.x }}\\7d4f\nsecond-line-7d5f",
}


def forms(secret: str) -> set[str]:
    """A secret as it is, and as servers and libraries write it."""
    data = secret.encode()
    found = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), data.hex(), json.dumps(secret)[1:-1]}
    found |= {json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
    for before in range(3):
        encoded = base64.b64encode(b"x" * before + data).decode().rstrip("=")
        found |= {encoded[4:-4], encoded[4:-4].translate(str.maketrans("+/", "-_"))}
    # Halves, which a cut may leave.
    return found | {secret[:10], secret[-10:]}


def leaks(text: str) -> list[str]:
    return [form for secret in CANARIES.values() for form in forms(secret) if form in text]


@pytest.fixture
def server() -> Iterator[Server]:
    vault.forget()
    with serving() as told:
        network.configure(["127.0.0.1", "localhost"])
        yield told
    network.configure(settings.OUTBOUND_ALLOW)


def planted(server: Server) -> None:
    """Credentials with the canaries, of the server's own host."""
    hosts = [f"http://127.0.0.1:{server.port}"]
    for name, kind, values in (
        ("crm", "bearer", {"token": CANARIES["crm"]}),
        ("user", "basic", {"username": "ada", "password": CANARIES["user"]}),
        ("key", "api_key", {"name": "k", "value": CANARIES["key"], "place": "query"}),
        ("own", "fields", {"a": CANARIES["own"]}),
    ):
        store.create(Wanted(name, kind, values, hosts), workspace=workspace(), by=None)


def definition(server: Server) -> str:
    """Steps that send them in every way, to a server that repeats what it was told, in answers and in errors."""
    body = {"json": "{{ secrets.own.a }}", "form": "{{ secrets.key.value }}"}
    urls = {
        name: server.url(path) for name, path in (("echo", "/echo"), ("bad", "/status/400"), ("away", "/status/503"))
    }
    steps: list[dict[str, Any]] = [
        {"with": {"url": urls["echo"], "credential": "crm"}},
        {"with": {"url": urls["echo"], "credential": "user", "response": "text"}},
        {"with": {"url": urls["echo"], "credential": "key", "response": "base64"}},
        {"with": {"url": urls["echo"], "method": "POST", "body": body, "headers": {"X-A": "{{ secrets.crm.token }}"}}},
        {"with": {"url": urls["echo"], "method": "POST", "form": body}},
        {"with": {"url": urls["echo"], "method": "POST", "multipart": body}},
        {"with": {"url": urls["echo"] + "?q={{ secrets.key.value }}", "query": {"o": "{{ secrets.own.a }}"}}},
        {"with": {"url": "http://localhost:1/", "credential": "crm"}, "on_error": "continue"},
        {
            "with": {"url": server.url("/redirect") + "?to=http://localhost:9/{{ secrets.key.value }}"},
            "on_error": "continue",
        },
        {
            "with": {"url": urls["bad"], "credential": "user", "method": "{{ secrets.crm.token }}"},
            "on_error": "continue",
        },
        {"with": {"url": "{{ secrets.own.a }}"}, "on_error": "continue"},
        {"with": {"url": urls["echo"], "headers": {"X": "{{ secrets.own.a }}"}}, "on_error": "continue"},
        {"with": {"url": urls["away"], "credential": "key"}, "retry": {"delays": ["1h"]}, "needs": ["s0"]},
        {"with": {"url": urls["bad"], "credential": "crm"}, "needs": ["s0"]},
    ]
    named = [
        {"id": f"s{n}", "action": "http_request", "retry": "none", "needs": [f"s{n - 1}"] if n else [], **step}
        for n, step in enumerate(steps)
    ]
    return json.dumps({"name": "canaries", "steps": named, "output": "{{ steps.s0.output }}"})


def dump() -> str:
    """Every row of every table, as COPY writes it, and decoded once more where it wrote escapes."""
    found = io.BytesIO()
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            with cursor.copy(f'COPY "{table}" TO STDOUT') as rows:
                for piece in rows:
                    found.write(piece)
    text = found.getvalue().decode()
    return text + text.replace("\\\\", "\\")


def in_broker() -> str:
    """Every key of the broker, with what it holds, and its own log of slow commands."""
    client = redis.Redis.from_url(settings.REDIS_URL)
    try:
        found: list[object] = [client.dump(key) for key in client.scan_iter(f"{settings.INSTALLATION_ID}*")]
        return repr(found) + repr(client.slowlog_get(1000))
    finally:
        client.close()


def test_no_canary_is_anywhere(
    server: Server, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    planted(server)
    found = published(definition(server))
    [run_id] = begun(found)
    broker = in_broker()
    deliver()
    broker += in_broker()
    drain()
    broker += in_broker()
    states = dict(StepRun.objects.filter(run=run_id).values_list("step", "state"))
    assert [states[f"s{n}"] for n in range(7)] == ["succeeded"] * 7, StepRun.objects.filter(state="failed").values(
        "error"
    )
    assert all(any(form in json.dumps(server.asked) for form in forms(secret)) for secret in CANARIES.values())
    retries.retry([run_id], actor=Actor(owner().pk, "once more"))
    drain()
    assert DeadLetter.objects.filter(run=run_id).exists()
    assert leaks(dump()) == []
    assert leaks(broker) == []
    logged = "\n".join(f"{record.getMessage()} {record.__dict__} {record.exc_text}" for record in caplog.records)
    assert leaks(logged + "".join(capsys.readouterr())) == []
    assert leaks(_shown(run_id)) == []


def _shown(run_id: UUID) -> str:
    """What the doors show of the run and of everything that has to do with it."""
    letters = DeadLetter.objects.filter(run=run_id).values_list("pk", flat=True)
    secret = tokens.issue(workspace(), owner(), "test", scopes=["read", "publish", "admin"])[1]
    client = Client(headers={"authorization": f"Bearer {secret}"})
    paths = [f"/api/v1/runs/{run_id}", "/api/v1/runs", "/api/v1/credentials", "/api/v1/workflows/canaries", "/metrics"]
    paths += [f"/api/v1/dead-letters/{key}" for key in letters]
    paths += [f"/api/v1/runs/{run_id}/steps/s{n}" for n in (0, 3, 8, 13)]
    pages = [reverse("admin:runs_run_change", args=[run_id])]
    pages += [reverse("admin:runs_deadletter_change", args=[key]) for key in letters]
    answers = [client.get(path) for path in paths]
    answers += [browser.get(path) for browser in [doors.admin()] for path in pages]
    assert [(urlsplit(a.request["PATH_INFO"]).path, a.status_code) for a in answers if a.status_code != 200] == []
    out = io.StringIO()
    call_command("show_run", str(run_id), stdout=out)
    call_command("export_workflow", "canaries", stdout=out)
    assert Run.objects.filter(pk=run_id).exists()
    return "".join(answer.content.decode() for answer in answers) + out.getvalue()


def test_a_secret_that_an_action_logs_is_taken_out_of_the_line(server: Server) -> None:
    planted(server)
    opened = vault.opened(workspace().pk, "crm")
    assert repr(opened) == "<credential 'crm' of kind bearer>"
    for said in (f"sent {CANARIES['crm']} there", {"a": [CANARIES["crm"]]}, ValueError(CANARIES["crm"])):
        assert leaks(str(redaction.redact_value(said))) == []
    vault.forget()
