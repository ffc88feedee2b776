"""Read, check and write JSON, restricted to what PostgreSQL's jsonb and every JSON parser can represent.

Refused are NaN and Infinity, integers beyond 64 bits, NUL and lone surrogates, duplicate keys, and nesting so deep that
a parser would run out of stack. All walks are iterative.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import orjson

from actions import paths
from actions.base import Json, Permanent

MAX_DEPTH = 64
# The most values in a text that is parsed; a key counts as one. A value of 10 bytes in a text can take 200 in memory.
MAX_VALUES = 1_000_000
# The most characters and values in one output. Without it, steps that each double their input would grow for ever.
MAX_OUTPUT = 10_000_000
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
_SCALARS = frozenset({int, float, bool, type(None)})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_UNFIT = re.compile("[\x00\ud800-\udfff]")
_UNSURE: Any = object()
# What _plain_size returns for a value of more than MAX_OUTPUT characters and values.
_LARGE = -1
# An integer beyond 64 bits has at least 19 digits: digits are mapped to 0, and 19 zeros in a row looked for. _TEXT
# matches the strings of a JSON text without backslashes, _ANY_TEXT those of any other.
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_LONG = b"0" * 19
_TEXT = re.compile(rb'"[^"]*"')
_ANY_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_STRUCTURE = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


class PayloadError(ValueError):
    """A value that cannot be stored as JSON. `path` is its place, like `steps[0].with.url`; '' is the whole value."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path


def loads(data: bytes | str, *, max_depth: int = MAX_DEPTH, big_integers_as_text: bool = False) -> Json:
    """Parse a JSON text. Raises PayloadError; for a syntax error its message has line and column.

    With `big_integers_as_text` an integer beyond 64 bits becomes a text of its digits; else it is refused.
    """
    raw = data.encode(errors="surrogatepass") if isinstance(data, str) else data
    _refuse_many(raw)
    value: Json = _quick_loads(raw, max_depth=max_depth)
    if value is not _UNSURE:
        return value
    _refuse_deep_text(raw, max_depth=max_depth)
    try:
        value = json.loads(
            raw.decode("utf-8-sig"),
            object_pairs_hook=_unique_keys,
            parse_int=_int_or_text if big_integers_as_text else _bounded_int,
        )
    except UnicodeDecodeError as error:
        raise PayloadError(f"is not UTF-8 (byte {error.start})") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise PayloadError(f"is not JSON: {error.msg.lower()}, at {where}") from None
    check(value, max_depth=max_depth)
    return value


def check(value: Any, *, path: str = "", max_depth: int = MAX_DEPTH) -> None:
    """Raise PayloadError, with the path of the first fault, for a parsed value that jsonb cannot represent."""
    plain = _plain_size(value, max_depth=max_depth)
    if plain is not None and plain != _LARGE:
        return
    for trail, part in paths.walk(value):
        fault = f"is nested deeper than {max_depth}" if len(trail) > max_depth else _fault(part) or _key_fault(part)
        if fault is not None:
            raise PayloadError(fault, _written(path, trail))


def clean(value: Any) -> Json:
    """Return an action's output as JSON: NUL and lone surrogates become U+FFFD, tuples become lists.

    A value that needs no change is returned as it is, any other as a copy. Raises Permanent (kind `output`) for
    anything that is not JSON, and for an output larger than MAX_OUTPUT.
    """
    plain = _plain_size(value, max_depth=MAX_DEPTH)
    if plain == _LARGE:
        # Told before it is copied: the copy of a value of 10 million parts takes gigabytes and ten seconds.
        raise _too_large()
    return _mended_copy(value) if plain is None else value


def size(value: Json, *, limit: int = MAX_OUTPUT) -> int:
    """Return how many characters and values are in a value; more than `limit` as soon as it is known to be more."""
    if isinstance(value, str):
        return 1 + len(value)
    total, level = 1, [value]
    while level and total <= limit:
        below: list[Any] = []
        for part in level:
            if isinstance(part, str):
                total += len(part)
            elif isinstance(part, (dict, list)):
                total += len(part)
                if total > limit:
                    break
                below.extend(part.values() if isinstance(part, dict) else part)
        level = below
    return total


