"""No line of a log holds a signed link, a query string, or the user and password of a URL."""

from __future__ import annotations

import json
import logging
import logging.config
import os
import subprocess
import sys
import time
from collections.abc import Callable
from io import StringIO
from uuid import uuid4

import pytest
from django.conf import settings
from django.http import HttpRequest
from django.test import Client

from project import logs
from project.env import BASE_DIR
from project.redaction import REDACTED, redact
from runs.control import approval_links

SECRET = "s3cretWord"


@pytest.fixture(params=["text", "json"])
def lines(request: pytest.FixtureRequest) -> Callable[[logging.LogRecord], str]:
    """Write a record as the handler of our processes does, and return its line."""
    handlers = logs.configure(log_format=request.param, level="DEBUG")
    formatter = handlers["formatters"]["line"]
    configurator = logging.config.DictConfigurator(handlers)
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(configurator.configure_formatter(dict(formatter)))
    handler.addFilter(configurator.configure_filter(dict(handlers["filters"]["arguments"])))

    def line(record: logging.LogRecord) -> str:
        handler.handle(record)
        return stream.getvalue()

    return line


def record(message: str, *values: object, name: str = "x", **extra: object) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.WARNING, "", 0, message, values, None)
    made.__dict__.update(extra)
    return made


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET http://h/x?key=s3cretWord failed", "GET http://h/x?[redacted] failed"),
        ('GET "http://h/x?key=s3cretWord": 404', 'GET "http://h/x?[redacted]": 404'),
        ('"GET /x?a="s3cretWord"&b HTTP/1.1" 200', '"GET /x?[redacted] HTTP/1.1" 200'),
        ("http://user:s3cretWord@h/x", "http://[redacted]@h/x"),
        ("redis://:s3cretWord@h:6379/0 is away", "redis://[redacted]@h:6379/0 is away"),
        ("postgresql://u:s3cret/Word@h/db", "postgresql://[redacted]@h/db"),
        ("http://u:a@s3cretWord@h/?x#y", "http://[redacted]@h/?[redacted]"),
        ("//u:s3cretWord@h", "//[redacted]@h"),
        ("Not Found: /approve/WyJ4:1abcde:s3cretWord", "Not Found: /approve/[redacted]"),
        ("Not Found: /approve/s3cretWord/", "Not Found: /approve/[redacted]/"),
        ("/prefix//approve//s3cretWord and more", "/prefix//approve//[redacted] and more"),
        ("(see /approve/s3cretWord)", "(see /approve/[redacted])"),
        ("/%61pprove/s3cretWord", "/%61pprove/[redacted]"),
        ("/x%2FAppr%4fve%2fs3cretWord", "/x%2FAppr%4fve%2f[redacted]"),
        (f"link WyJ4:1abcde:{'A' * 43}", "link WyJ4:1abcde:[redacted]"),
        (f"link WyJ4%3A1abcde%3A{'A' * 43}", "link WyJ4%3A1abcde%3A[redacted]"),
        (f"token stw_{'A' * 43}.", "token stw_[redacted]."),
        (f"Authorization: Basic {'A' * 20}==", "Authorization: Basic [redacted]"),
        (f"{{'authorization': 'Bearer {'A' * 20}'}}", "{'authorization': 'Bearer [redacted]'}"),
        (f"sent bearer {'A' * 20}", "sent bearer [redacted]"),
        ("really? yes", "really? yes"),
        ("why?!", "why?!"),
        ("ada@example.com at http://h/x", "ada@example.com at http://h/x"),
        ("50 % of /api/v1/runs/0192/steps/a/approve", "50 % of /api/v1/runs/0192/steps/a/approve"),
    ],
)
def test_text_loses_its_secrets_and_nothing_else(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert SECRET not in shown


@pytest.mark.parametrize(
    "text",
    ["?" * 500_000, "//@" * 300_000, "%" * 500_000, "/approve/" * 60_000, ":aaaaaa" * 60_000, "bearer " * 60_000],
)
def test_redaction_takes_time_in_proportion_to_the_text(text: str) -> None:
    began = time.process_time()
    redact(text)
    assert time.process_time() - began < 2


def test_every_value_of_an_event_is_redacted(lines: Callable[[logging.LogRecord], str]) -> None:
    request = HttpRequest()
    request.path = f"/approve/{SECRET}"
    request.method = "GET"
    try:
        int(f"http://h/?a={SECRET}")
    except ValueError:
        trace = sys.exc_info()
    line = lines(
        record(
            "sent %s",
            f"http://u:{SECRET}@h",
            url=f"http://h/?a={SECRET}",
            several=[f"/x?{SECRET}", {"deep": (f"/approve/{SECRET}",), f"/?{SECRET}": 1}],
            thing=ValueError(f"/?{SECRET}"),
            request=request,
            query_string=SECRET,
            count=7,
            exc_info=trace,
        )
    )
    assert SECRET not in line
    assert line.count("\n") == 1
    assert "ValueError" in line
    assert line.count(REDACTED) >= 8
    if line.startswith("{"):
        assert json.loads(line)["count"] == 7


def test_access_log_shows_no_query_however_it_is_formatted(lines: Callable[[logging.LogRecord], str]) -> None:
    facts = {"method": "GET", "path": f"/approve/{SECRET}", "query_string": f"token={SECRET}", "status": 404}
    line = lines(record("%(method)s %(path)s %(query_string)s %(status)d", facts, name="granian.access"))
    assert SECRET not in line
    assert "404" in line


def test_loggers_of_the_server_print_through_our_handler() -> None:
    configured = settings.LOGGING["loggers"]
    for name in ("_granian", "granian.access", "django", "django.server"):
        assert (configured[name]["handlers"], configured[name]["propagate"]) == ([], True)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path", ["/approve/{token}", "/approve/{token}/", "/approve/{token}x", "/nowhere?token={token}"]
)
def test_refused_request_leaves_no_link_in_the_log(
    client: Client, lines: Callable[[logging.LogRecord], str], caplog: pytest.LogCaptureFixture, path: str
) -> None:
    token = approval_links.path(approval_links.Link((uuid4(), "ask", -1), 1)).removeprefix("/approve/")
    answer = client.get(path.format(token=token))
    assert answer.status_code in (400, 403, 404, 410)
    written = "".join(lines(record) for record in caplog.records)
    assert caplog.records
    signature = token.rsplit(":", 1)[1]
    assert signature not in written
    assert token.partition(":")[0] not in written


