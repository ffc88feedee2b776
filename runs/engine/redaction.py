"""Take the secrets of an attempt out of everything that is recorded of it: outputs, errors, tracebacks, kept results.

It searches for the values that the attempt has opened, as they are and in the forms in which servers and libraries
repeat them: base64 in each of its alignments, percent-encoded, escaped as JSON, Python or HTML, and in hexadecimal. A
text that was cut may end or begin within a secret; that part is taken out too, if it is six characters or longer.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from urllib.parse import quote, quote_plus

from actions.base import Json, Park, Spawn
from actions.credentials import Credential

_SHORTEST_PART = 6
_ALIGNMENTS = 3


class Redactor:
    """Replaces secrets by the name of their credential."""

    def __init__(self, secrets: Iterable[tuple[str, str]]) -> None:
        """Take (name of the credential, secret)."""
        self._marks: dict[str, str] = {}
        for name, secret in secrets:
            for form in _forms(secret):
                self._marks.setdefault(form, f"[credential {name}]")
        # The longest first: of a form that holds another one, all is replaced.
        self._ordered = sorted(self._marks, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, self._ordered)))

    def text(self, text: str) -> str:
        """Return a text without secrets."""
        if not self._marks:
            return text
        return self._without_parts(self._pattern.sub(lambda match: self._marks[match[0]], text))

    def json(self, value: Json) -> Json:
        """Return a value without secrets, in its keys as in its texts. What has none is returned as an equal value."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.json(one) for one in value]
        if isinstance(value, dict):
            found: dict[str, Json] = {}
            for key, one in value.items():
                found[self._free(self.text(key), found)] = self.json(one)
            return found
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            # A secret of digits may come back as a number.
            return self._marks.get(str(value), value)
        return value

    def _free(self, key: str, taken: dict[str, Json]) -> str:
        """Return a key under which nothing stands yet: two secret keys must not become one."""
        free, number = key, 2
        while free in taken:
            free, number = f"{key} {number}", number + 1
        return free

    def _without_parts(self, text: str) -> str:
        for form in self._ordered:
            for length in range(min(len(form) - 1, len(text)), _SHORTEST_PART - 1, -1):
                if text.endswith(form[:length]):
                    text = text[:-length] + self._marks[form]
                    break
            for length in range(min(len(form) - 1, len(text)), _SHORTEST_PART - 1, -1):
                if text.startswith(form[-length:]):
                    text = self._marks[form] + text[length:]
                    break
        return text


@lru_cache(maxsize=64)
def _redactor(secrets: tuple[tuple[str, str], ...]) -> Redactor:
    return Redactor(secrets)


def of(credentials: Iterable[Credential]) -> Redactor:
    """Return the redactor for the secrets of these credentials."""
    return _redactor(tuple(sorted({(one.name, secret) for one in credentials for secret in one.secrets})))


def of_wait(answer: Park | Spawn, credentials: Sequence[Credential]) -> Park | Spawn:
    """Return what an action waits for, or starts, without secrets."""
    if not credentials:
        return answer
    found = of(credentials)
    if isinstance(answer, Park):
        signal, key = (None if one is None else found.text(one) for one in (answer.signal, answer.key))
        return replace(answer, output=found.json(answer.output), signal=signal, key=key)
    labels = {found.text(key): found.text(value) for key, value in answer.labels.items()}
    return replace(answer, input=found.json(answer.input), labels=labels)


def _forms(secret: str) -> Iterator[str]:
    """Yield a secret in each form in which it may come back."""
    yield secret
    data = secret.encode()
    for before in range(_ALIGNMENTS):
        # The characters that also depend on what stands before or behind are left out.
        encoded = base64.b64encode(bytes(before) + data).decode().rstrip("=")
        first = (0, 2, 3)[before]
        last = len(encoded) - (0 if (before + len(data)) % 3 == 0 else 1)
        inner = encoded[first:last]
        if len(inner) >= _SHORTEST_PART:
            yield inner
            yield inner.replace("+", "-").replace("/", "_")
    yield data.hex()
    yield data.hex().upper()
    for percent in (quote(secret), quote(secret, safe=""), quote_plus(secret)):
        yield percent
        yield re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), percent)
    for quoted in (json.dumps(secret), json.dumps(secret, ensure_ascii=False), repr(secret), repr(data)):
        yield quoted.removeprefix("b")[1:-1]
    escaped = html.escape(secret)
    yield escaped
    yield escaped.replace("&#x27;", "&#39;").replace("&quot;", "&#34;")
    for line in secret.splitlines():
        # Of a key in several lines, each line.
        if len(line) >= _SHORTEST_PART + 2 and line != secret:
            yield line