def _mended_copy(value: Any) -> Json:
    # The copies of the objects and lists that are open, from the outermost; the first list holds the whole copy.
    copies: list[Any] = [[]]
    size = 0
    for trail, part in paths.walk(value):
        size += len(part) if isinstance(part, str) else 1
        if size > MAX_OUTPUT:
            raise _too_large()
        if len(trail) > MAX_DEPTH:
            raise _unfit(_written("output", trail), f"is nested deeper than {MAX_DEPTH}")
        copy = _mended_part(part, trail)
        del copies[len(trail) + 1 :]
        if isinstance(copies[-1], dict):
            copies[-1][_mended(trail[-1])] = copy
        else:
            copies[-1].append(copy)
        copies.append(copy)
    return copies[0][0]  # type: ignore[no-any-return]  # built above out of JSON alone


def _mended_part(part: Any, trail: Sequence[Any]) -> Any:
    """Return a copy of a single value; that of an object or a list is empty."""
    if isinstance(part, str):
        return _mended(part)
    if isinstance(part, dict):
        for key in part:
            if not isinstance(key, str):
                raise _unfit(_written("output", trail), _no_text(key))
        return {}
    if isinstance(part, (list, tuple)):
        return []
    fault = _fault(part)
    if fault is not None:
        raise _unfit(_written("output", trail), fault)
    return part


def dumps(value: Json) -> str:
    """Return the value as JSON text, without spaces."""
    return orjson.dumps(value).decode()


def _quick_loads(raw: bytes, *, max_depth: int) -> Any:
    """Parse a text that is certain to be valid, several times as fast; return _UNSURE if that is not certain.

    orjson refuses invalid JSON, NaN, lone surrogates and infinite numbers. It does not refuse integers beyond 64 bits
    (it rounds them), NUL, or duplicate keys (it keeps the last). The first two are looked for beforehand. A duplicate
    key is noticed by writing the value again: the result then has fewer quotes than the text.
    """
    if raw.count(b"[") + raw.count(b"{") > max_depth or _has_long_number(raw):
        return _UNSURE
    # An escaped NUL; or an escaped backslash, as \\ or \u005c, which would make a quote behind it look escaped.
    if b"\\u0000" in raw or b"\\\\" in raw or b"\\u005" in raw:
        return _UNSURE
    try:
        value = orjson.loads(raw)
        again = orjson.dumps(value)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return _UNSURE
    return value if _quotes(raw) == _quotes(again) else _UNSURE


def _has_long_number(raw: bytes) -> bool:
    """Whether there may be a number with 19 digits in a row. If the text has no backslash, strings are left out."""
    if _LONG not in raw.translate(_DIGITS):
        return False
    return b"\\" in raw or _LONG in _TEXT.sub(b'""', raw).translate(_DIGITS)


def _quotes(text: bytes) -> int:
    """Count the quotes that begin or end a string; correct only if the text has no escaped backslash."""
    return text.count(b'"') - text.count(b'\\"')


class _DuplicateKey:
    """Replaces an object that had a key twice, so that the walk in `check` can report its path."""

    def __init__(self, key: str) -> None:
        self.key = key


def _unique_keys(pairs: list[tuple[str, Any]]) -> Any:
    mapping = dict(pairs)
    if len(mapping) == len(pairs):
        return mapping
    seen: set[str] = set()
    return _DuplicateKey(next(key for key, _ in pairs if key in seen or seen.add(key)))  # type: ignore[func-returns-value]


def _bounded_int(digits: str) -> int:
    # Python refuses to parse thousands of digits; a number with more than 20 is beyond 64 bits anyway.
    return int(digits) if len(digits) <= 20 else _INT_MAX + 1


def _int_or_text(digits: str) -> int | str:
    number = _bounded_int(digits)
    return number if _INT_MIN <= number <= _INT_MAX else digits


def _refuse_many(raw: bytes) -> None:
    """Raise PayloadError for a text with too many values, before it is parsed: each follows one of `[{,:`."""
    if len(raw) < MAX_VALUES or _marks(raw) <= MAX_VALUES:
        return
    # Strings may be full of commas. They are left out one by one, because a copy of the text costs memory; unless there
    # are more strings than values are permitted.
    found = _marks(raw)
    if _quotes(raw.replace(b"\\\\", b"")) <= 2 * MAX_VALUES:
        for match in _ANY_TEXT.finditer(raw):
            found -= _marks(match.group())
            if found <= MAX_VALUES:
                return
    raise PayloadError(f"has more than {MAX_VALUES:,} keys and values; send less, or pass a reference to the data")


