"""The list that an action works on, the paths of its items, and the bounds of work on lists.

Messages name the item and the path: `input[3].customer.zip`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, ConfigDict, Field

from actions import expressions, paths, payload
from actions.base import Context, Json, Output, Permanent
from actions.expressions.values import Refused, each, kind, work
from actions.texts import Text, as_text

# Processor time for one step's work on lists, in milliseconds.
CPU_MILLISECONDS = 10_000
# The most characters of a path, and the most paths that a config names.
MAX_PATH = 1_000
MAX_PATHS = 50


class ListOutput(Output):
    """A list: its items are what the list that the action is given has, or what the config says."""

    model_config = ConfigDict(extra="allow")


class _Missing:
    """The type of MISSING."""

    __slots__ = ()


# The value at a path that an item does not have.
MISSING: Final[Any] = _Missing()


def _listed(given: object) -> object:
    return given if isinstance(given, list) else [as_text(given)]


Path = Annotated[Text, Field(min_length=1, max_length=MAX_PATH)]
# A path, or a list of them.
Paths = Annotated[list[Path], BeforeValidator(_listed), Field(min_length=1, max_length=MAX_PATHS)]


class Reader:
    """A dotted path such as `customer.zip` or `lines.0.price`, split once and read from many items."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._keys = path.split(".")

    @property
    def last(self) -> str:
        """The last part of the path: the name of its value in an output."""
        return self._keys[-1]

    @property
    def first(self) -> str:
        """The key of the item itself with which the path begins."""
        return self._keys[0]

    @property
    def keys(self) -> list[str]:
        """The parts of the path."""
        return self._keys

    def read(self, item: Json) -> Any:
        """Return the value at the path, or MISSING. A key that is the whole path, dots and all, comes first."""
        if isinstance(item, dict) and self.path in item:
            return item[self.path]
        here: Any = item
        for key in self._keys:
            if isinstance(here, dict):
                here = here.get(key, MISSING)
            elif isinstance(here, list) and key.isascii() and key.isdecimal() and len(key) < 10:
                here = here[int(key)] if int(key) < len(here) else MISSING
            else:
                return MISSING
        return here


class Items:
    """The items of a list, and `where` it comes from, for messages: `input`, `items` or `lists[1]`."""

    def __init__(self, where: str, items: Sequence[Json]) -> None:
        self.where = where
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def each(self) -> Iterator[tuple[int, Any]]:
        """Yield number and item of each, charged to the time that work on lists may take."""
        return enumerate(each(self.items))

    def at(self, index: int, path: str = "") -> str:
        """Return the place of an item, or of a path in it, as messages name it."""
        place = f"{self.where}[{index}]"
        return f"{place}.{paths.cut(path)}" if path else place

    def lacks(self, index: int, path: str) -> str:
        """Return what is wrong with an item that does not have a path: what it has instead."""
        return f"{self.at(index, path)} is missing: the item {content(self.items[index])}"

    def object(self, index: int) -> dict[str, Any]:
        """Return an item that must be an object. Raises Permanent."""
        item = self.items[index]
        if not isinstance(item, dict):
            raise Permanent(f"{self.at(index)} must be an object, but {content(item)}", kind="item")
        return item


def content(value: Json) -> str:
    """Say what a value is, and of an object which keys it has."""
    if isinstance(value, dict):
        keys = ", ".join(key[:40] for key in list(value)[:20])
        return f"has the keys {keys}" if keys else "is an empty object"
    return f"is a list of {len(value)} items" if isinstance(value, list) else f"is {kind(value)}"


def own_or_given(given: Any, context: Context, *, name: str, one: bool = False) -> Items:
    """Return the list in the config field `items`, rendered here, or else the step's own input.

    With `one`, an object counts as a list of itself. Raises Permanent for anything else.
    """
    where, value = ("input", context.input)
    if given is not None:
        where, value = "items", expressions.render(given, context.names)
    if one and isinstance(value, dict):
        value = [value]
    if isinstance(value, list):
        return Items(where, value)
    hint = "; write items: '{{ input.rows }}', for example" if where == "input" else ""
    raise Permanent(f"{name}: {where} must be a list, but {content(value)}{hint}", kind="items")


@contextmanager
def bounded(name: str) -> Iterator[None]:
    """Bound the processor time of work on lists, and what it keeps. Raises Permanent beyond that.

    Failures inside are told with the action's name.
    """
    try:
        with expressions.shared(cpu_milliseconds=CPU_MILLISECONDS):
            yield
    except Refused as error:
        raise Permanent(f"{name}: it {error}", kind="cost") from None


def missing(name: str, items: Items, index: int, path: str, *, instead: str) -> Permanent:
    """Return the failure of an item that lacks a path; `instead` says which values of `missing` accept that."""
    message = f"{name}: {items.lacks(index, path)}; give it a value, or write missing: {instead}"
    return Permanent(message, kind="missing", details={"path": path, "where": items.at(index)})


class Made:
    """Counts what an action makes, so that an output that is too large is refused before it is made."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._left = payload.MAX_OUTPUT

    def count(self, value: Json, *, at: str) -> None:
        """Count a value of the output. Raises Permanent, with the place, when it becomes too large."""
        size = payload.size(value, limit=max(0, self._left))
        work(size)
        self._left -= size
        if self._left < 0:
            more = f"more than {payload.MAX_OUTPUT:,} characters and values"
            raise Permanent(f"{self._name}: the output is too large: {more}, with {at}", kind="output")


def unique_names(names: Iterable[str], *, what: str) -> None:
    """Raise ValueError if two names of an output are equal."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{what} would have {paths.cut(name)!r} twice; give one of them another name")
        seen.add(name)
