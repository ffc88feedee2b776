"""The HTTP client against servers that close, stall, cheat and talk too much."""

from __future__ import annotations

import gzip
import sys
import threading
import time
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from actions import network
from actions.base import Cancelled, Permanent, Retryable
from actions.network import Call, pool
from tests.actions.raw_server import OK, Peer, answering, once
from tests.actions.sending import Serve, answered, failure, send
from tests.waiting import wait_for

# Connections


def test_requests_in_turn_share_one_connection_whatever_their_methods(serve: Serve) -> None:
    with serve(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as server:
        for method in ("GET", "POST", "HEAD", "GET", "DELETE", "PUT", "HEAD", "POST", "OPTIONS", "PATCH", "GET"):
            send(server.url(), method, content=b"x" if method in ("POST", "DELETE") else None)
    assert server.accepted == 1
    assert [request.split()[0] for request in server.requests[:5]] == [b"GET", b"POST", b"HEAD", b"GET", b"DELETE"]
    assert [request.endswith(b"\r\n\r\nx") for request in server.requests[:5]] == [False, True, False, False, True]


def test_idle_connection_keeps_nothing_of_its_last_request_in_memory(serve: Serve) -> None:
    with serve(answering(OK)) as server:
        content = bytes(range(256)) * 1000
        references = sys.getrefcount(content)
        send(server.url(), "POST", content=content)
        assert sys.getrefcount(content) == references


def test_threads_have_a_connection_each_and_use_them_again(serve: Serve) -> None:
    together = threading.Barrier(4)

    def script(peer: Peer) -> None:
        while peer.read():
            together.wait(10)
            peer.send(OK)

    with serve(script) as server, ThreadPoolExecutor(4) as threads:
        for _ in range(3):
            assert [one.status for one in threads.map(lambda _: send(server.url()), range(4))] == [200] * 4
    assert (server.accepted, len(server.requests)) == (4, 12)


def test_no_more_idle_connections_are_kept_than_configured(serve: Serve) -> None:
    together = threading.Barrier(5)

    def script(peer: Peer) -> None:
        while peer.read():
            together.wait(10)
            peer.send(OK)

    with serve(script) as server, ThreadPoolExecutor(5) as threads:
        network.configure(["127.0.0.1"], connections=2)
        list(threads.map(lambda _: send(server.url()), range(5)))
        wait_for(lambda: server.ended == 3, what="the end of three of the five connections")


def test_connection_that_was_idle_for_long_is_not_used_again(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(answering(OK)) as server:
        send(server.url())
        monkeypatch.setattr(pool, "IDLE_SECONDS", -1.0)
        send(server.url())
        assert server.accepted == 2
        wait_for(lambda: send(server.url()).body and server.ended >= 2, what="the end of the old connections")


def test_kept_connection_that_the_server_closed_is_replaced_before_anything_is_sent(serve: Serve) -> None:
    with serve(once(OK)) as server:
        for count in range(1, 4):
            assert send(server.url(), "POST", content=b"pay").body == b"ok"
            wait_for(lambda count=count: server.ended == count, what="the server's close")  # type: ignore[misc]
    assert (server.accepted, len(server.requests)) == (3, 3)


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_request_is_not_sent_again_when_a_kept_connection_dies_on_it(serve: Serve, method: str) -> None:
    def script(peer: Peer) -> None:
        peer.read()
        peer.send(OK)
        peer.read()  # and closes without an answer

    with serve(script) as server:
        send(server.url(), method)
        with pytest.raises(Retryable, match="closed the connection without sending a response") as caught:
            send(server.url(), method)
        assert caught.value.kind == "connection"
        assert send(server.url(), method).status == 200
    assert (server.accepted, len(server.requests)) == (2, 3)


def test_connection_that_the_server_ends_is_not_kept(serve: Serve) -> None:
    with serve(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")) as server:
        send(server.url())
        send(server.url())
    assert server.accepted == 2


def test_bytes_after_a_response_do_not_become_the_next_one(serve: Serve) -> None:
    with serve(answering(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")) as server:
        assert [send(server.url()).body for _ in range(3)] == [b"ok"] * 3


def test_kept_connection_does_not_outlive_the_permission_for_its_server(serve: Serve) -> None:
    with serve(answering(OK)) as server:
        send(server.url())
        network.configure([])
        with pytest.raises(Permanent) as caught:
            send(server.url())
    assert (caught.value.kind, len(server.requests)) == ("blocked", 1)


def test_address_that_is_refused_is_left_out_and_the_next_one_tried(serve: Serve) -> None:
    # libcurl knows ::1 and 127.0.0.1 for localhost.
    with serve(answering(OK)) as server:
        network.configure(["127.0.0.1"])
        assert send(server.url(host="localhost")).status == 200
        network.configure(["::1"])
        with pytest.raises((Permanent, Retryable)):
            send(server.url(host="localhost"))
    assert server.accepted == 1


def test_address_of_ipv6_is_reached(serve: Serve) -> None:
    with serve(answering(OK), host="::1") as server:
        assert send(server.url()).status == 200
    assert f"Host: [::1]:{server.port}\r\n".encode() in server.requests[0]


# Time


@pytest.mark.parametrize("begin", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"])
def test_deadline_holds_however_a_server_drips(serve: Serve, begin: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.read()
        peer.send(begin)
        while not peer.server.over.wait(0.02):
            if begin:
                peer.send(b"x")

    with serve(script) as server:
        began = time.monotonic()
        with pytest.raises(Retryable) as caught:
            send(server.url(), timeout_seconds=0.3)
        assert caught.value.kind == "timeout"
        assert 0.25 < time.monotonic() - began < 5


def test_deadline_covers_all_redirects_together(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        while peer.read():
            peer.server.over.wait(0.2)
            peer.send(b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")

    with serve(script) as server, pytest.raises(Retryable) as caught:
        send(server.url(), timeout_seconds=0.5)
    assert caught.value.kind == "timeout"
    assert len(server.requests) < 4


def test_large_body_is_sent_without_waiting_for_permission(serve: Serve) -> None:
    with serve(answering(OK)) as server:
        send(server.url(), "POST", content=b"x" * 3_000_000, headers={"Expect": "100-continue"})
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert b"expect" not in head.lower()
    assert len(body) == 3_000_000


def test_a_cancel_ends_a_long_body_between_reads(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.read()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nx")
        while not peer.server.over.wait(0.02):
            peer.send(b"x")

    reads: list[int] = []

    def cancelled() -> bool:
        reads.append(1)
        return len(reads) > 3

    with serve(script) as server, pytest.raises(Cancelled):
        network.request(Call("GET", server.url()), timeout_seconds=30, cancelled=cancelled)
    assert len(reads) == 4


def test_exception_of_the_one_who_is_asked_about_a_cancel_is_passed_on(serve: Serve) -> None:
    def cancelled() -> bool:
        raise LookupError("no such run")

    with serve(answering(OK)) as server, pytest.raises(LookupError, match="no such run"):
        network.request(Call("GET", server.url()), timeout_seconds=5, cancelled=cancelled)


# Responses


def test_interim_responses_are_passed_over(serve: Serve) -> None:
    early = b"HTTP/1.1 100 Continue\r\nX: no\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    answer = answered(serve, early + b"HTTP/1.1 201 Made\r\nX-Y: yes\r\nContent-Length: 2\r\n\r\nok")
    assert answer == (201, "Created", {"x-y": "yes", "content-length": "2"}, b"ok")


def test_headers_of_one_name_are_joined_and_trailers_are_no_headers(serve: Serve) -> None:
    head = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie:b=2\r\nEmpty:\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = answered(serve, head + b"2\r\nok\r\n3;x=y\r\nay!\r\n0\r\nX-Trailer: 1\r\n\r\n")
    assert answer.body == b"okay!"
    assert answer.headers == {"set-cookie": "a=1, b=2", "empty": "", "transfer-encoding": "chunked"}


@pytest.mark.parametrize("coding", ["utf-8", "latin-1"])
def test_header_values_may_be_utf_8_or_latin_1(serve: Serve, coding: str) -> None:
    value = "Grüße".encode(coding)
    assert answered(serve, b"HTTP/1.1 204 OK\r\nX: " + value + b"\r\n\r\n").headers == {"x": "Grüße"}


@pytest.mark.parametrize(("status", "method"), [(204, "GET"), (304, "GET"), (200, "HEAD")])
def test_response_without_a_body_needs_none(serve: Serve, status: int, method: str) -> None:
    answer = answered(serve, b"HTTP/1.1 %d X\r\nContent-Encoding: gzip\r\nContent-Length: 99\r\n\r\n" % status, method)
    assert (answer.status, answer.body) == (status, b"")


def test_body_without_a_length_ends_with_the_connection(serve: Serve) -> None:
    assert answered(serve, b"HTTP/1.0 200 OK\r\n\r\nall of it").body == b"all of it"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 2",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX: y\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n0\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nsho",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nshort\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nfour",
        b"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        b"<p>this is no HTTP",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
)
def test_response_that_is_cut_off_or_no_http_is_worth_a_retry(serve: Serve, data: bytes) -> None:
    caught = failure(serve, data)
    assert isinstance(caught, Retryable)
    assert caught.kind == "connection"
    assert str(caught).startswith("GET http://127.0.0.1:")


@pytest.mark.parametrize(
    "lines", [b"X: " + b"a" * 110_000 + b"\r\n", b"X: a\r\n" * 30_000, b"X: %s\r\n" % (b"a" * 90_000) * 2]
)
def test_headers_of_more_than_100_kb_are_refused(serve: Serve, lines: bytes) -> None:
    assert failure(serve, b"HTTP/1.1 200 OK\r\n" + lines + b"Content-Length: 0\r\n\r\n").kind == "too_large"


def test_headers_of_90_kb_are_accepted(serve: Serve) -> None:
    answer = answered(serve, b"HTTP/1.1 200 OK\r\nX: " + b"a" * 90_000 + b"\r\nContent-Length: 0\r\n\r\n")
    assert len(answer.headers["x"]) == 90_000


def _raw_deflate(data: bytes) -> bytes:
    deflating = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflating.compress(data) + deflating.flush()


@pytest.mark.parametrize(
    ("coding", "body", "read"),
    [
        (b"gzip", gzip.compress(b"hello", mtime=0), b"hello"),
        (b"GZIP", gzip.compress(b"hello", mtime=0), b"hello"),
        (b"deflate", zlib.compress(b"hello"), b"hello"),
        (b"deflate", _raw_deflate(b"hello"), b"hello"),
        (b"deflate, gzip", gzip.compress(zlib.compress(b"hello"), mtime=0), b"hello"),
        (b"identity", b"hello", b"hello"),
        (b"utf-8", b"hello", b"hello"),
    ],
)
def test_body_is_decompressed(serve: Serve, coding: bytes, body: bytes, read: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n" % (coding, len(body))
    assert answered(serve, head + body).body == read


@pytest.mark.parametrize(
    "body", [b"no gzip", gzip.compress(b"hello" * 100, mtime=0)[:-12], gzip.compress(b"x", mtime=0)[:-8] + b"12345678"]
)
def test_compressed_body_that_is_broken_is_worth_a_retry(serve: Serve, body: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert failure(serve, head + body).kind == "connection"


@pytest.mark.parametrize("layers", [1, 2])
def test_bomb_is_refused_before_it_is_in_memory(serve: Serve, layers: int) -> None:
    bomb = bytes(30_000_000)
    for _ in range(layers):
        bomb = gzip.compress(bomb, compresslevel=1, mtime=0)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\n\r\n" % b", ".join([b"gzip"] * layers)
    tracemalloc.start()
    try:
        assert failure(serve, head + bomb).kind == "too_large"
        assert tracemalloc.get_traced_memory()[1] < 25_000_000
    finally:
        tracemalloc.stop()


def test_body_beyond_ten_megabytes_is_refused_and_one_of_ten_is_not(serve: Serve) -> None:
    most = 10 * 1024 * 1024
    assert len(answered(serve, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % most + bytes(most)).body) == most
    assert failure(serve, b"HTTP/1.1 200 OK\r\n\r\n" + bytes(most + 1)).kind == "too_large"


def test_length_of_a_body_that_is_not_sent_does_not_matter(serve: Serve) -> None:
    answer = answered(serve, b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "HEAD")
    assert answer.headers["content-length"] == "99999999999"
