"""What a server may answer: its charset, its chunks, what follows its end; each bounded, and none raises."""

from __future__ import annotations

import codecs
import encodings
import pkgutil
import threading
import time
import zlib

import pytest

from actions.base import Permanent, Retryable
from actions.network import bodies
from tests.actions.contexts import perform
from tests.actions.raw_server import Peer, answering
from tests.actions.sending import Serve, answered, failure, send

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"


# Charsets


@pytest.mark.parametrize(
    ("content_type", "body", "read"),
    [
        ("", "grüße".encode(), "grüße"),
        ("text/plain; charset=latin-1", "grüße".encode("latin-1"), "grüße"),
        ('text/plain; CHARSET="ISO-8859-1"; x=y', "grüße".encode("latin-1"), "grüße"),
        ("text/plain;charset='windows-1252'", "€".encode("cp1252"), "€"),
        ("text/plain; charset=windows-1252", b"a\x81b", "a\ufffdb"),
        ("text/plain; charset=us-ascii", b"a\xffb", "a\ufffdb"),
        ("text/plain; charset=shift_jis", "日本".encode("shift_jis"), "日本"),
        ("text/plain; charset=utf-16", "日本".encode("utf-16"), "日本"),
        ("text/plain; charset=GB18030", "日本".encode("gb18030"), "日本"),
        ("text/plain; charset=utf-8", b"a\xffb", "a\ufffdb"),
        ("text/plain; charset=no-such", "ü".encode(), "ü"),
        ("text/plain; xcharset=latin-1", "ü".encode(), "ü"),
        ("text/plain; charset=", "ü".encode(), "ü"),
        ("text/plain; charset=" + "x" * 90_000, "ü".encode(), "ü"),
        ("text/plain; charset=a\x01b", "ü".encode(), "ü"),
    ],
)
def test_body_is_read_in_the_charset_that_it_names(content_type: str, body: bytes, read: str) -> None:
    assert bodies.text(body, content_type) == read


def test_every_codec_of_python_is_a_charset_of_the_web_or_read_as_utf_8() -> None:
    names = {one.name for one in pkgutil.iter_modules(encodings.__path__)} | {"hex", "rot13", "zip", "undefined"}
    assert {"punycode", "idna", "unicode_escape", "utf_7", "rot_13", "undefined"} <= names
    for name in sorted(names):
        found = bodies.text(b"xn--a\\u0041+AGE-\xc3\xbc", f"text/plain; charset={name}")
        try:
            known = codecs.lookup(name).name in bodies._ONE_BYTE | bodies._MANY_BYTES
        except LookupError:
            known = False
        assert known or found == "xn--a\\u0041+AGE-ü", name


@pytest.mark.parametrize("charset", sorted(bodies._ONE_BYTE | bodies._MANY_BYTES))
def test_no_charset_takes_long_for_bytes_that_it_does_not_have(charset: str) -> None:
    for hostile in (b"\x81", b"\xff", b"\xd8\x00", b"\x1b", b"\x80\xfe"):
        body = hostile * (2 * 1024 * 1024 // len(hostile))
        began = time.process_time()
        bodies.text(body, f"text/plain; charset={charset}")
        assert time.process_time() - began < 2


@pytest.mark.parametrize("charset", ["punycode", "idna", "undefined", "unicode_escape", "utf-7", "hex", "a b"])
def test_post_that_was_done_succeeds_whatever_charset_its_answer_names(serve: Serve, charset: str) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset={charset}\r\nContent-Length: 9\r\n\r\n"
    with serve(answering(head.encode() + b"x..xn--\\x")) as server:
        output = perform("http_request", {"url": server.url(), "method": "POST", "body": "order"})
    assert isinstance(output, dict)
    assert output["body"] == "x..xn--\\x"


def test_error_holds_the_beginning_of_a_long_answer_in_its_charset(serve: Serve) -> None:
    body = ("ü" * 400_000).encode("latin-1")
    head = b"HTTP/1.1 500 X\r\nContent-Type: text/plain; charset=latin-1\r\nContent-Length: %d\r\n\r\n" % len(body)
    with serve(answering(head + body)) as server, pytest.raises(Retryable) as caught:
        perform("http_request", {"url": server.url()})
    assert caught.value.details["body"] == "ü" * 1000


# What follows an answer


@pytest.mark.parametrize("excess", [b"X", b"\r\n", EVIL])
@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 None\r\n\r\n",
        b"HTTP/1.1 304 Same\r\n\r\n",
        CHUNKED + b"2\r\nok\r\n0\r\n\r\n",
        CHUNKED + b"2;x=y\r\nok\r\n0\r\nX-Trailer: 1\r\n\r\n",
        CHUNKED + b"0\r\n\r\n",
    ],
)
def test_bytes_after_an_answer_close_the_connection(serve: Serve, response: bytes, excess: bytes) -> None:
    with serve(answering(response + excess)) as server:
        assert [send(server.url()).body for _ in range(2)] in ([b"ok"] * 2, [b""] * 2)
    assert server.accepted == 2


