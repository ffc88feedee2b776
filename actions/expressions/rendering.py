"""Render configs: replace each expression in a value by what it gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext, suppress
from functools import cached_property, partial
from types import MappingProxyType

from actions import paths
from actions.base import Json, Permanent, Use
from actions.expressions import evaluator
from actions.expressions.evaluator import OMIT, Misses
from actions.expressions.language import Expression, ExpressionError, Fault, bare, compiled, has_expression, texts
from actions.expressions.values import Refused, as_text, kind, shared, weigh

MAX_DEPTH = 100
MAX_TEXT = 1_000_000
# Looking a value up is not charged to the budget. But a config with many looked-up values is serialised when it is
# recorded, so its size is checked if more than this many strings have an expression.
_FREE_LOOKUPS = 8
_ALL_PAYLOAD: Mapping[str, Use] = MappingProxyType({})


def render(value: Json, names: Mapping[str, Json], *, uses: Mapping[str, Use] = _ALL_PAYLOAD) -> Json:
    """Return a copy of the value in which each expression is replaced by its result.

    A field or an item whose expression gives `omit` is left out. `uses` says what the fields of an object are for;
    without an entry that is Use.PAYLOAD.

    Raises ExpressionError for an expression that does not parse, reads a missing path, or exceeds the budget.
    """
    if isinstance(value, str):
        return _there(_render_text(value, names, ""), value) if has_expression(value) else value
    if not has_expression(value):
        return value
    rendering = _Rendering(names)
    with shared():
        rendered = rendering.walk(value, "", 0, uses=uses)
    if rendering.lookups > _FREE_LOOKUPS:
        _refuse_huge(rendered)
    return rendered


class _Rendering:
    """One call of `render`; `lookups` counts the strings that have an expression."""

    def __init__(self, names: Mapping[str, Json]) -> None:
        self._names = names
        self.lookups = 0

    def walk(
        self, part: Json, path: str, depth: int, use: Use = Use.PAYLOAD, *, uses: Mapping[str, Use] = _ALL_PAYLOAD
    ) -> Json:
        if isinstance(part, str):
            self.lookups += "{{" in part
            return _render_text(part, self._names, path, use) if has_expression(part) else part
        if not isinstance(part, (dict, list)):
            return part
        if depth == MAX_DEPTH:
            raise Permanent(f"{path}: is nested deeper than {MAX_DEPTH}", kind="expression")
        if isinstance(part, dict):
            fields = (
                (key, self.walk(item, paths.join(path, key), depth + 1, uses.get(key, use)))
                for key, item in part.items()
            )
            return {key: item for key, item in fields if item is not OMIT}
        items = (self.walk(item, f"{path}[{at}]", depth + 1, use) for at, item in enumerate(part))
        return [item for item in items if item is not OMIT]


class Template:
    """A value that is rendered often. Its expressions are parsed once; the method `render` gives the function's result.

    `raw` names the fields of an object that are left unrendered; `uses` is as in `render`.
    """

    def __init__(
        self, value: Json, *, raw: frozenset[str] = frozenset(), uses: Mapping[str, Use] = _ALL_PAYLOAD
    ) -> None:
        self._value = value
        self._uses = uses
        self._raw = raw if isinstance(value, dict) else frozenset()
        plain = {key: item for key, item in value.items() if key not in raw} if isinstance(value, dict) else value
        self._texts = [text for _, text in texts(plain, "")]
        self._lookups = sum(text.count("{{") > 0 for text in self._texts)
        self._filler: Callable[[Mapping[str, Json]], Json] | None = None
        # An expression that does not parse is no error here: each call of render raises it, with its path.
        with suppress(Fault, RecursionError):
            self._filler = _filler(value, "", raw=self._raw, uses=uses)
        self._shares = self._filler is not None and sum(compiled(text).computed for text in self._texts) > 1

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
        return rendered if rendered is not OMIT else _there(rendered, str(self._value))

    @cached_property
    def roots(self) -> frozenset[str] | None:
        """The top-level names that the expressions read, as {"steps", "input"}; None unless all are plain paths."""
        roots = set()
        for text in self._texts:
            try:
                parts = compiled(text).parts
            except Fault:
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
        asked = {key: item for key, item in self._value.items() if key not in self._raw}
        plain = render(asked, names, uses=self._uses)
        kept = {key: item for key, item in self._value.items() if key in self._raw}
        return {**plain, **kept} if isinstance(plain, dict) else plain


def evaluate(source: str, names: Mapping[str, Json]) -> Json:
    """Return the value of a bare expression; surrounding `{{ }}` are permitted. Raises ExpressionError."""
    try:
        expression, position = bare(source)
    except Fault as fault:
        raise ExpressionError(fault.message, source=fault.source, position=fault.position) from None
    return _there(_value(expression, position, "", names), source)


def _filler(
    value: Json,
    path: str,
    use: Use = Use.PAYLOAD,
    *,
    raw: frozenset[str] = frozenset(),
    uses: Mapping[str, Use] = _ALL_PAYLOAD,
) -> Callable[[Mapping[str, Json]], Json]:
    """Return a function from the names to the rendered value; each call builds new objects and lists."""
    if isinstance(value, dict):
        fields = [
            (
                key,
                (lambda _, item=item: item) if key in raw else _filler(item, paths.join(path, key), uses.get(key, use)),
            )
            for key, item in value.items()
        ]
        return lambda names: {key: found for key, fill in fields if (found := fill(names)) is not OMIT}
    if isinstance(value, list):
        items = [_filler(item, f"{path}[{at}]", use) for at, item in enumerate(value)]
        return lambda names: [found for fill in items if (found := fill(names)) is not OMIT]
    if not isinstance(value, str) or not has_expression(value):
        return lambda _: value
    parts = compiled(value).parts
    if len(parts) == 1 and not isinstance(parts[0], str):
        return partial(_value, *parts[0], path)
    return lambda names: "".join(_pieces(parts, names, path, use))


def _render_text(source: str, names: Mapping[str, Json], path: str, use: Use = Use.PAYLOAD) -> Json:
    try:
        text = compiled(source)
    except Fault as fault:
        raise ExpressionError(fault.message, source=fault.source, position=fault.position, path=path) from None
    parts = text.parts
    if len(parts) == 1 and not isinstance(parts[0], str):
        return _value(*parts[0], path, names)
    with shared() if text.computed > 1 else nullcontext():
        return "".join(_pieces(parts, names, path, use))


def _pieces(
    parts: tuple[str | tuple[Expression, int], ...], names: Mapping[str, Json], path: str, use: Use
) -> Iterator[str]:
    size, in_query = 0, False
    for part in parts:
        if isinstance(part, str):
            piece = part
            in_query = in_query or "?" in part
        else:
            expression, position = part
            value = _value(expression, position, path, names)
            fault = _part_fault(value, use, in_query=in_query)
            if fault is not None:
                raise ExpressionError(fault, source=expression.source, position=position, path=path)
            piece = _as_text(value, part, path)
        size += len(piece)
        if size > MAX_TEXT:
            raise Permanent(f"{path}: the text is longer than {MAX_TEXT:,} characters", kind="expression")
        yield piece


def _part_fault(value: Json, use: Use, *, in_query: bool) -> str | None:
    """Return why a value cannot be a part of a longer text, or None."""
    if value is OMIT:
        return "gives omit, which leaves out a whole field and can be no part of a text"
    if use in (Use.PAYLOAD, Use.PROSE):
        return None
    if value is None or isinstance(value, (dict, list)):
        return f"gives {kind(value)}, which is no part of this text; give a text, a number, true or false"
    if use is Use.URL and value == "" and not in_query:
        return "gives an empty text, which would make it another address; write the whole URL as one expression if so"
    return None


def _there(value: Json, source: str) -> Json:
    """Return the value of something that cannot be left out. Raises ExpressionError if it is `omit`."""
    if value is OMIT:
        raise ExpressionError("gives omit, which leaves out a field or an item; here is none", source=source)
    return value


def _as_text(value: Json, part: tuple[Expression, int], path: str) -> str:
    if isinstance(value, str):
        return value
    try:
        return evaluator.within_budget(as_text, value)
    except Refused as error:
        raise ExpressionError(str(error), source=part[0].source, position=part[1], path=path) from None


def _value(expression: Expression, position: int, path: str, names: Mapping[str, Json]) -> Json:
    try:
        return evaluator.evaluate(expression, names)
    except (Misses, Refused) as error:
        misses = isinstance(error, Misses)
        raise ExpressionError(
            str(error), source=expression.source, position=position, path=path, misses=misses
        ) from None


def _refuse_huge(value: Json) -> None:
    try:
        evaluator.within_budget(weigh, value)
    except Refused as error:
        raise Permanent(f"the rendered config is too large: it {error}", kind="expression") from None
