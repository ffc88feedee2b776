"""Bodies of forms: url-encoded, and multipart with files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlencode

URL_ENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
# What may not stand between the quotes of a name, as the web's forms write it (html.spec.whatwg.org).
_ESCAPED = {'"': "%22", "\r": "%0D", "\n": "%0A"}
_TO_ESCAPE = re.compile(r'["\r\n]')


class Part(NamedTuple):
    """A field of a multipart form; a file if it has a `filename`."""

    name: str
    content: bytes
    filename: str | None = None
    content_type: str | None = None


def url_encoded(fields: Iterable[tuple[str, str]]) -> bytes:
    """Return the body of a form in which a name may come more than once."""
    return urlencode(list(fields)).encode()


def multipart(parts: Iterable[Part], *, seed: str) -> tuple[bytes, str]:
    """Return the body of a multipart form and its Content-Type. The same seed and parts give the same body."""
    known = list(parts)
    boundary = _boundary(known, seed)
    lines: list[bytes] = []
    for part in known:
        lines += [f"--{boundary}".encode(), _disposition(part)]
        if part.content_type is not None:
            lines.append(f"Content-Type: {part.content_type}".encode())
        lines += [b"", part.content]
    return b"\r\n".join([*lines, f"--{boundary}--".encode(), b""]), f"{MULTIPART}; boundary={boundary}"


def _disposition(part: Part) -> bytes:
    file = "" if part.filename is None else f'; filename="{_quoted(part.filename)}"'
    return f'Content-Disposition: form-data; name="{_quoted(part.name)}"{file}'.encode()


def _quoted(text: str) -> str:
    return _TO_ESCAPE.sub(lambda match: _ESCAPED[match.group()], text)


def _boundary(parts: list[Part], seed: str) -> str:
    """Return a text that is in none of the parts."""
    while True:
        boundary = f"stepwise-{hashlib.sha256(seed.encode()).hexdigest()[:32]}"
        if not any(boundary.encode() in part.content for part in parts):
            return boundary
        seed += "+"
