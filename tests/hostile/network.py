"""What a server may answer, where a URL may lead, and what a log line may hold."""

from __future__ import annotations

import contextlib
import gzip
import logging
import logging.config
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from io import StringIO
from ipaddress import ip_address

from actions import network
from actions.base import ActionError, Retryable
from actions.network import Call, addresses
from project import logs
from tests.actions.contexts import perform
from tests.actions.raw_server import Peer, Script, answering, once, raw
from tests.hostile.case import Case

TEN_MEGABYTES = 10 * 1024 * 1024
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"


# Charsets: a POST that was done succeeds, and quickly, whatever its answer says of itself.

CHARSETS = {
    **dict.fromkeys(("punycode", "idna without a dot", "undefined", "rot13", "mbcs", "../../etc", "x" * 90_000), b"a"),
    "punycode with delimiters": b"-9",
    "idna": b"xn--a.",
    "unicode_escape": b"\\N{x}",
    "raw_unicode_escape": b"\\uD800",
    "utf-7": b"+",
    "hex": b"z",
    "zip": b"x",
    "base64": b"=",
    "utf-8": b"\xff",
    "utf-8 cut off": b"\xf0\x9f\x98",
    "utf-8-sig": b"\xef\xbb\xbf",
    "utf-16": b"\xd8\x00",
    "utf-16-be": b"\xd8\x00",
    "utf-32": b"\xff",
    "windows-1252": b"\x81",
    "windows-1257": b"\xa1",
    "iso-8859-7": b"\xff",
    "us-ascii": b"\xff",
    "shift_jis": b"\x81",
    "euc-jp": b"\x8f\xff",
    "iso-2022-jp": b"\x1b$",
    "iso-2022-kr": b"\x0e",
    "gb18030": b"\x81\x30",
    "big5": b"\xff",
    "hz": b"~{",
}


