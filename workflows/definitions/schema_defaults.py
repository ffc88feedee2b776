"""Fill in the defaults that a JSON Schema's `properties` have, in the objects that a value has.

A property is found through `properties`, `items`, `prefixItems`, `allOf` and references inside the document: what holds
of a value in any case. What stands below `anyOf`, `oneOf`, `if` and the like is not looked at, because which of them
holds is known only once the value is complete.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from operator import is_
from typing import Any

import orjson

from actions.base import Json
from workflows.definitions.schema_cost import anchors_of, resolve

# What the defaults may add to one input, and how many properties may be looked at for that (about half a second).
MAX_ADDED_BYTES = 1_000_000
MAX_LOOKS = 1_000_000
# Schemas that apply to the same value, over all places of a schema.
_MAX_PARTS = 100_000


class TooMuch(Exception):
    """The defaults cannot be filled in; the message says which limit they exceed."""


@dataclass(eq=False)
class Place:
    """What the schema says of the values at one place: its properties' defaults, and the places inside."""

    # (property, default, bytes of the default as JSON)
    defaults: list[tuple[str, Json, int]] = field(default_factory=list)
    members: list[tuple[str, Place]] = field(default_factory=list)
    prefix: list[Place] = field(default_factory=list)
    items: list[Place] = field(default_factory=list)
    outer: list[Place] = field(default_factory=list)


@dataclass(frozen=True)
class Defaults:
    """The defaults of a schema. `filled` are the ids of the schemas whose `default` is filled in."""

    root: Place
    filled: frozenset[int]

    def fill(self, value: Json) -> Json:
        """Return the value with the defaults of absent properties; the value itself is not changed. Raises TooMuch."""
        return _Filling().fill(value, self.root, ())


def defaults_of(schema: Mapping[str, Any]) -> Defaults | None:
    """Return the defaults of a schema, None if it has none. Raises TooMuch if too many schemas apply to one value."""
    if b'"default":' not in orjson.dumps(schema, option=orjson.OPT_NON_STR_KEYS):
        return None
    reading = _Reading(schema)
    root = reading.place(schema)
    reading.read_all()
    return Defaults(root, frozenset(reading.filled)) if reading.filled and reading.keep_useful(root) else None


class _Reading:
    """One walk over a schema, place by place."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.filled: set[int] = set()
        self._root = root
        self._anchors = anchors_of(root)
        self._places: dict[int, Place] = {}
        self._pending: list[tuple[Place, Any]] = []
        self._parts = 0

    def place(self, schema: Any) -> Place:
        """Return the place of a schema, which is read later."""
        found = self._places.get(id(schema))
        if found is None:
            found = self._places[id(schema)] = Place()
            self._pending.append((found, schema))
        return found

    def read_all(self) -> None:
        """Read the schemas of all places that can be reached."""
        while self._pending:
            place, schema = self._pending.pop()
            for part in self._same(schema):
                self._read(place, part)

    def keep_useful(self, root: Place) -> bool:
        """Drop the places in which, and below which, nothing is filled in. Return whether the root is kept."""
        useful: set[int] = set()
        pending = [place for place in self._places.values() if place.defaults]
        while pending:
            place = pending.pop()
            if id(place) not in useful:
                useful.add(id(place))
                pending.extend(place.outer)
        for place in self._places.values():
            place.members = [(name, inner) for name, inner in place.members if id(inner) in useful]
            place.items = [inner for inner in place.items if id(inner) in useful]
        return id(root) in useful

    def _read(self, place: Place, part: dict[str, Any]) -> None:
        known = {name for name, _, _ in place.defaults}
        properties = part.get("properties")
        for name, schema in properties.items() if isinstance(properties, dict) else ():
            holder = next((each for each in self._same(schema) if "default" in each), None)
            if holder is not None:
                self.filled.add(id(holder))
                if name not in known:
                    place.defaults.append((name, holder["default"], len(name) + len(orjson.dumps(holder["default"]))))
            place.members.append((name, self._inside(place, schema)))
        prefix, items = part.get("prefixItems"), part.get("items")
        if isinstance(prefix, list):
            place.prefix += [self._inside(place, schema) for schema in prefix]
        elif isinstance(items, dict):
            place.items.append(self._inside(place, items))

    def _inside(self, outer: Place, schema: Any) -> Place:
        inner = self.place(schema)
        inner.outer.append(outer)
        return inner

    def _same(self, schema: Any) -> Iterator[dict[str, Any]]:
        """Yield the schemas that apply to the same value in any case: this one, its `allOf`, what it refers to."""
        seen: set[int] = set()
        pending = [schema]
        while pending:
            part = pending.pop()
            if not isinstance(part, dict) or id(part) in seen:
                continue
            self._parts += 1
            if self._parts > _MAX_PARTS:
                raise TooMuch("its `allOf` and `$ref` lead to too many schemas to fill in a `default`; simplify it")
            seen.add(id(part))
            yield part
            several = part.get("allOf")
            pending.extend(reversed(several) if isinstance(several, list) else ())
            if "$ref" in part:
                pending.append(resolve(self._root, part["$ref"], self._anchors))


class _Filling:
    """One call of Defaults.fill."""

    def __init__(self) -> None:
        self._added = 0
        self._looks = 0

    def fill(self, value: Json, place: Place, within: tuple[Place, ...]) -> Json:
        """Return the value, or a copy of it with defaults. `within` are the places whose defaults lead to this value.

        Inside a default, a place is not entered again: a schema that refers to itself would never end.
        """
        if isinstance(value, dict):
            return self._fill_object(value, place, within)
        return self._fill_list(value, place, within) if isinstance(value, list) else value

    def _fill_object(self, value: dict[str, Json], place: Place, within: tuple[Place, ...]) -> Json:
        self._look(len(place.defaults) + len(place.members))
        absent = [each for each in place.defaults if each[0] not in value]
        filled = value
        if absent:
            self._added += sum(size for _, _, size in absent)
            if self._added > MAX_ADDED_BYTES:
                raise TooMuch(f"would get more than {MAX_ADDED_BYTES:,} bytes of defaults; send fewer objects")
            filled = {**value, **{name: default for name, default, _ in absent}}
        for name, inner in place.members:
            if name not in filled:
                continue
            entered = within if name in value and not within else (*within, place)
            part = filled[name] if inner in entered else self.fill(filled[name], inner, entered)
            if part is not filled[name]:
                filled = {**value} if filled is value else filled
                filled[name] = part
        return filled

    def _fill_list(self, value: list[Json], place: Place, within: tuple[Place, ...]) -> Json:
        self._look(len(value) * len(place.items) + len(place.prefix))
        filled = [*value]
        for inner in place.items:
            filled = [self.fill(item, inner, within) for item in filled]
        for at, inner in enumerate(place.prefix[: len(value)]):
            filled[at] = self.fill(filled[at], inner, within)
        return value if all(map(is_, value, filled)) else filled

    def _look(self, times: int) -> None:
        self._looks += 1 + times
        if self._looks > MAX_LOOKS:
            raise TooMuch("has too many values to fill in the defaults of `inputs`; send less")
