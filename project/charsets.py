"""Refuse, in front of Django, headers that name a charset which is not meant for text.

Django decodes queries and forms by the charset of `Content-Type`, with any codec that Python has. `hex` is none for
text, and raises; `punycode` takes the square of the length. The extended parameters of RFC 2231 (`name*=charset''text`)
name a charset, too, and Django raises for an unknown one before any of its error handlers is set up.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from runs.api.http import problems

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

KNOWN = frozenset({"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin-1", "latin1", "windows-1252"})
_CHARSET = re.compile(r"""charset\s*=\s*["']?([^\s;"']*)""", re.IGNORECASE)
_EXTENDED = re.compile(r"\*[0-9]*\*?\s*=")
_HEADERS = {"CONTENT_TYPE": "Content-Type", "HTTP_ACCEPT": "Accept", "HTTP_CONTENT_DISPOSITION": "Content-Disposition"}


class RefuseCharsets:
    """WSGI middleware that answers 400. `headers` are those that Django's middleware would add to every response."""

    def __init__(self, application: WSGIApplication, *, headers: Iterable[tuple[str, str]]) -> None:
        self._application = application
        self._headers = tuple(headers)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        fault = fault_of(environ)
        if fault is None:
            return self._application(environ, start_response)
        content = json.dumps(problems.body(400, fault)).encode()
        own = ("Content-Type", problems.CONTENT_TYPE), ("Content-Length", str(len(content)))
        start_response("400 Bad Request", [*own, *self._headers])
        return [content]


def fault_of(environ: WSGIEnvironment) -> str | None:
    """Return what is wrong with the headers of a request, or None."""
    for key, header in _HEADERS.items():
        value = environ.get(key)
        if not value or ";" not in value:
            continue
        if _EXTENDED.search(value):
            return f"the header {header} has an extended parameter (name*=); write it plainly"
        for charset in _CHARSET.findall(value):
            if charset.lower() not in KNOWN:
                return f"the header {header} names the charset {charset[:40]!r}; send UTF-8"
    return None
