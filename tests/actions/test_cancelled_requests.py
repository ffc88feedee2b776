"""A cancel ends a request within moments, whatever it waits for; one that was sent and changes something has time."""

from __future__ import annotations

import json
import math
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from django.conf import settings

from actions import network, registry
from actions.base import Cancelled, Retryable
from actions.catalogue import http_request
from actions.network import Call
from tests.actions.contexts import context
from tests.actions.raw_server import OK, Peer, Script
from tests.actions.sending import Serve

# libcurl calls back about once a second; the rest is for a busy machine.
SOON_SECONDS = 10.0
READS = ("GET", "HEAD", "OPTIONS")
WRITES = ("POST", "PUT", "PATCH", "DELETE")


def silent(peer: Peer) -> None:
    """Read the request, and answer nothing."""
    peer.read()
    peer.server.over.wait(60)


def in_headers(peer: Peer) -> None:
    """Answer with a part of the headers."""
    peer.read()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Le")
    peer.server.over.wait(60)


def in_the_body(peer: Peer) -> None:
    """Answer with a part of the body."""
    peer.read()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nx")
    peer.server.over.wait(60)


def deaf(peer: Peer) -> None:
    """Accept the connection, and read nothing."""
    peer.server.over.wait(60)


def after(seconds: float) -> Callable[[], bool]:
    """A cancel that comes so much later."""
    at = time.monotonic() + seconds
    return lambda: time.monotonic() >= at


@contextmanager
def soon() -> Iterator[None]:
    """Assert that the block takes no longer than a moment."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < SOON_SECONDS


@pytest.mark.parametrize(
    ("script", "method"),
    [
        *((silent, method) for method in READS),
        (in_headers, "GET"),
        (in_headers, "HEAD"),
        (in_the_body, "GET"),
        (deaf, "GET"),
    ],
)
def test_a_request_that_reads_is_cut_off_whatever_it_waits_for(serve: Serve, script: Script, method: str) -> None:
    with serve(script) as server, soon(), pytest.raises(Cancelled):
        network.request(Call(method, server.url()), timeout_seconds=60, cancelled=after(0.1))


def test_a_kept_connection_is_cut_off_too(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.read()
        peer.send(OK)
        silent(peer)

    with serve(script) as server:
        assert network.request(Call("GET", server.url()), timeout_seconds=60, cancelled=after(60)).body == b"ok"
        with soon(), pytest.raises(Cancelled):
            network.request(Call("GET", server.url()), timeout_seconds=60, cancelled=after(0.1))
    assert server.accepted == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_is_cut_off_while_it_connects(method: str) -> None:
    network.configure(["127.0.0.0/8"])
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        # With the backlog full, the kernel answers no further connection.
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with soon(), pytest.raises(Cancelled):
            network.request(Call(method, url), timeout_seconds=60, cancelled=after(0.1), patience_seconds=math.inf)
        for one in waiting:
            one.close()
    network.configure(settings.OUTBOUND_ALLOW)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_is_cut_off_in_the_handshake_of_tls(serve: Serve, method: str) -> None:
    with serve(deaf) as server, soon(), pytest.raises(Cancelled):
        network.request(
            Call(method, f"https:{server.url()[5:]}"),
            timeout_seconds=60,
            cancelled=after(0.1),
            patience_seconds=math.inf,
        )


def test_a_cancel_and_a_timeout_end_a_request_whose_name_server_answers_nothing() -> None:
    """A request that was not sent yet is not waited for, whatever its method; see tests.actions.hanging_resolver."""
    command = ["unshare", "-rmn", sys.executable, "-m", "tests.actions.hanging_resolver"]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if "unshare failed" in found.stderr:
        pytest.skip(f"this machine allows no namespaces: {found.stderr.strip()}")
    assert found.returncode == 0, found.stderr
    told = json.loads(found.stdout)
    assert told["asked"], "the name server was asked"
    assert [kind for kind, _ in told["ended"]] == ["Cancelled"] * 4 + ["Retryable"] * 2
    assert max(seconds for _, seconds in told["ended"]) < SOON_SECONDS


@pytest.mark.parametrize(
    ("script", "method"), [*((silent, method) for method in WRITES), (in_the_body, "POST"), (deaf, "POST")]
)
def test_a_request_that_changes_something_is_cut_off_and_says_that_it_was_sent(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, script: Script, method: str
) -> None:
    monkeypatch.setattr(http_request, "_PATIENCE_SECONDS", 0.5)
    with serve(script) as server, soon(), pytest.raises(Cancelled, match=f"{method} http://.* was sent, so look at"):
        performed(server.url(), method, stopped=True)


def test_the_response_that_comes_soon_after_the_cancel_is_recorded(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.read()
        threading.Event().wait(1)
        peer.send(OK)

    with serve(script) as server:
        answer = performed(server.url(), "POST", stopped=True)
    assert isinstance(answer, dict)
    assert answer["body"] == "ok"


def test_the_response_to_what_may_have_to_be_undone_is_waited_for(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_request, "_PATIENCE_SECONDS", 0.1)
    with serve(silent) as server, pytest.raises(Retryable, match="in time"):
        performed(server.url(), "POST", stopped=True, has_compensation=True, timeout_seconds=3)


def performed(
    url: str, method: str, *, stopped: bool, has_compensation: bool = False, timeout_seconds: float = 60
) -> object:
    """Perform `http_request` in a run that was stopped, or may be undone."""
    action = registry.get("http_request")
    config = action.config_class.model_validate({"url": url, "method": method})
    told = replace(context(timeout_seconds=timeout_seconds), stopped=stopped, has_compensation=has_compensation)
    return action.perform(config, told)
