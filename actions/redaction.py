"""Find secrets in texts, in the forms in which servers and libraries repeat them, and put a mark in their place.

These forms are: as they are, percent-encoded, escaped as JSON, Python or HTML, each in part or as a whole; base64 in
each of its alignments; hexadecimal. A text that was cut may end or begin within a secret; that part is taken out too,
if it is six characters or longer. So is a piece of eight that ends at a line end, or where a URL would be cut.
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
import threading
import time
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

from actions.base import Json

_SHORTEST_PART, _SHORTEST_PIECE = 6, 8
# A longer secret is a key or a certificate, most of whose characters no encoding changes; its pattern would be slow.
_LONGEST_MIXED, _MOST_PIECES = 256, 50
_CUTS = re.compile(r"[?#\r\n]")
_ALIGNMENTS = 3
_REMEMBERED_SECONDS = 600.0
_MOST_REMEMBERED = 200


class Redactor:
    """Replaces secrets by marks."""

    def __init__(self, secrets: Iterable[tuple[str, str]]) -> None:
        """Take (mark, secret). A mark has no backslash."""
        self._found: list[tuple[list[str], re.Pattern[str] | None, str]] = []
        self._forms: list[tuple[str, str]] = []
        self._exact: dict[str, str] = {}
        # The longest first: of a secret that holds another one, all is replaced.
        for mark, secret in sorted(secrets, key=lambda one: len(one[1]), reverse=True):
            forms = sorted({*_forms(secret)}, key=len, reverse=True)
            mixed = [*map(_mixed, _pieces(secret))] if len(secret) <= _LONGEST_MIXED else []
            self._found.append((forms, re.compile("|".join(mixed)) if mixed else None, mark))
            self._forms += [(form, mark) for form in forms]
            self._exact[secret] = mark
        ends = {form[:_SHORTEST_PART] for form, _ in self._forms} | {form[-_SHORTEST_PART:] for form, _ in self._forms}
        # Most texts have nothing of a secret in them, and an output may have a million texts.
        self._hint = re.compile("|".join(map(re.escape, ends)) or "(?!)")

    def text(self, text: str) -> str:
        """Return a text without secrets."""
        if len(text) < _SHORTEST_PART:
            return text
        for forms, pattern, mark in self._found:
            for form in forms:
                if form in text:
                    text = text.replace(form, mark)
            if pattern is not None:
                text = pattern.sub(mark, text)
        return self._without_parts(text) if self._hint.search(text) else text

    def json(self, value: Json) -> Json:
        """Return a value without secrets, in its keys as in its texts. What has none is returned as an equal value."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.json(one) for one in value]
        if isinstance(value, dict):
            found: dict[str, Json] = {}
            for key, one in value.items():
                found[_free(self.text(key), found)] = self.json(one)
            return found
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            # A secret of digits may come back as a number.
            return self._exact.get(str(value), value)
        return value

    def _without_parts(self, text: str) -> str:
        for form, mark in self._forms:
            if form[:_SHORTEST_PART] in text[-len(form) :]:
                for length in range(min(len(form) - 1, len(text)), _SHORTEST_PART - 1, -1):
                    if text.endswith(form[:length]):
                        text = text[:-length] + mark
                        break
            if form[-_SHORTEST_PART:] in text[: len(form)]:
                for length in range(min(len(form) - 1, len(text)), _SHORTEST_PART - 1, -1):
                    if text.startswith(form[-length:]):
                        text = mark + text[length:]
                        break
        return text


class _Remembered:
    """The secrets that this process has opened lately, for its log lines."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.secrets: dict[str, tuple[str, float]] = {}
        self.redactor: Redactor | None = None


_remembered = _Remembered()


def _begin_anew() -> None:
    """In a forked child: a thread of the parent may hold the lock."""
    _remembered.lock = threading.Lock()


os.register_at_fork(after_in_child=_begin_anew)


def remember(name: str, secrets: Iterable[str]) -> None:
    """Take these secrets of a credential out of the log lines of this process for the next ten minutes."""
    now = time.monotonic()
    with _remembered.lock:
        known = {*_remembered.secrets}
        _remembered.secrets.update(dict.fromkeys(secrets, (name, now)))
        old = [one for one, (_, at) in _remembered.secrets.items() if now - at > _REMEMBERED_SECONDS]
        by_age = sorted(_remembered.secrets, key=lambda one: _remembered.secrets[one][1])
        for one in {*old, *by_age[: max(0, len(by_age) - _MOST_REMEMBERED)]}:
            del _remembered.secrets[one]
        if known != {*_remembered.secrets}:
            found = _remembered.secrets.items()
            _remembered.redactor = Redactor([(f"[credential {name}]", one) for one, (name, _) in found])


def hide(text: str) -> str:
    """Return a text without the secrets that are remembered."""
    redactor = _remembered.redactor
    return text if redactor is None else redactor.text(text)


def _free(key: str, taken: dict[str, Json]) -> str:
    """Return a key under which nothing stands yet: two secret keys must not become one."""
    free, number = key, 2
    while free in taken:
        free, number = f"{key} {number}", number + 1
    return free


def _pieces(secret: str) -> Iterator[str]:
    """Yield the secret, and its pieces between line ends and the characters at which URLs are cut for messages."""
    yield secret
    pieces = _CUTS.split(secret) if len(secret) <= _LONGEST_MIXED else secret.splitlines()
    for piece in pieces[:_MOST_PIECES]:
        if len(piece) >= _SHORTEST_PIECE and piece != secret:
            yield piece


def _mixed(text: str) -> str:
    """Return a pattern for a text of which any characters are escaped: URLs keep some, and so do other encodings."""
    return "".join(one if one.isascii() and one.isalnum() else _escaped(one) for one in text)


def _escaped(character: str) -> str:
    percent = "".join(f"%{byte:02X}" for byte in character.encode())
    python, entity = character.encode("unicode_escape").decode(), html.escape(character)
    ways = {character, percent, percent.lower(), json.dumps(character)[1:-1], repr(character)[1:-1], python, entity}
    ways |= {f"\\{character}", f"&#{ord(character)};", f"&#x{ord(character):x};", f"&#x{ord(character):X};"}
    ways |= {"+"} if character == " " else set()
    # What a log or an error writes of a text that was escaped before.
    ways |= {way.replace("\\", "\\\\") for way in ways}
    # Atomic: else a text of backslashes could be read in more ways than there is time.
    return f"(?>{'|'.join(map(re.escape, sorted(ways, key=len, reverse=True)))})"


def _forms(secret: str) -> Iterator[str]:
    """Yield a secret in each form that is one encoding of all of it."""
    data = secret.encode()
    for before in range(_ALIGNMENTS):
        # The characters that also depend on what stands before or behind are left out.
        encoded = base64.b64encode(bytes(before) + data).decode().rstrip("=")
        inner = encoded[(0, 2, 3)[before] : len(encoded) - (0 if (before + len(data)) % 3 == 0 else 1)]
        if len(inner) >= _SHORTEST_PART:
            yield inner
            yield inner.replace("+", "-").replace("/", "_")
    yield data.hex()
    yield data.hex().upper()
    for one in _pieces(secret):
        yield one
        for percent in (quote(one), quote(one, safe=""), quote_plus(one)):
            yield percent
            yield re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), percent)
        for quoted in (json.dumps(one), json.dumps(one, ensure_ascii=False), repr(one), repr(one.encode())[1:]):
            yield quoted[1:-1]
        yield html.escape(one)
