"""Expressions in configs: `{{ steps.pick.output.email }}` in any string, and bare ones without braces, as in `if`.

The language is that of MiniJinja's expressions, without statements. Jinja2's parser checks a source but never runs it
(actions/expressions/syntax.py). Values are looked up by our own code, in plain JSON; MiniJinja computes the rest, under
limits. A string that is exactly one `{{ }}` gives a value of any JSON type: `"{{ input.age }}"` gives 42. In a longer
string a value that is a string is inserted as it is, and any other value as JSON.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial

from actions import paths
from actions.base import Json, Permanent
from actions.expressions import evaluator, hints, step_results
from actions.expressions.evaluator import Expression, Misses
from actions.expressions.syntax import MAX_BYTES, Unacceptable
from actions.expressions.values import Refused, as_text, shared, weigh
from actions.nearest import shortened

MAX_DEPTH = 100
MAX_TEXT = 1_000_000
# Characters in the expressions of one config. Checking 1,000 takes about 6 ms.
MAX_EXPRESSIONS = 200_000
TOO_MANY = f"here begin more than {MAX_EXPRESSIONS:,} characters of expressions in one config; split the step"
_MOST_FAULTS = 100
_MOST_SECONDS = 1.0
# Looking a value up is not charged to the budget. But a config with many looked-up values is serialised when it is
# recorded, so its size is checked if more than this many strings have an expression.
_FREE_LOOKUPS = 8
_QUOTES = "'\""
_OPENING, _CLOSING = "([{", ")]}"
_TAGS = re.compile(r"\{[{%#]")


class ExpressionError(Permanent):
    """An expression that is not valid, or has no value. The message has its source and its position in the string."""

    def __init__(self, message: str, *, source: str, position: int = 0, path: str = "") -> None:
        where = f"{path}: " if path else ""
        super().__init__(
            f"{where}expression `{shortened(source)}` at position {position}: {message}",
            kind="expression",
            details={"expression": source, "position": position, "path": path},
        )


@dataclass(frozen=True)
class _Text:
    """A string in parts: each is plain text, or an expression with its position in the string."""

    parts: tuple[str | tuple[Expression, int], ...]

    @cached_property
    def computed(self) -> int:
        """How many of its expressions are more than a plain path."""
        return sum(not isinstance(part, str) and part[0].path is None for part in self.parts)


class _Fault(Exception):
    def __init__(self, message: str, *, source: str, position: int) -> None:
        super().__init__(message)
        self.message = message
        self.source = source
        self.position = position


def render(value: Json, names: Mapping[str, Json]) -> Json:
    """Return a copy of the value in which each expression is replaced by its result.

    Raises ExpressionError for an expression that does not parse, reads a missing path, or exceeds the budget.
    """
    if isinstance(value, str):
        return _render_text(value, names, "") if has_expression(value) else value
    if not has_expression(value):
        return value
    rendering = _Rendering(names)
    with shared():
        rendered = rendering.walk(value, "", 0)
    if rendering.lookups > _FREE_LOOKUPS:
        _refuse_huge(rendered)
    return rendered


class _Rendering:
    """One call of `render`; `lookups` counts the strings that have an expression."""

    def __init__(self, names: Mapping[str, Json]) -> None:
        self._names = names
        self.lookups = 0

    def walk(self, part: Json, path: str, depth: int) -> Json:
        if isinstance(part, str):
            self.lookups += "{{" in part
            return _render_text(part, self._names, path) if has_expression(part) else part
        if not isinstance(part, (dict, list)):
            return part
        if depth == MAX_DEPTH:
            raise Permanent(f"{path}: is nested deeper than {MAX_DEPTH}", kind="expression")
        if isinstance(part, dict):
            return {key: self.walk(item, paths.join(path, key), depth + 1) for key, item in part.items()}
        return [self.walk(item, f"{path}[{at}]", depth + 1) for at, item in enumerate(part)]


class Template:
    """A value that is rendered often. Its expressions are parsed once; the method `render` gives the function's result.

    `raw` names the fields of an object that are left unrendered.
    """

    def __init__(self, value: Json, *, raw: frozenset[str] = frozenset()) -> None:
        self._value = value
        self._raw = raw if isinstance(value, dict) else frozenset()
        plain = {key: item for key, item in value.items() if key not in raw} if isinstance(value, dict) else value
        self._texts = [text for _, text in _texts(plain, "")]
        self._lookups = sum(text.count("{{") > 0 for text in self._texts)
        self._filler: Callable[[Mapping[str, Json]], Json] | None = None
        # An expression that does not parse is no error here: each call of render raises it, with its path.
        with suppress(_Fault, RecursionError):
            self._filler = _filler(value, "", raw=self._raw)
        self._shares = self._filler is not None and sum(_compiled(text).computed for text in self._texts) > 1

    def render(self, names: Mapping[str, Json]) -> Json:
        """Return what the function `render` returns."""
        if self._filler is None:
            return self._render_uncompiled(names)
        if self._shares:
            with shared():
                rendered = self._filler(names)
        else:
            rendered = self._filler(names)
        if self._lookups > _FREE_LOOKUPS:
            _refuse_huge(rendered)
        return rendered

    @cached_property
    def roots(self) -> frozenset[str] | None:
        """The top-level names that the expressions read, as {"steps", "input"}; None unless all are plain paths."""
        roots = set()
        for text in self._texts:
            try:
                parts = _compiled(text).parts
            except _Fault:
                return None
            for part in parts:
                if not isinstance(part, str):
                    if part[0].path is None:
                        return None
                    roots.add(str(part[0].path[0]))
        return frozenset(roots)

    def _render_uncompiled(self, names: Mapping[str, Json]) -> Json:
        if not isinstance(self._value, dict):
            return render(self._value, names)
        plain = render({key: item for key, item in self._value.items() if key not in self._raw}, names)
        kept = {key: item for key, item in self._value.items() if key in self._raw}
        return {**plain, **kept} if isinstance(plain, dict) else plain


def evaluate(source: str, names: Mapping[str, Json]) -> Json:
    """Return the value of a bare expression; surrounding `{{ }}` are permitted. Raises ExpressionError."""
    try:
        expression, position = _bare(source)
    except _Fault as fault:
        raise ExpressionError(fault.message, source=fault.source, position=fault.position) from None
    return _value(expression, position, "", names)


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
    for where, text in _texts(value, path):
        length += sum(len(part.partition("}}")[0]) for part in text.split("{{")[1:])
        if length > MAX_EXPRESSIONS:
            faults.append((where, TOO_MANY))
            break
        try:
            for part in _compiled(text).parts:
                if not isinstance(part, str):
                    _check_read(*part)
        except _Fault as fault:
            faults.append((where, _fault_message(fault)))
            if len(faults) == _MOST_FAULTS or time.thread_time() - began > _MOST_SECONDS:
                break
    return faults


def check_expression(source: str) -> str | None:
    """Return what is wrong with a bare expression, or None if it is valid. Nothing is evaluated."""
    try:
        _check_read(*_bare(source))
    except _Fault as fault:
        return _fault_message(fault)
    return None


def _check_read(expression: Expression, position: int) -> None:
    if message := hints.of_names(expression.names) or step_results.misread(expression.read):
        raise _Fault(message, source=expression.source, position=position)


def has_expression(value: Json) -> bool:
    """Whether any string of the value contains a tag: `{{`, or the refused `{%` and `{#`."""
    if isinstance(value, str):
        return "{" in value and _TAGS.search(value) is not None
    return any(True for _ in _texts(value, "")) if isinstance(value, (dict, list)) else False


def references(value: Json) -> frozenset[str]:
    """Return the ids of the steps that the value's expressions read; `*` for a step known only when it is evaluated."""
    return frozenset(step for expression in _expressions(value) for step in expression.references)


