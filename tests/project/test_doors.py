"""What holds for every address and every command, whoever answers it."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from pytest_django import Settings

from project.drain import DrainBody
from project.env import BASE_DIR
from runs.dispatch import window

# Links without a secret, and an icon.
_OPEN = {"/health", "/admin/login/", "/", "/api/v1", "/api/v1/", "/favicon.ico"}
_KEY = "01a1fdf6-2e3c-7233-bcee-c6eff8a754f3"


def _addresses(patterns: list[URLPattern | URLResolver], *, before: str = "/") -> Iterator[str]:
    for pattern in patterns:
        here = before + str(pattern.pattern).lstrip("^/")
        if isinstance(pattern, URLResolver):
            yield from _addresses(pattern.url_patterns, before=here)
        elif "(?P" not in here:
            path = here.replace("\\Z", "").rstrip("$^")
            while "<" in path:
                start, end = path.index("<"), path.index(">")
                path = path[:start] + _KEY + path[end + 1 :]
            yield path


def test_nothing_but_health_and_the_login_is_shown_to_strangers(db: None) -> None:
    addresses = sorted({*_addresses(get_resolver().url_patterns)} - _OPEN)
    assert len(addresses) > 40
    for address in addresses:
        for answer in (Client().get(address), Client().post(address)):
            login = answer.status_code == 302 and answer.headers["Location"].startswith("/admin/")
            assert login or answer.status_code in {401, 403, 404, 405}, (address, answer.status_code)


def test_a_foreign_host_header_is_a_problem_below_the_api() -> None:
    answer = Client().get("/api/v1/runs", headers={"host": "evil.example"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/problem+json")


@pytest.mark.parametrize("query", ["state__exact=%00", "q=a%00b"])
def test_a_nul_in_a_page_s_query_is_refused(query: str, admin_client: Client) -> None:
    assert admin_client.get(f"/admin/runs/run/?{query}").status_code == 400


def _request(body: io.BytesIO, **more: str) -> WSGIRequest:
    length = str(len(body.getvalue()))
    words = {"REQUEST_METHOD": "POST", "PATH_INFO": "/", "CONTENT_LENGTH": length, "wsgi.input": body}
    return WSGIRequest({**words, "SERVER_NAME": "localhost", "SERVER_PORT": "80", **more})


def _refuse(request: HttpRequest) -> HttpResponse:
    request.user = User(username="known")
    return HttpResponse(status=413)


def _refuse_stranger(request: HttpRequest) -> HttpResponse:
    request.user = AnonymousUser()
    return HttpResponse(status=401)


def test_a_body_that_is_refused_unread_is_read_before_the_answer() -> None:
    body = io.BytesIO(b"a" * 11_000_000)
    assert DrainBody(_refuse)(_request(body)).status_code == 413
    assert body.tell() == 11_000_000


def test_the_body_of_a_stranger_is_not_read() -> None:
    refused, on_a_page = io.BytesIO(b"a" * 11_000_000), io.BytesIO(b"a" * 11_000_000)
    assert DrainBody(_refuse_stranger)(_request(refused)).status_code == 401
    assert DrainBody(lambda _: HttpResponse(status=404))(_request(on_a_page)).status_code == 404
    assert (refused.tell(), on_a_page.tell()) == (0, 0)


def test_a_body_that_waits_for_leave_or_has_no_end_is_not_read_to_its_end() -> None:
    waiting, endless = io.BytesIO(b"a" * 1000), io.BytesIO(b"a" * 70_000_000)
    DrainBody(_refuse)(_request(waiting, HTTP_EXPECT="100-continue"))
    DrainBody(_refuse)(_request(endless))
    assert waiting.tell() == 0
    assert endless.tell() < 68_000_000


def test_an_argument_that_is_no_utf8_gets_one_line_and_status_2() -> None:
    words = [sys.executable.encode(), b"manage.py", b"run_workflow", b"\xff"]
    done = subprocess.run(words, cwd=BASE_DIR, env=os.environ, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "stepwise: the argument '\\udcff' is not UTF-8\n")


@pytest.fixture
def hanging_broker(settings: Settings) -> Iterator[None]:
    """A broker that accepts connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        settings.REDIS_URL = f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        window.forget()
        yield
    window.forget()
    window._pause.until = 0.0


@pytest.mark.usefixtures("hanging_broker")
def test_a_flood_of_starts_waits_once_for_a_broker_that_hangs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(window, "_PAUSE_SECONDS", 60.0)  # longer than a hundred questions take on a busy machine
    assert [window.room() for _ in range(101)] == [0] * 101
    assert [record.message for record in caplog.records] == ["broker_away"]
