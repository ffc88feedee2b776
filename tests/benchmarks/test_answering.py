"""The benchmarks' HTTP server answers, or holds what it has accepted, and counts both."""

from __future__ import annotations

import socket
import urllib.request
from urllib.parse import urlsplit

from benchmarks import answering
from benchmarks.baselines import client
from tests.waiting import wait_for


def test_requests_over_the_baselines_client_are_counted_and_share_a_connection() -> None:
    with answering.server(0) as server:
        assert [client.get(server.url) for _ in range(3)] == [{"ok": True}] * 3
        assert server.asked() == (3, 1, 1)
        assert server.asked() == (0, 1, 1)
    client._client.curl.close()


def test_the_client_for_greenlets_keeps_its_connection_too() -> None:
    with answering.server(0) as server:
        assert [client._plain(server.url) for _ in range(3)] == [{"ok": True}] * 3
        assert server.asked() == (3, 1, 1)
    client._idle.pop().close()


def test_a_silent_server_holds_requests_and_answers_none() -> None:
    with answering.server(answering.NEVER) as server, answering.server(0) as quick:
        address = urlsplit(server.url)
        with socket.create_connection((str(address.hostname), int(address.port or 0))) as asking:
            asking.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            wait_for(lambda: server.asked().requests, what="the request")
            urllib.request.urlopen(quick.url).close()  # an answer that was asked for later comes
            assert server.asked().open == 1
            asking.setblocking(False)
            try:
                answer = asking.recv(1)
            except BlockingIOError:
                answer = b""
            assert answer == b""
        wait_for(lambda: server.asked().open == 0, what="the end of the connection")