def charset(name: str, unit: bytes) -> str | None:
    said = name.partition(" ")[0]
    body = unit * (TEN_MEGABYTES // len(unit))
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset={said}\r\nContent-Length: {len(body)}\r\n\r\n"

    def script(peer: Peer) -> None:
        while peer.read():
            peer.send(head.encode())
            peer.send(body)

    return _post_succeeds(script)


def _post_succeeds(script: Script) -> str | None:
    """Send a POST; return what is wrong unless it succeeds, having been sent once."""
    with raw(script) as server:
        network.configure(["127.0.0.0/8"])
        try:
            perform("http_request", {"url": server.url(), "method": "POST", "body": "order"}, timeout_seconds=60)
        except ActionError as error:
            return f"a POST that was done failed: {error}"
        return None if len(server.requests) == 1 else f"it was sent {len(server.requests)} times"


# Retry-After

RETRY_AFTER = (
    *("99999999999999999999999999", "-1", "1e400", "Infinity", "NaN", "0x7f", "1_000", "+5", "\xb2", "7, 9", ",;" * 40),
    *("Sun, 01 Mar 2026 12:00:30 +9999999999999", "Sun, 01 Mar 2026 12:00:30 -0000", "01 Mar", "Mar", "a:b:c:d"),
    *("Sun, 01 Mar 9999 23:59:59 -2359", "Mon, 01 Jan 0001 00:00:00 +2359", "Sun, 99 Mar 2026 99:99:99 GMT"),
    *("Sun, 01 Mar -2026 12:00:30 GMT", "Sun, 01 Mar " + "9" * 5_000 + " 12:00 GMT", "1" * 90_000, "( " * 40_000),
    ":" * 90_000,
)


def retry_after(value: str) -> str | None:
    with raw(once(f"HTTP/1.1 503 X\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n".encode("latin-1"))) as server:
        network.configure(["127.0.0.0/8"])
        try:
            perform("http_request", {"url": server.url()})
        except Retryable as error:
            fits = error.kind == "http:503" and (error.delay_seconds is None or 0 <= error.delay_seconds <= 86_400)
            return None if fits else f"{error.kind}, again in {error.delay_seconds} s"
    return "503 is no failure"


# Bytes after an answer: the next one is read from another connection.

ANSWERS = {
    "with a length": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "with length 0": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "204": b"HTTP/1.1 204 None\r\nContent-Length: 4\r\n\r\n",
    "304": b"HTTP/1.1 304 Same\r\n\r\n",
    "in chunks": CHUNKED + b"2\r\nok\r\n0\r\n\r\n",
    "in chunks, with trailers": CHUNKED + b"2\r\nok\r\n0\r\nX: y\r\n\r\n",
    "in chunks, with line feeds": CHUNKED + b"2 \nok\n0\n\n",
    "in no chunks": CHUNKED + b"0\r\n\r\n",
    "of two lengths": CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n") + b"2\r\nok\r\n0\r\n\r\n",
    "twice in chunks": CHUNKED.replace(b"chunked", b"chunked, chunked") + b"2\r\nok\r\n0\r\n\r\n",
}


def left_over(answer: bytes) -> str | None:
    with raw(answering(answer + EVIL)) as server:
        network.configure(["127.0.0.0/8"])
        found = [network.request(Call("GET", server.url()), timeout_seconds=10).body for _ in range(3)]
    return f"the next answer was {found}" if b"evil" in found else None


# Answers without an end: each ends by a number, long before its time.

ENDLESS = {
    "100": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "102 without a reason": (b"", b"HTTP/1.1 102\r\n\r\n"),
    "103 with headers": (b"", b"HTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\n"),
    "101": (b"", b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "headers without a name": (b"HTTP/1.1 200 OK\r\n", b": y\r\n"),
    "one header": (b"HTTP/1.1 200 OK\r\nX: ", b"y"),
    "folded header": (b"HTTP/1.1 200 OK\r\nX: y\r\n", b" y\r\n"),
    "status line": (b"HTTP/1.1 200 ", b"K"),
    "empty lines": (b"", b"\r\n"),
    "zeros": (b"", b"\0"),
    "body": (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
    "one-byte chunks": (CHUNKED, b"1\r\nx\r\n"),
    "one-byte chunks with extensions": (CHUNKED, b"1;a=b\r\nx\r\n"),
    "long extension": (CHUNKED + b"1;", b"x"),
    "long chunk length": (CHUNKED, b"0"),
    "huge chunk": (CHUNKED + b"7fffffffffffffff\r\n", b"x"),
    "trailers": (CHUNKED + b"0\r\n", b"X: y\r\n"),
    "one trailer": (CHUNKED + b"0\r\nX: ", b"y"),
    "chunks in gzip": (CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"), b"1\r\n\x1f\r\n"),
}


def endless(begin: bytes, again: bytes) -> str | None:
    def script(peer: Peer) -> None:
        peer.read()
        peer.send(begin)
        many = again * (65536 // len(again))
        while True:
            peer.send(many)

    return _is_refused(script, timeout_seconds=60)


def _is_refused(script: Script, *, timeout_seconds: float) -> str | None:
    with raw(script) as server:
        network.configure(["127.0.0.0/8"])
        try:
            answer = network.request(Call("POST", server.url(), content=b"x"), timeout_seconds=timeout_seconds)
        except ActionError as error:
            return "it ended by its timeout only" if error.kind == "timeout" else None
    return f"it was accepted: {answer.status} with {len(answer.body):,} bytes"


# Compression


def _layers(times: int, *, size: int) -> tuple[bytes, bytes]:
    body = bytes(size)
    for _ in range(times):
        body = zlib.compress(body, level=0)
    return b", ".join([b"deflate"] * times), body


def _bomb(times: int, *, size: int) -> tuple[bytes, bytes]:
    body = bytes(size)
    for _ in range(times):
        body = gzip.compress(body, mtime=0)
    return b", ".join([b"gzip"] * times), body


COMPRESSED: dict[str, Callable[[], tuple[bytes, bytes]]] = {
    "bomb of 11 MB": partial(_bomb, 1, size=11 * 1024 * 1024),
    "bomb in a bomb": partial(_bomb, 2, size=40_000_000),
    "bomb in five bombs": partial(_bomb, 5, size=40_000_000),
    "six layers": partial(_layers, 6, size=1000),
    "thirty layers of 9 MB": partial(_layers, 30, size=9_000_000),
    "20,000 names of codings": lambda: (b"gzip," * 19_000, b"x"),
    "10 MB that are no gzip": lambda: (b"gzip", b"\x1f\x8b\x08\0" * (TEN_MEGABYTES // 4)),
    "10 MB that are no deflate": lambda: (b"deflate", b"\x78\x9c" * (TEN_MEGABYTES // 2)),
    "cut off": lambda: (b"gzip", gzip.compress(b"x" * 10_000_000, mtime=0)[:-9]),
    "empty deflate blocks": lambda: (b"deflate", b"\x78\x01" + b"\0\0\0\xff\xff" * (TEN_MEGABYTES // 5 - 1)),
}


def compressed(make: Callable[[], tuple[bytes, bytes]]) -> str | None:
    coding, body = make()
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n" % (coding, len(body))

    def script(peer: Peer) -> None:
        peer.read()
        peer.send(head)
        peer.send(body)

    return _is_refused(script, timeout_seconds=60)


# Addresses: the text of a URL never leads to this machine.

OWN_MACHINE = (
    *(
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "0x7f.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "0177.0.0.1",
        "0",
        "0.0.0.0",
    ),
    *("localhost", "LOCALHOST", "localhost.", "127.0.0.1.", "127.255.255.254", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]"),
    *("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[::1%25lo]", "[::ffff:0:127.0.0.1]"),
    *("[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fe80::1]", "１２７.０.０.１", "127。0。0。1", "ⓛocalhost", "①27.0.0.1"),
    *("example.com@127.0.0.1", "127.0.0.1%00.example.com", "example.com\\@127.0.0.1", "127.0.0.1#@example.com"),
)


def own_machine(host: str) -> str | None:
    with raw(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as server:
        network.configure([])
        authority, mark, rest = host.partition("#")
        try:
            network.request(Call("GET", f"http://{authority}:{server.port}/{mark}{rest}"), timeout_seconds=10)
        except ActionError as error:
            allowed = error.kind in ("blocked", "url", "connection") and not server.requests
            return None if allowed else f"{error.kind}: {error}"
    return "it was reached"


METADATA = (
    *("169.254.169.254", "169.254.169.252", "169.254.169.253", "169.254.170.2", "169.254.170.23", "168.63.129.16"),
    *("169.254.0.23", "169.254.42.42", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd00:ec2::23"),
    *("fd20:ce::254", "fd00:c1::a9fe:a9fe", "fd00:42::42", "fd00:a9fe:a9fe::1", "fe80::a9fe:a9fe", "fe80::a9fe:a9fe%2"),
    *(
        "::ffff:169.254.169.254",
        "::ffff:168.63.129.16",
        "::169.254.169.254",
        "::ffff:0:a9fe:a9fe",
        "64:ff9b::a9fe:a9fe",
    ),
    *("64:ff9b:1::a9fe:a9fe", "64:ff9b:1:a9fe:a9:fe00::", "64:ff9b:1:a9:fe:a9fe::", "64:ff9b:1:0:a9:fea9:fe00:0"),
    *("2002:a9fe:a9fe::", "2001:0:a9fe:a9fe::", "2001:0:101:101:0:0:5601:5601", "fe80::5efe:a9fe:a9fe"),
)
# Private addresses inside IPv6 ones whose network is allowed.
INSIDE = (
    *(("::/0", "::ffff:10.0.0.1"), ("::/0", "64:ff9b::a00:1"), ("64:ff9b::/96", "64:ff9b::c0a8:1")),
    *(("2002::/16", "2002:7f00:1::"), ("::/96", "::10.0.0.1"), ("fe80::/10", "fe80::5efe:a00:1")),
    *(("2001::/32", "2001:0:a00:1::"), ("::ffff:0:0:0/96", "::ffff:0:a00:1"), ("10.0.0.0/8", "::ffff:192.168.0.1")),
    *(("10.0.0.0/8", "64:ff9b::7f00:1"), ("fc00::/7", "::ffff:127.0.0.1")),
)


def is_blocked(allowed: tuple[str, ...], address: str) -> str | None:
    try:
        addresses.check("host", ip_address(address), 80, allowed=addresses.parse_allowed(allowed))
    except addresses.Blocked:
        return None
    return f"{address} is permitted by {', '.join(allowed)}"


# Redirects: nothing of a request reaches another origin unasked.

REDIRECTS = {
    "307 of a POST": (307, "POST", "http://localhost:{other}/"),
    "308 of a PUT": (308, "PUT", "http://localhost:{other}/"),
    "302 of a PATCH": (302, "PATCH", "http://localhost:{other}/"),
    "301 of a DELETE": (301, "DELETE", "//localhost:{other}/x"),
    "307 to a user": (307, "POST", "http://127.0.0.1@localhost:{other}/"),
    "307 with a backslash": (307, "POST", "http:\\\\localhost:{other}/"),
    "307 with blanks": (307, "POST", " \thttp://localhost:{other}/ "),
    "307 out of HTTP": (307, "POST", "gopher://localhost:{other}/_x"),
    "307 of 90 KB": (307, "POST", "http://localhost:{other}/" + "../" * 30_000),
    "307 to metadata": (307, "POST", "http://169.254.169.254/latest"),
}


def redirect(status: int, method: str, to: str) -> str | None:
    with raw(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as other:
        location = to.replace("{other}", str(other.port))
        head = f"HTTP/1.1 {status} X\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
        with raw(answering(head.encode())) as server:
            network.configure(["127.0.0.0/8", "localhost"])
            call = Call(method, server.url(), {"Authorization": "s3cretWord"}, content=b"s3cretWord")
            with contextlib.suppress(ActionError):
                network.request(call, timeout_seconds=10)
        return "the other server got a secret" if any(b"s3cretWord" in one for one in other.requests) else None


# Lines of a log

SECRET = "s3cretWord"
LINES = {
    "link": "Forbidden: /approve/s3cretWord",
    "link behind a prefix": "/app//approve///s3cretWord/",
    "encoded link": "GET /%61ppr%6fve/s3cretWord",
    "wholly encoded link": "GET %2Fapprove%2Fs3cretWord",
    "link in capitals": "GET /APPROVE/s3cretWord",
    "signed value": f"bad {SECRET}:1abcde:{'s3cretWord' * 5}"[: len("bad s3cretWord:1abcde:") + 43].replace(
        "bad s3c", "bad x"
    ),
    "query": "GET /x?token=s3cretWord",
    "query with quotes": 'GET "/x?a="s3cretWord"" 404',
    "query behind a fragment": "http://h/#x?s3cretWord",
    "two questions": "http://h/?a?s3cretWord",
    "query alone": "?s3cretWord",
    "user": "http://s3cretWord@h/",
    "password": "redis://:s3cretWord@h:6379/0",
    "password with an @": "http://u:a@s3cretWord@h/",
    "password with slashes": "postgresql://u:/s3cret//s3cretWord@h/db",
    "password with a question mark": "amqp://u:a?s3cretWord@h/",
    "without a scheme": "//u:s3cretWord@h/x",
    "two URLs": "http://a@h,http://u:s3cretWord@h",
    "token": f"stw_{SECRET * 4}",
    "header": f"{{'Authorization': 'Basic {SECRET * 2}'}}",
    "bearer": f"sent BEARER  {SECRET * 2}",
    "several lines": "first\nGET /x?a=s3cretWord\nhttp://u:s3cretWord@h",
    "half a megabyte of questions": "?" * 500_000 + "s3cretWord",
    "half a megabyte of links": "/approve/s3cretWord" * 25_000,
    "half a megabyte of users": "//s3cretWord@" * 40_000,
    "half a megabyte of percent signs": "%" * 500_000 + "/x?s3cretWord",
    "half a megabyte of signatures": "a:bcdefg" * 62_000 + "?s3cretWord",
    "half a megabyte of headers": "authorization: " * 30_000 + "Basic s3cretWords3cretWord",
}


def line(text: str) -> str | None:
    for log_format in ("text", "json"):
        written = _written(text, log_format=log_format)
        if SECRET in written or not written.endswith("\n"):
            return f"it was written: {written[:200]}"
    return None


def _written(text: str, *, log_format: str) -> str:
    """What our handler writes of a text that is a message, a value, a part of a list, and an exception."""
    configured = logs.configure(log_format=log_format, level="INFO")
    configurator = logging.config.DictConfigurator(configured)
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(configurator.configure_formatter(dict(configured["formatters"]["line"])))
    error = OSError(text)
    record = logging.LogRecord("x", logging.ERROR, "", 0, "%s", (text,), (OSError, error, None))
    record.__dict__.update(url=text, several=[text, {"deep": text}], error=error)
    handler.handle(record)
    return stream.getvalue()


def _cases() -> Iterator[Case]:
    answer, guard, log = "server's answer", "network guard", "log line"
    for name, unit in CHARSETS.items():
        attack = partial(charset, name, unit)
        yield Case(f"charset {name[:40]}, 10 MB", answer, attack)
    for value in RETRY_AFTER:
        yield Case(f"Retry-After: {value[:40]} ({len(value):,})", answer, partial(retry_after, value))
    for name, sent in ANSWERS.items():
        yield Case(f"bytes after an answer {name}", answer, partial(left_over, sent))
    for name, (begin, again) in ENDLESS.items():
        yield Case(f"endless: {name}", answer, partial(endless, begin, again))
    for name, make in COMPRESSED.items():
        yield Case(f"compressed: {name}", answer, partial(compressed, make))
    for host in OWN_MACHINE:
        yield Case(f"own machine as {host}", guard, partial(own_machine, host))
    for address in METADATA:
        yield Case(f"metadata at {address}", guard, partial(is_blocked, ("0.0.0.0/0", "::/0", "host"), address))
    for allowed, address in INSIDE:
        yield Case(f"{address} where {allowed} is allowed", guard, partial(is_blocked, (allowed,), address))
    for name, (status, method, to) in REDIRECTS.items():
        yield Case(f"redirect: {name}", guard, partial(redirect, status, method, to))
    for name, text in LINES.items():
        yield Case(f"log: {name}", log, partial(line, text))


CASES: list[Case] = list(_cases())