@pytest.mark.django_db
def test_refused_host_is_logged_without_its_user(
    client: Client, lines: Callable[[logging.LogRecord], str], caplog: pytest.LogCaptureFixture
) -> None:
    assert client.get("/health", headers={"host": f"//u:{SECRET}@h"}).status_code == 400
    assert caplog.records
    assert SECRET not in "".join(lines(one) for one in caplog.records)


@pytest.mark.parametrize("where", ["thread", "main", "destructor"])
def test_exception_that_nobody_catches_is_logged_without_its_secrets(where: str) -> None:
    code = {
        "thread": "t = threading.Thread(target=fail); t.start(); t.join()",
        "main": "fail()",
        "destructor": "Lost = type('Lost', (), {'__del__': lambda self: fail()}); Lost()",
    }
    script = (
        "import threading, django; django.setup(); from project import logs; logs.log_uncaught()\n"
        f"def fail(): raise OSError('cannot reach ' + 'http://u:{SECRET[:4]}' + '{SECRET[4:]}@h/?a=b')\n" + code[where]
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=False,
        cwd=BASE_DIR,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "project.settings"},
        capture_output=True,
        text=True,
    )
    assert SECRET not in done.stdout + done.stderr
    assert "http://[redacted]@h/?[redacted]" in done.stdout