def names_in(value: Json) -> frozenset[str]:
    """Return the top-level names that the value's expressions read, such as `steps` and `input`."""
    return frozenset(name for expression in _expressions(value) for name in expression.names)


def expression_references(source: str) -> frozenset[str]:
    """Return the ids of the steps that a bare expression reads; `*` for a step known only when it is evaluated."""
    try:
        return _bare(source)[0].references
    except _Fault:
        return frozenset()


def _fault_message(fault: _Fault) -> str:
    return f"expression `{shortened(fault.source)}` at position {fault.position}: {fault.message}"


def _expressions(value: Json) -> Iterator[Expression]:
    """Yield the expressions of the value's strings, but for strings that are not valid."""
    for _, text in _texts(value, ""):
        with suppress(_Fault):
            yield from (part[0] for part in _compiled(text).parts if not isinstance(part, str))


def _texts(value: Json, path: str) -> Iterator[tuple[str, str]]:
    """Yield (path, string) for each string with a tag, in document order. Iterative, as the value may be deep."""
    for trail, part in paths.walk(value):
        if isinstance(part, str) and has_expression(part):
            yield paths.join(path, *trail), part


def _filler(value: Json, path: str, *, raw: frozenset[str] = frozenset()) -> Callable[[Mapping[str, Json]], Json]:
    """Return a function from the names to the rendered value; each call builds new objects and lists."""
    if isinstance(value, dict):
        fields = [
            (key, (lambda _, item=item: item) if key in raw else _filler(item, paths.join(path, key)))
            for key, item in value.items()
        ]
        return lambda names: {key: fill(names) for key, fill in fields}
    if isinstance(value, list):
        items = [_filler(item, f"{path}[{at}]") for at, item in enumerate(value)]
        return lambda names: [fill(names) for fill in items]
    if not isinstance(value, str) or not has_expression(value):
        return lambda _: value
    parts = _compiled(value).parts
    if len(parts) == 1 and not isinstance(parts[0], str):
        return partial(_value, *parts[0], path)
    return lambda names: "".join(_pieces(parts, names, path))