def _marks(text: bytes) -> int:
    return sum(map(text.count, (b",", b"[", b"{", b":")))


def _refuse_deep_text(raw: bytes, *, max_depth: int) -> None:
    """Raise PayloadError for deep nesting, by counting brackets: the parsers recurse, and would run out of stack."""
    if raw.count(b"[") + raw.count(b"{") <= max_depth:
        return
    depth = 0
    for match in _STRUCTURE.finditer(raw):
        mark = match.group()
        if mark in (b"[", b"{"):
            depth += 1
            if depth > max_depth + 1:
                raise PayloadError(f"is nested deeper than {max_depth}")
        elif mark in (b"]", b"}"):
            depth -= 1


def _plain_size(value: Any, *, max_depth: int) -> int | None:
    """Count the characters and values of a value that is valid JSON as it is; None if that is not certain.

    _LARGE if they are more than MAX_OUTPUT: a list may contain one and the same list thousands of times, so their
    number is known before a level of the value is taken apart. This is the fast path of `check` and `clean`.
    """
    if type(value) is dict and (size := _flat_size(value)) is not None:
        return size
    level, size, depth = [value], 0, 0
    while level:
        if depth > max_depth:
            return None
        below: list[Any] = []
        for part in level:
            kind = type(part)
            if kind is dict or kind is list:
                if size + len(below) + len(part) > MAX_OUTPUT:
                    return _LARGE
                if kind is dict and not all(type(key) is str and _fit(key) for key in part):
                    return None
                below.extend(part.values() if kind is dict else part)
            elif kind is str:
                size += len(part)
                if not _fit(part):
                    return None
            elif _fault(part) is not None or kind not in _SCALARS:
                return None
        size += len(level)
        if size > MAX_OUTPUT:
            return _LARGE
        level, depth = below, depth + 1
    return size


def _flat_size(value: dict[Any, Any]) -> int | None:
    """As _plain_size, for an object whose values are all strings, integers, booleans or null, as most outputs are."""
    size = 1 + len(value)
    for key, part in value.items():
        kind = type(part)
        # The first case of _fit, inlined to save the call.
        if type(key) is not str or (("\0" in key) if key.isascii() else not _fit(key)):
            return None
        if kind is str:
            if ("\0" in part) if part.isascii() else not _fit(part):
                return None
            size += len(part)
        elif kind is int:
            if not _INT_MIN <= part <= _INT_MAX:
                return None
        elif part is not None and kind is not bool:
            return None
    return size


def _fit(text: str) -> bool:
    return "\0" not in text if text.isascii() else not _UNFIT.search(text)


def _written(path: str, trail: Sequence[Any]) -> str:
    for part in trail:
        if isinstance(part, str) and not _NAME.fullmatch(part, 0, paths.SHOWN + 1):
            path += f"[{json.dumps(part[: paths.SHOWN])}]"
        else:
            path = paths.join(path, part)
    return path


def _key_fault(part: Any) -> str | None:
    if isinstance(part, _DuplicateKey):
        return f"has the key {part.key[:200]!r} twice"
    for key in part if isinstance(part, dict) else ():
        if not isinstance(key, str):
            return _no_text(key)
        fault = _fault(key)
        if fault is not None:
            return f"has a key that {fault}"
    return None


def _no_text(key: object) -> str:
    return f"has a key that is {repr(key)[:60]}; keys must be texts"


def _fault(part: Any) -> str | None:
    """Return why a single value cannot be JSON, or None; the contents of lists and objects are not looked at."""
    if isinstance(part, str):
        return None if _fit(part) else "has a NUL or a lone surrogate in a text"
    if part is None or isinstance(part, (bool, list, tuple, dict, _DuplicateKey)):
        return None
    if isinstance(part, int):
        return None if _INT_MIN <= part <= _INT_MAX else "is an integer beyond 64 bits"
    if isinstance(part, float):
        finite = part - part == 0
        return None if finite else "is no finite number (NaN, Infinity, or beyond what 64 bits hold)"
    return f"is of type {type(part).__name__}, which is not JSON"


def _mended(text: str) -> str:
    return _UNFIT.sub("\ufffd", text) if _UNFIT.search(text) else text


def _too_large() -> Permanent:
    return _unfit("output", f"is larger than {MAX_OUTPUT:,} characters and values")


def _unfit(path: str, message: str) -> Permanent:
    return Permanent(f"{path} {message}", kind="output")
