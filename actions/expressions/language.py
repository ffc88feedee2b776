"""Parse and check expressions: `{{ steps.pick.output.email }}` in any string, and bare ones without braces, as in `if`.

The language is that of MiniJinja's expressions, without statements. Jinja2's parser checks a source but never runs it
(actions/expressions/syntax.py). Values are looked up by our own code, in plain JSON; MiniJinja computes the rest, under
limits. A string that is exactly one `{{ }}` gives a value of any JSON type: `"{{ input.age }}"` gives 42. In a longer
string a value that is a string is inserted as it is, and any other value as JSON.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from actions import paths
from actions.base import Json, Permanent
from actions.expressions import hints, step_results
from actions.expressions.syntax import KEYWORDS, MAX_BYTES, OMIT_PATH, Path, Unacceptable, emit
from actions.nearest import shortened

# Characters in the expressions of one config. Checking 1,000 takes about 6 ms.
MAX_EXPRESSIONS = 200_000
TOO_MANY = f"here begin more than {MAX_EXPRESSIONS:,} characters of expressions in one config; split the step"
_MOST_FAULTS = 100
_MOST_SECONDS = 1.0
_QUOTES = "'\""
_OPENING, _CLOSING = "([{", ")]}"
_TAGS = re.compile(r"\{[{%#]")
_PLAIN_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\.\d{1,9}|\[\d{1,9}\]|\[\"[^\"\\]*\"\]|\['[^'\\]*'\])*")
_KEY = re.compile(r"(?P<name>[A-Za-z_]\w*)|(?P<index>\d+)|\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'")


class ExpressionError(Permanent):
    """An expression that is not valid, or has no value. The message has its source and its position in the string.

    `misses`: it is valid, and reads a path that is not there.
    """

    def __init__(self, message: str, *, source: str, position: int = 0, path: str = "", misses: bool = False) -> None:
        self.misses = misses
        where = f"{path}: " if path else ""
        super().__init__(
            f"{where}expression `{shortened(source)}` at position {position}: {message}",
            kind="expression",
            details={"expression": source, "position": position, "path": path},
        )


@dataclass(frozen=True)
class Expression:
    """A checked expression: either a plain `path`, which is looked up, or `emitted` source for MiniJinja."""

    source: str
    path: Path | None = None
    emitted: str = ""
    constants: dict[str, Any] = field(default_factory=dict)
    paths: tuple[Path, ...] = ()
    references: frozenset[str] = frozenset()

    @property
    def read(self) -> tuple[Path, ...]:
        """The paths that it reads."""
        return self.paths if self.path is None else (self.path,)

    @property
    def names(self) -> frozenset[str]:
        """The top-level names that it reads."""
        return frozenset(str(path[0]) for path in self.read)


def _compiled_source(source: str) -> Expression:
    """Parse and check a source without its braces. Raises Unacceptable. Nothing is evaluated."""
    if len(source) < 1000 and _PLAIN_PATH.fullmatch(source) and source.isascii():
        path = tuple(_key(match) for match in _KEY.finditer(source))
        if path != OMIT_PATH and KEYWORDS.isdisjoint(part for part in path if isinstance(part, str)):
            return Expression(source=source, path=path, references=_references([path]))
    return _emitted(source)


@lru_cache(maxsize=4096)
def _emitted(source: str) -> Expression:
    out = emit(source)
    return Expression(
        source=source,
        emitted=out.source,
        constants=out.constants,
        paths=tuple(out.paths),
        references=_references(out.paths),
    )


def _key(match: re.Match[str]) -> str | int:
    if match["index"] is not None:
        return int(match["index"])
    return next(text for text in (match["name"], match["double"], match["single"]) if text is not None)


def _references(paths: list[Path]) -> frozenset[str]:
    """Ids of the steps that the paths read. `*` means any step: `steps` alone, or `steps` with a computed key."""
    return frozenset(str(path[1]) if len(path) > 1 else "*" for path in paths if path and path[0] == "steps")


@dataclass(frozen=True)
class Text:
    """A string in parts: each is plain text, or an expression with its position in the string."""

    parts: tuple[str | tuple[Expression, int], ...]

    @cached_property
    def computed(self) -> int:
        """How many of its expressions are more than a plain path."""
        return sum(not isinstance(part, str) and part[0].path is None for part in self.parts)


class Fault(Exception):
    """What is wrong with an expression, before it is known where the text stands."""

    def __init__(self, message: str, *, source: str, position: int) -> None:
        super().__init__(message)
        self.message = message
        self.source = source
        self.position = position


def truthy(value: Json) -> bool:
    """Whether a condition's value counts as true: all but null, false, 0, and an empty string, list or object."""
    return bool(value)


def check(value: Json, *, path: str) -> list[tuple[str, str]]:
    """Return (path, message) for strings whose expressions are not valid: the first 100, or those found in a second.

    Nothing is evaluated.
    """
    faults: list[tuple[str, str]] = []
    length = 0
    began = time.thread_time()
    for where, text in texts(value, path):
        length += sum(len(part.partition("}}")[0]) for part in text.split("{{")[1:])
        if length > MAX_EXPRESSIONS:
            faults.append((where, TOO_MANY))
            break
        try:
            for part in compiled(text).parts:
                if not isinstance(part, str):
                    _check_read(*part)
        except Fault as fault:
            faults.append((where, _fault_message(fault)))
            if len(faults) == _MOST_FAULTS or time.thread_time() - began > _MOST_SECONDS:
                break
    return faults