def _render_text(text: str, names: Mapping[str, Json], path: str) -> Json:
    try:
        compiled = _compiled(text)
    except _Fault as fault:
        raise ExpressionError(fault.message, source=fault.source, position=fault.position, path=path) from None
    parts = compiled.parts
    if len(parts) == 1 and not isinstance(parts[0], str):
        return _value(*parts[0], path, names)
    with shared() if compiled.computed > 1 else nullcontext():
        return "".join(_pieces(parts, names, path))


def _pieces(parts: tuple[str | tuple[Expression, int], ...], names: Mapping[str, Json], path: str) -> Iterator[str]:
    size = 0
    for part in parts:
        if isinstance(part, str):
            piece = part
        else:
            expression, position = part
            piece = _as_text(_value(expression, position, path, names), part, path)
        size += len(piece)
        if size > MAX_TEXT:
            raise Permanent(f"{path}: the text is longer than {MAX_TEXT:,} characters", kind="expression")
        yield piece


def _as_text(value: Json, part: tuple[Expression, int], path: str) -> str:
    if isinstance(value, str):
        return value
    try:
        return evaluator.within_budget(as_text, value)
    except Refused as error:
        raise ExpressionError(str(error), source=part[0].source, position=part[1], path=path) from None


def _value(expression: Expression, position: int, path: str, names: Mapping[str, Json]) -> Json:
    try:
        return expression.evaluate(names)
    except (Misses, Refused) as error:
        raise ExpressionError(str(error), source=expression.source, position=position, path=path) from None


def _refuse_huge(value: Json) -> None:
    try:
        evaluator.within_budget(weigh, value)
    except Refused as error:
        raise Permanent(f"the rendered config is too large: it {error}", kind="expression") from None


@lru_cache(maxsize=2048)
def _bare(source: str) -> tuple[Expression, int]:
    stripped = source.strip()
    if len(stripped) > 2 * MAX_BYTES:
        raise _Fault(f"is longer than {MAX_BYTES // 1024} KB", source=source, position=0)
    if not stripped.startswith("{{"):
        return _expression(stripped, position=0), 0
    parts = _compiled(stripped).parts
    if len(parts) != 1 or isinstance(parts[0], str):
        raise _Fault("must be one expression; write `a and b`, not text", source=source, position=0)
    return parts[0]


def _compiled(text: str) -> _Text:
    # A long string is not cached: it would take too much memory.
    return _compiled_short(text) if len(text) < 20_000 else _parts(text)


def _parts(text: str) -> _Text:
    parts: list[str | tuple[Expression, int]] = []
    at = 0
    while (tag := _TAGS.search(text, at)) is not None:
        begin = tag.start()
        if tag.group() != "{{":
            what = "a statement" if tag.group() == "{%" else "a comment"
            hint = f"only {{{{ }}}} may be used; write {{{{ '{tag.group()}' }}}} for the characters themselves"
            raise _Fault(f"is {what}; {hint}", source=text[begin:], position=begin)
        end = _end(text, begin)
        if begin > at:
            parts.append(text[at:begin])
        parts.append((_expression(text[begin + 2 : end], position=begin), begin))
        at = end + 2
    if at < len(text):
        parts.append(text[at:])
    return _Text(tuple(parts))


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
    raise _Fault("does not end; close it with }}", source=text[begin:], position=begin)


def _expression(source: str, *, position: int) -> Expression:
    if source[:1] in ("-", "+") and source[1:2].isspace():
        message = f"uses whitespace control; write {{{{ x }}}} without the {source[0]}"
        raise _Fault(message, source=source, position=position)
    try:
        return evaluator.compiled(source.strip())
    except Unacceptable as error:
        raise _Fault(str(error), source=source.strip(), position=position) from None
