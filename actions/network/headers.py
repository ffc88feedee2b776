"""Headers as libcurl wants and gives them: lines of text, checked on the way out and parsed on the way in."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from functools import lru_cache

from actions.network.urls import Url

_NAME = re.compile(r"[-!#$%&'*+.^_`|~0-9a-zA-Z]+")
# Visible characters, with spaces and tabs between them. Other control characters are harmless, and some cookies have
# them; CR, LF and NUL would end the line, and with it the header.
_VALUE = re.compile(r"(?:[\x01-\x08\x0e-\x1f\x21-\x7f]+(?:[ \t]+[\x01-\x08\x0e-\x1f\x21-\x7f]+)*)?")
_DEFAULTS = (
    ("accept-encoding", "Accept-Encoding: gzip, deflate"),
    ("user-agent", "User-Agent: stepwise"),
    ("accept", "Accept: */*"),
)
# libcurl sets these itself, and the URL Host. Expect asks a server to answer before it gets the body, which is sent at
# once here.
_OURS = frozenset({"connection", "content-length", "expect", "host", "transfer-encoding"})
MAX_HEADERS = 100 * 1024


class BadHeader(ValueError):
    """A header that cannot be sent."""


class TooLarge(Exception):
    """A body that is larger than what is accepted."""


class Broken(Exception):
    """A response that cannot be used, though libcurl took it for a whole one."""


def lines(given: Mapping[str, str], *, url: Url, has_body: bool) -> list[str]:
    """Return a request's headers as libcurl's lines: Host, the defaults, and those given, which replace the defaults.

    Raises BadHeader for a name that is no token, and for a value with a line break or with characters beyond ASCII.
    """
    added, sent = _names(tuple(given), has_body=has_body)
    found = [f"Host: {url.authority}", *added]
    for name in sent:
        value = given[name]
        if not _VALUE.fullmatch(value):
            raise BadHeader(
                f"the value of {name!r} has a line break, a character that is not ASCII, or a space at one end"
            )
        # For libcurl a semicolon means: send this header, though it is empty.
        found.append(f"{name}: {value}" if value else f"{name};")
    return found


# The names are the same for all requests of a step.
@lru_cache(maxsize=128)
def _names(given: tuple[str, ...], *, has_body: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the lines of the defaults, and those of the given names that are sent. Raises BadHeader."""
    for name in given:
        if not _NAME.fullmatch(name):
            raise BadHeader(f"{name[:100]!r} is no header name")
    known = {name.lower() for name in given}
    added = [line for name, line in _DEFAULTS if name not in known]
    if has_body:
        # An empty header takes away what libcurl would add to a request with a body.
        added += ["Expect:"] if "content-type" in known else ["Expect:", "Content-Type:"]
    return tuple(added), tuple(name for name in given if name.lower() not in _OURS)


def parsed(received: bytes) -> dict[str, str]:
    """Return the headers of a response by their names in lower case; several of one name are joined with commas.

    `received` is all that libcurl takes for headers: responses with a status of 1xx, the response itself from its
    status line to the empty line, and trailers. Raises Broken for more than 100 KB, and if the empty line is missing.
    """
    if len(received) > MAX_HEADERS:
        raise Broken(f"the response has more than {MAX_HEADERS // 1024} KB of headers")
    try:
        text = received.decode()
    except UnicodeDecodeError:
        text = received.decode("latin-1")
    found: dict[str, str] = {}
    ended = True
    for line in text.split("\n"):
        name, colon, value = line.partition(":")
        if ended:
            if not line.startswith("HTTP/"):
                return found
            found, ended = {}, False
        elif colon:
            name, value = name.rstrip(" \t").lower(), value.strip(" \t\r")
            found[name] = f"{found[name]}, {value}" if name in found else value
        else:
            ended = line in ("", "\r")
    raise Broken("the response ends within its headers")


def decoded(body: bytes, coding: str, *, most: int) -> bytes:
    """Return a body without its Content-Encoding, as far as that is gzip or deflate; another coding is left as it is.

    Raises TooLarge beyond `most` bytes, before more than that are in memory, and zlib.error for a body that is broken
    or cut off.
    """
    for name in reversed(coding.lower().split(",")):
        if name.strip() in ("gzip", "x-gzip"):
            body = _inflated(body, zlib.MAX_WBITS | 16, most=most)
        elif name.strip() == "deflate":
            try:
                body = _inflated(body, zlib.MAX_WBITS, most=most)
            except zlib.error:
                # Some servers leave out the zlib header that RFC 9110 wants.
                body = _inflated(body, -zlib.MAX_WBITS, most=most)
    return body


def _inflated(body: bytes, window_bits: int, *, most: int) -> bytes:
    inflating = zlib.decompressobj(window_bits)
    found = inflating.decompress(body, most + 1)
    if len(found) > most:
        raise TooLarge()
    if not inflating.eof:
        raise zlib.error("the compressed body is cut off")
    return found
