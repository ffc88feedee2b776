"""Headers as libcurl wants and gives them: lines of text, checked on the way out and parsed on the way in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from actions.network.bodies import Broken
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


class BadHeader(ValueError):
    """A header that cannot be sent."""


def lines(given: Mapping[str, str | Sequence[str]], *, url: Url, has_body: bool) -> list[str]:
    """Return a request's headers as libcurl's lines: Host, the defaults, and those given, which replace the defaults.

    A header with several values is several lines. Raises BadHeader for a name that is no token, and for a value with a
    line break or with characters beyond ASCII.
    """
    added, sent = _names(tuple(given), has_body=has_body)
    found = [f"Host: {url.authority}", *added]
    for name in sent:
        values = given[name]
        found.extend(_line(name, value) for value in ((values,) if isinstance(values, str) else values))
    return found


def _line(name: str, value: str) -> str:
    if not _VALUE.fullmatch(value):
        raise BadHeader(f"the value of {name!r} has a line break, a character that is not ASCII, or a space at one end")
    # For libcurl a semicolon means: send this header, though it is empty.
    return f"{name}: {value}" if value else f"{name};"


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


def parsed(received: bytes) -> dict[str, list[str]]:
    """Return the headers of a response by their names in lower case, each with its values in their order.

    `received` is all that libcurl takes for headers: responses with a status of 1xx, the response itself from its
    status line to the empty line, and trailers. Raises Broken if the empty line is missing.
    """
    try:
        text = received.decode()
    except UnicodeDecodeError:
        text = received.decode("latin-1")
    found: dict[str, list[str]] = {}
    ended = True
    for line in text.split("\n"):
        name, colon, value = line.partition(":")
        if ended:
            if not line.startswith("HTTP/"):
                return found
            found, ended = {}, False
        elif colon:
            found.setdefault(name.rstrip(" \t").lower(), []).append(value.strip(" \t\r"))
        else:
            ended = line in ("", "\r")
    raise Broken("the response ends within its headers")


def joined(found: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return the headers with the values of one name in one text, with commas between them."""
    # In one go: 25,000 headers of one name, each added to a growing text, would hold the interpreter for long.
    return {name: ", ".join(values) for name, values in found.items()}
