"""Parse a definition's text, YAML or JSON, into plain JSON, and keep the line number of each part.

YAML is read by the rules of YAML 1.2: only `true` and `false` are booleans, so `on`, `no`, `12:30` and dates are
strings. Keys are always strings. The values are built from the parser's events without recursion and counted on the
way, so neither deep nesting nor aliases that multiply values can exhaust stack or memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

import yaml

from actions import payload
from actions.base import Json
from workflows.definitions.errors import DefinitionError, Problem, join_path, refuse
from workflows.formats import yaml_traps

MAX_BYTES = 10 * 1024 * 1024
MAX_DEPTH = 64
# The most values in a document, after each alias is replaced by what it stands for. 12,000 steps with all their fields
# have about 360,000.
MAX_VALUES = 500_000

NULL = re.compile(r"~|null|Null|NULL|")
BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
# Longer integers do not fit in 64 bits, and Python refuses to parse very long ones.
_MAX_DIGITS = 25
_LOOKS_LIKE_JSON = re.compile(r'\s*(?:\[|\{\s*["}])')
_SEGMENT = re.compile(r"\[(\d+)\]|\.?([^.\[\]]+)")


@dataclass(frozen=True)
class Source:
    """A document and its line numbers: `marks` has, by id() of a list or mapping, the line of each key or index."""

    document: Json
    marks: dict[int, dict[str | int, int]] = field(default_factory=dict)
    # What YAML may read in another way than it was meant.
    warnings: tuple[str, ...] = ()

    def line(self, path: str) -> int | None:
        """Return the line (from 1) of the deepest part of this path that exists in the text; None for JSON."""
        here: Json = self.document
        line = None
        for index, key in _SEGMENT.findall(path):
            part = int(index) if index else key
            line = self.marks.get(id(here), {}).get(part, line)
            try:
                here = here[part]  # type: ignore[index]  # a part that does not exist ends the walk
            except (KeyError, IndexError, TypeError):
                break
        return line

    def locate(self, error: DefinitionError) -> DefinitionError:
        """Return a copy of the error with the line number of each problem."""
        return DefinitionError(
            Problem(problem.path, problem.message, problem.line or self.line(problem.path))
            for problem in error.problems
        )


def load(data: bytes | str) -> Source:
    """Parse a text that is YAML or JSON. Raises DefinitionError."""
    text = _text(data)
    if _LOOKS_LIKE_JSON.match(text):
        try:
            return Source(payload.loads(text, max_depth=MAX_DEPTH))
        except payload.PayloadError as error:
            raise refuse(error.path, str(error)) from None
    source = _Folder().fold(text)
    try:
        payload.check(source.document)
    except payload.PayloadError as error:
        raise source.locate(refuse(error.path, str(error))) from None
    return source


def _text(data: bytes | str) -> str:
    if len(data) > MAX_BYTES:
        raise refuse("", f"is larger than {MAX_BYTES // 1024 // 1024} MB; split it")
    if isinstance(data, str):
        return data
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise refuse("", f"is not UTF-8 (byte {error.start}); save it as UTF-8") from None


@dataclass
class _Open:
    """A list or mapping whose end has not been parsed yet; `key` is the key whose value comes next."""

    value: list[Json] | dict[str, Json]
    marks: dict[str | int, int]
    anchor: str | None = None
    key: str | None = None
    merging: bool = False
    merges: list[dict[str, Json]] = field(default_factory=list)
    values: int = 1


class _Folder:
    """Builds plain JSON values from the parser's events."""

    def __init__(self) -> None:
        self.stack: list[_Open] = []
        self.marks: dict[int, dict[str | int, int]] = {}
        self.anchors: dict[str, tuple[Json, int]] = {}
        self.document: Json = None
        self.documents = 0
        self.warnings: list[str] = []
        self._text = ""

    def fold(self, text: str) -> Source:
        self._text = text
        for event in _events(text):
            line = event.start_mark.line + 1 if event.start_mark else 1
            if isinstance(event, yaml.DocumentStartEvent):
                self.documents += 1
                if self.documents > 1:
                    raise _at(line, "", "has a second document; write one workflow per file")
            elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                self._open(event, line)
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                self._close(line)
            elif isinstance(event, yaml.ScalarEvent):
                self._scalar(event, line)
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event, line)
        return Source(self.document, self.marks, tuple(self.warnings))

    def _path(self, *, of: int = 0) -> str:
        """Return the path of the next value, or, with `of` -1, of the list or mapping that it is put into."""
        parents = self.stack[: len(self.stack) + of]
        return join_path("", *(top.key or "" if isinstance(top.value, dict) else len(top.value) for top in parents))

    def _fault(self, line: int, message: str, *, of: int = 0) -> DefinitionError:
        """Return the error at the next value. Its path is written only now: written for each value, it costs memory."""
        return _at(line, self._path(of=of), message)

    def _open(self, event: yaml.CollectionStartEvent, line: int) -> None:
        if self._wants_key():
            hint = yaml_traps.quote_hint(_line_of(self._text, line - 1)) or "; quote it"
            raise self._fault(line, f"has a key that is no text{hint}", of=-1)
        if len(self.stack) >= MAX_DEPTH:
            raise _at(line, "", f"is nested deeper than {MAX_DEPTH} levels; flatten it")
        self._plain_tag(event.tag, line)
        value: list[Json] | dict[str, Json] = {} if isinstance(event, yaml.MappingStartEvent) else []
        marks: dict[str | int, int] = {}
        self.marks[id(value)] = marks
        if self.stack:
            self._mark(line)
        self.stack.append(_Open(value, marks, anchor=event.anchor))

    def _close(self, line: int) -> None:
        done = self.stack.pop()
        if isinstance(done.value, dict):
            for merged in done.merges:
                done.value.update({key: value for key, value in merged.items() if key not in done.value})
        self._put(done.value, line, anchor=done.anchor, values=done.values)

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        if self._wants_key():
            self._take_key(event.value, line, plain=event.implicit[0])
            return
        self._plain_tag(event.tag, line)
        quoted = not event.implicit[0] or event.tag is not None
        value = event.value if quoted else self._resolve(event.value, line)
        if event.style in (None, "") and event.end_mark is not None:
            self._notice(event.value, value, line, end=event.end_mark.index)
        if self.stack:
            self._mark(line)
        self._put(value, line, anchor=event.anchor, values=1)

    def _notice(self, text: str, value: Json, line: int, *, end: int) -> None:
        """Refuse an unquoted value that a comment certainly cuts; warn of one that it may cut, or that is a number."""
        comment = yaml_traps.comment_after(self._text, end)
        if comment is not None:
            what = f"ends before {comment[:60]!r}, which is a comment to YAML"
            if yaml_traps.cuts_an_expression(comment):
                raise self._fault(line, f'{what}; quote the whole text: "{text[:60]} {comment[:60]}"')
            self._warn(line, f"{what}; quote the whole text if it belongs to it")
        if isinstance(value, (int, float)) and yaml_traps.loses_something(text):
            self._warn(line, f"is read as the number {value!r}, not as the text {text[:40]!r}; quote it to keep that")

    def _warn(self, line: int, message: str) -> None:
        if len(self.warnings) < yaml_traps.MOST_WARNINGS:
            self.warnings.append(f"{self._path()} (line {line}) {message}")

    def _alias(self, event: yaml.AliasEvent, line: int) -> None:
        if event.anchor not in self.anchors:
            raise _at(line, "", f"uses *{event.anchor} before &{event.anchor} is complete; define it above")
        value, values = self.anchors[event.anchor]
        if self._wants_key():
            raise self._fault(line, "has an alias as a key; write the key out", of=-1)
        self._mark(line)
        self._put(value, line, anchor=None, values=values)

    def _take_key(self, key: str, line: int, *, plain: bool) -> None:
        top = self.stack[-1]
        top.merging = plain and key == "<<"
        top.key = key
        if isinstance(top.value, dict) and key in top.value and not top.merging:
            raise self._fault(line, "is given twice; keep one of them")
        if not top.merging:
            self._mark(line)

    def _put(self, value: Json, line: int, *, anchor: str | None, values: int) -> None:
        if anchor:
            self.anchors[anchor] = (value, values)
        if not self.stack:
            self.document = value
            return
        top = self.stack[-1]
        top.values += values
        if top.values > MAX_VALUES:
            raise _at(line, "", f"has more than {MAX_VALUES:,} values once its aliases are written out")
        if isinstance(top.value, list):
            top.value.append(value)
        elif top.merging:
            top.merges += self._merged(value, line)
        else:
            top.value[top.key or ""] = value
        top.key = None

    def _mark(self, line: int) -> None:
        top = self.stack[-1]
        top.marks.setdefault(len(top.value) if isinstance(top.value, list) else top.key or "", line)

    def _resolve(self, text: str, line: int) -> Json:
        """Return the value of an unquoted scalar. Infinity and NaN are accepted here; payload.check refuses them."""
        if NULL.fullmatch(text):
            return None
        if BOOL.fullmatch(text):
            return text.lower() == "true"
        if INT.fullmatch(text):
            if len(text) > _MAX_DIGITS:
                raise self._fault(line, "is an integer beyond 64 bits; quote it to keep it as a text")
            return int(text)
        if FLOAT.fullmatch(text):
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        return text

    def _merged(self, value: Json, line: int) -> list[dict[str, Json]]:
        items = value if isinstance(value, list) else [value]
        if not all(isinstance(item, dict) for item in items):
            raise self._fault(line, "merges (<<) something that is no mapping", of=-1)
        return [item for item in items if isinstance(item, dict)]

    def _plain_tag(self, tag: str | None, line: int) -> None:
        if tag not in (None, "!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
            raise self._fault(line, f"has the tag {tag[:40]}, which is not supported; remove it")

    def _wants_key(self) -> bool:
        return bool(self.stack) and isinstance(self.stack[-1].value, dict) and self.stack[-1].key is None


def _events(text: str) -> Iterator[yaml.Event]:
    """Yield libyaml's events while it parses, so that a document with too many values is refused before its end."""
    try:
        yield from yaml.parse(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" at column {mark.column + 1}" if mark else ""
        marks = (each for each in (error.problem_mark, error.context_mark) if each)
        hint = next((found for each in marks if (found := yaml_traps.quote_hint(_line_of(text, each.line)))), "")
        message = f"is neither YAML nor JSON: {error.problem or error.context}{where}{hint}"
        raise _at(mark.line + 1 if mark else None, "", message) from None
    except (yaml.YAMLError, UnicodeEncodeError) as error:
        reason = getattr(error, "reason", "unreadable characters")
        raise refuse("", f"is neither YAML nor JSON: {reason}; save it as plain UTF-8 text") from None


def _line_of(text: str, number: int) -> str:
    """Return a line of a text, counted from 0; the empty text beyond its end."""
    return next(islice(text.splitlines(), number, None), "")


def _at(line: int | None, path: str, message: str) -> DefinitionError:
    return DefinitionError([Problem(path, message, line)])