def check_expression(source: str) -> str | None:
    """Return what is wrong with a bare expression, or None if it is valid. Nothing is evaluated."""
    try:
        _check_read(*bare(source))
    except Fault as fault:
        return _fault_message(fault)
    return None


def _check_read(expression: Expression, position: int) -> None:
    if message := hints.of_names(expression.names) or step_results.misread(expression.read):
        raise Fault(message, source=expression.source, position=position)


def has_expression(value: Json) -> bool:
    """Whether any string of the value contains a tag: `{{`, or the refused `{%` and `{#`."""
    if isinstance(value, str):
        return "{" in value and _TAGS.search(value) is not None
    return any(True for _ in texts(value, "")) if isinstance(value, (dict, list)) else False


def references(value: Json) -> frozenset[str]:
    """Return the ids of the steps that the value's expressions read; `*` for a step known only when it is evaluated."""
    return frozenset().union(*(expression.references for _, expression in parsed(value, path="")))


def names_in(value: Json) -> frozenset[str]:
    """Return the top-level names that the value's expressions read, such as `steps` and `input`."""
    return frozenset().union(*(expression.names for _, expression in parsed(value, path="")))


def expression_references(source: str) -> frozenset[str]:
    """Return the ids of the steps that a bare expression reads; `*` for a step known only when it is evaluated."""
    expression = parsed_bare(source)
    return frozenset() if expression is None else expression.references


def parsed(value: Json, *, path: str) -> Iterator[tuple[str, Expression]]:
    """Yield (path, expression) for each expression of the value's strings; those that are not valid are left out."""
    for where, text in texts(value, path):
        with suppress(Fault):
            yield from ((where, part[0]) for part in compiled(text).parts if not isinstance(part, str))


def parsed_bare(source: str) -> Expression | None:
    """Return a bare expression, None if it is not valid."""
    with suppress(Fault):
        return bare(source)[0]
    return None


def _fault_message(fault: Fault) -> str:
    return f"expression `{shortened(fault.source)}` at position {fault.position}: {fault.message}"


def texts(value: Json, path: str) -> Iterator[tuple[str, str]]:
    """Yield (path, string) for each string with a tag, in document order. Iterative, as the value may be deep."""
    for trail, part in paths.walk(value):
        if isinstance(part, str) and has_expression(part):
            yield paths.join(path, *trail), part


@lru_cache(maxsize=2048)
def bare(source: str) -> tuple[Expression, int]:
    stripped = source.strip()
    if len(stripped) > 2 * MAX_BYTES:
        raise Fault(f"is longer than {MAX_BYTES // 1024} KB", source=source, position=0)
    if not stripped.startswith("{{"):
        return _expression(stripped, position=0), 0
    parts = compiled(stripped).parts
    if len(parts) != 1 or isinstance(parts[0], str):
        raise Fault("must be one expression; write `a and b`, not text", source=source, position=0)
    return parts[0]


def compiled(text: str) -> Text:
    # A long string is not cached: it would take too much memory.
    return _compiled_short(text) if len(text) < 20_000 else _parts(text)


def _parts(text: str) -> Text:
    parts: list[str | tuple[Expression, int]] = []
    at = 0
    while (tag := _TAGS.search(text, at)) is not None:
        begin = tag.start()
        if tag.group() != "{{":
            what = "a statement" if tag.group() == "{%" else "a comment"
            hint = f"only {{{{ }}}} may be used; write {{{{ '{tag.group()}' }}}} for the characters themselves"
            raise Fault(f"is {what}; {hint}", source=text[begin:], position=begin)
        end = _end(text, begin)
        if begin > at:
            parts.append(text[at:begin])
        parts.append((_expression(text[begin + 2 : end], position=begin), begin))
        at = end + 2
    if at < len(text):
        parts.append(text[at:])
    return Text(tuple(parts))


_compiled_short = lru_cache(maxsize=2048)(_parts)


def _end(text: str, begin: int) -> int:
    """Return the position of the `}}` that closes an expression; one inside quotes or brackets does not count."""
    quote, depth, at = "", 0, begin + 2
    while at < len(text):
        character = text[at]
        if quote:
            at += character == "\\"
            quote = "" if character == quote else quote
        elif character in _QUOTES:
            quote = character
        elif depth == 0 and text.startswith("}}", at):
            return at
        elif character in _OPENING:
            depth += 1
        elif character in _CLOSING:
            depth = max(0, depth - 1)
        at += 1
    raise Fault("does not end; close it with }}", source=text[begin:], position=begin)


def _expression(source: str, *, position: int) -> Expression:
    if source[:1] in ("-", "+") and source[1:2].isspace():
        message = f"uses whitespace control; write {{{{ x }}}} without the {source[0]}"
        raise Fault(message, source=source, position=position)
    try:
        return _compiled_source(source.strip())
    except Unacceptable as error:
        raise Fault(str(error), source=source.strip(), position=position) from None