def test_bytes_that_come_later_close_the_connection(serve: Serve) -> None:
    told, said = threading.Semaphore(0), threading.Semaphore(0)

    def script(peer: Peer) -> None:
        while peer.read():
            peer.send(CHUNKED + b"2\r\nok\r\n0\r\n\r\n")
            told.acquire(timeout=10)
            peer.send(EVIL)
            said.release()

    with serve(script) as server:
        for count in range(1, 4):
            assert send(server.url()).body == b"ok"
            told.release()
            assert said.acquire(timeout=10)
            assert server.accepted == count


def test_connection_of_an_answer_in_chunks_is_used_again(serve: Serve) -> None:
    with serve(answering(CHUNKED + b"2\r\nok\r\n3;x\r\nay!\r\n0\r\nX: y\r\n\r\n")) as server:
        assert [send(server.url()).body for _ in range(3)] == [b"okay!"] * 3
    assert server.accepted == 1


def test_answer_of_two_lengths_is_read_by_its_chunks_and_ends_the_connection(serve: Serve) -> None:
    both = CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\n")
    with serve(answering(both + b"5\r\nhello\r\n0\r\n\r\n")) as server:
        assert [send(server.url()).body for _ in range(2)] == [b"hello"] * 2
    assert server.accepted == 2


@pytest.mark.parametrize("coding", [b"gzip", b"gzip, chunked", b"xyz", b"chunkedx", b"chunked, gzip"])
def test_transfer_encoding_that_was_not_asked_for_is_refused(serve: Serve, coding: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: " + coding + b"\r\n\r\n"
    assert failure(serve, head + b"2\r\nok\r\n0\r\n\r\n").kind == "connection"


# Number and size


def test_body_of_endlessly_many_chunks_ends_by_their_number(serve: Serve) -> None:
    most = bodies.MAX_CHUNKS
    assert len(answered(serve, CHUNKED + b"1\r\nx\r\n" * most + b"0\r\n\r\n").body) == most
    caught = failure(serve, CHUNKED + b"1\r\nx\r\n" * (most + 1) + b"0\r\n\r\n")
    assert (caught.kind, caught.permanent) == ("too_large", True)
    assert "more than 100,000 chunks" in str(caught)


@pytest.mark.parametrize(
    "endless",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\n",
        CHUNKED + b"1;" + b"x" * 1000,
        CHUNKED + b"0\r\n" + b"X: y\r\n" * 1000,
        CHUNKED + b"1\r\nx\r\n" * 1000,
    ],
    ids=["100", "103", "extension", "trailers", "chunks"],
)
def test_endless_answer_ends_before_its_time(serve: Serve, endless: bytes) -> None:
    start, _, again = endless.rpartition(b"\r\n\r\n") if endless.startswith(CHUNKED) else (b"", b"", endless)
    head = start + b"\r\n\r\n" if start else b""

    def script(peer: Peer) -> None:
        peer.read()
        peer.send(head + again)
        more = again.partition(b"\r\n")[2] if again.startswith(b"0\r\n") else again
        while True:
            peer.send(b"x" * 65536 if b";" in again else more * 50)

    with serve(script) as server, pytest.raises(Permanent) as caught:
        send(server.url(), "POST", timeout_seconds=60, content=b"x")
    assert caught.value.kind == "too_large"


def test_a_hundred_interim_responses_are_passed_over(serve: Serve) -> None:
    early = b"HTTP/1.1 102 Processing\r\n\r\n" * 100
    assert answered(serve, early + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").body == b"ok"


def test_switch_of_protocols_that_nobody_asked_for_is_refused_at_once(serve: Serve) -> None:
    caught = failure(serve, b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", timeout_seconds=60)
    assert caught.kind == "connection"


def test_body_that_is_compressed_many_times_is_refused(serve: Serve) -> None:
    def compressed(times: int) -> bytes:
        body = b"hello"
        for _ in range(times):
            body = zlib.compress(body, level=0)
        return b"HTTP/1.1 200 OK\r\nContent-Encoding: " + b", ".join([b"deflate"] * times) + b"\r\n\r\n" + body

    assert answered(serve, compressed(bodies.MAX_CODINGS)).body == b"hello"
    caught = failure(serve, compressed(bodies.MAX_CODINGS + 1))
    assert (caught.kind, caught.permanent) == ("too_large", True)
