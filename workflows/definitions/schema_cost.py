"""Estimate what it costs to validate an input against a JSON Schema, without validating anything.

A validator follows each `$ref` once for each path that leads to it: 29 schemas that each refer twice to the next one
are 500 million comparisons, from 2 kB. Here each subschema is looked at once for each depth of the input, and its cost
is added up along all paths that lead to it.
"""

from __future__ import annotations

import graphlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import orjson

from workflows.definitions.pattern_cost import pattern_cost

MAX_BYTES = 1_000_000
MAX_SUBSCHEMAS = 5_000
# The most comparisons for one value of an input. A list of 50,000 values in `enum` counts 50,000.
MAX_COMPARISONS = 100_000
# The most characters of all patterns together, with repeats written out. 100,000 compile in about a second.
MAX_PATTERNS = 100_000
# Values of an input are nested at most this deep (actions.payload.MAX_DEPTH).
_DEPTH = 64
# A schema that refers to itself is refused for its cost down to this depth only: most inputs end above it.
_COMMON_DEPTH = 8
_INFINITE = 10**12
# Keywords whose value is a schema, a list of schemas, or an object of schemas, for the same value of the input.
_SAME = ("not", "if", "then", "else")
_SAME_LISTS = ("allOf", "anyOf", "oneOf")
_SAME_OBJECTS = ("dependentSchemas", "dependencies")
_DEFINITIONS = ("$defs", "definitions")
_ANCHORS = ("$anchor", "$dynamicAnchor")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
# Lists and objects that are compared with one entry after the other.
_COMPARED = (
    "enum",
    "required",
    "properties",
    "patternProperties",
    "dependentRequired",
    "dependencies",
    "type",
    "const",
)
# An unevaluated... keyword asks each other subschema of its value again.
_UNEVALUATED = ("unevaluatedProperties", "unevaluatedItems")
_AGAIN = 3
# Division of any two numbers is exact, and takes up to 60 us.
_MULTIPLE = 2_000


@dataclass(frozen=True)
class Cost:
    """The cost of a schema. `fault` says why it is too dear, with the limit, or is empty.

    Each value of an input costs at most `comparisons`, and each character at most `scans` steps of patterns. A schema
    that `is_followed` has only references that were understood; any other may cost more than is counted here.
    `memory` is about the bytes that its compiled form takes.
    """

    comparisons: int
    scans: int
    is_followed: bool
    memory: int
    fault: str = ""


@dataclass
class _Node:
    """A subschema. `same` are the subschemas for the same value, the others for what is inside of it."""

    own: int = 0
    scans: int = 0
    factor: int = 1
    same: list[int] = field(default_factory=list)
    # Of these, one applies to a member of the value; of `members_all` and `items_all`, every one.
    members: list[int] = field(default_factory=list)
    members_all: list[int] = field(default_factory=list)
    items: list[int] = field(default_factory=list)
    items_all: list[int] = field(default_factory=list)


def cost_of(schema: Any) -> Cost:
    """Return the cost of a schema, which need not be valid. Takes at most about a second."""
    size = len(orjson.dumps(schema, option=orjson.OPT_NON_STR_KEYS))
    if size > MAX_BYTES:
        return _refused(f"is {size:,} bytes of JSON; {MAX_BYTES:,} are the limit")
    graph = _Graph(schema)
    if len(graph.nodes) > MAX_SUBSCHEMAS:
        return _refused(f"has more than {MAX_SUBSCHEMAS:,} subschemas, which is the limit")
    if graph.patterns > MAX_PATTERNS:
        what = f"has patterns of {graph.patterns:,} characters with repeats written out"
        return _refused(f"{what}; {MAX_PATTERNS:,} are the limit, so make them shorter or repeat less often")
    memory = 50 * size + 1500 * graph.patterns
    try:
        order = [*graphlib.TopologicalSorter({at: node.same for at, node in enumerate(graph.nodes)}).static_order()]
    except graphlib.CycleError:
        return Cost(_INFINITE, _INFINITE, False, memory)
    comparisons, common = _most(graph.nodes, order, lambda node: node.own)
    scans, _ = _most(graph.nodes, order, lambda node: node.scans)
    if common > MAX_COMPARISONS:
        what = f"takes {common:,} comparisons for one value; {MAX_COMPARISONS:,} are the limit, so shorten its lists"
        return _refused(f"{what}, or refer to a schema fewer times (each `$ref` counts as what it refers to)")
    return Cost(comparisons, scans, graph.is_followed, memory)


def _refused(reason: str) -> Cost:
    return Cost(_INFINITE, _INFINITE, False, 0, f"is too dear to check inputs by: it {reason}")


def _most(nodes: list[_Node], order: list[int], own: Callable[[_Node], int]) -> tuple[int, int]:
    """Return the highest cost of one value at any depth of an input, and, for the publisher, at the depths that count.

    Those are all depths of a schema that ends, and the first eight of one that refers to itself.
    """
    below = [0] * len(nodes)
    most = common = 0
    for depth in range(_DEPTH + 1):
        # Apart, because a value has members or items: what one schema says of both is not counted twice.
        as_object, as_list = below[:], below[:]
        for at in order:
            node = nodes[at]
            members, items = (own(node), own(node)) if depth == 0 else _inside(node, below)
            as_object[at] = min(_INFINITE, node.factor * (members + sum(as_object[each] for each in node.same)))
            as_list[at] = min(_INFINITE, node.factor * (items + sum(as_list[each] for each in node.same)))
        here = [*map(max, as_object, as_list)]
        most = max(most, here[0])
        if depth <= _COMMON_DEPTH:
            common = most
        if here == below:
            return most, most if here[0] == 0 else common
        below = here
    return most, common


def _inside(node: _Node, below: list[int]) -> tuple[int, int]:
    members = max((below[each] for each in node.members), default=0) + sum(below[each] for each in node.members_all)
    items = max((below[each] for each in node.items), default=0) + sum(below[each] for each in node.items_all)
    return members, items


class _Graph:
    """The subschemas that can be reached from the root, which is number 0, by keyword or by reference."""

    def __init__(self, root: Any) -> None:
        self.nodes: list[_Node] = []
        self.patterns = 0
        self.is_followed = True
        self._root = root
        self._anchors: dict[str, Any] = {}
        self._numbers: dict[int, int] = {}
        self._pending: list[tuple[int, dict[str, Any]]] = []
        self._find_anchors()
        self._number(root)
        while self._pending and len(self.nodes) <= MAX_SUBSCHEMAS:
            self._read(*self._pending.pop())

    def _find_anchors(self) -> None:
        pending = [self._root]
        while pending:
            part = pending.pop()
            if isinstance(part, dict):
                for word in _ANCHORS:
                    if isinstance(part.get(word), str):
                        # Two anchors of one name: which is meant depends on the way that leads there.
                        self.is_followed &= part[word] not in self._anchors
                        self._anchors[part[word]] = part
                # An address of its own changes what the references inside of it mean.
                self.is_followed &= part is self._root or not isinstance(part.get("$id", part.get("id")), str)
                pending.extend(part.values())
            elif isinstance(part, list):
                pending.extend(part)

    def _number(self, schema: Any) -> int:
        known = self._numbers.get(id(schema)) if isinstance(schema, dict) else None
        if known is not None:
            return known
        number = len(self.nodes)
        self.nodes.append(_Node(own=1))
        if isinstance(schema, dict):
            self._numbers[id(schema)] = number
            self._pending.append((number, schema))
        return number

    def _read(self, number: int, schema: dict[str, Any]) -> None:
        node = self.nodes[number]
        node.own = max(1, len(schema) + sum(_length(schema.get(word)) for word in _COMPARED))
        if "multipleOf" in schema:
            node.own += _MULTIPLE
        node.factor = _AGAIN ** sum(word in schema for word in _UNEVALUATED)
        self._read_patterns(node, schema)
        node.same = [self._number(each) for each in self._for_the_same(schema)]
        node.members = self._numbers_of(_subschemas(schema, "properties", "additionalProperties"))
        node.members_all = self._numbers_of(
            _subschemas(schema, "patternProperties", "propertyNames", "unevaluatedProperties")
        )
        node.items = self._numbers_of(_subschemas(schema, "prefixItems", "items", "additionalItems"))
        node.items_all = self._numbers_of(_subschemas(schema, "contains", "unevaluatedItems"))

    def _read_patterns(self, node: _Node, schema: dict[str, Any]) -> None:
        patterns = [schema.get("pattern"), *(_object(schema.get("patternProperties")))]
        costs = [pattern_cost(each) for each in patterns if isinstance(each, str)]
        node.scans = sum(cost.scans for cost in costs) + sum(
            word in schema for word in ("format", "maxLength", "minLength")
        )
        self.patterns += sum(cost.size for cost in costs)

    def _numbers_of(self, schemas: Iterator[Any]) -> list[int]:
        return [self._number(each) for each in schemas]

    def _for_the_same(self, schema: dict[str, Any]) -> Iterator[Any]:
        yield from (schema[word] for word in _SAME if word in schema)
        yield from _subschemas(schema, *_SAME_LISTS)
        for word in _SAME_OBJECTS:
            yield from (each for each in _object(schema.get(word)).values() if isinstance(each, dict))
        for word in _REFERENCES:
            if word in schema:
                found = resolve(self._root, schema[word], self._anchors)
                self.is_followed &= found is not None
                yield found


def anchors_of(root: Any) -> dict[str, Any]:
    """Return the parts of a schema that references name, by their `$anchor`."""
    anchors: dict[str, Any] = {}
    pending = [root]
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            anchors |= {part[word]: part for word in _ANCHORS if isinstance(part.get(word), str)}
            pending.extend(part.values())
        elif isinstance(part, list):
            pending.extend(part)
    return anchors


def resolve(root: Any, reference: Any, anchors: Mapping[str, Any]) -> Any:
    """Return what a reference inside this document refers to; None for any other."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    fragment = unquote(reference[1:])
    if fragment and not fragment.startswith("/"):
        return anchors.get(fragment)
    here = root
    for part in fragment.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(here, list) and key.isdecimal() and len(key) < 9 and int(key) < len(here):
            here = here[int(key)]
        elif isinstance(here, dict):
            here = here.get(key)
        else:
            return None
    return here


def _subschemas(schema: dict[str, Any], *words: str) -> Iterator[Any]:
    """Yield the schemas under these keywords, whose values are a schema, or a list or an object of schemas."""
    for word in words:
        value = schema.get(word)
        if isinstance(value, list):
            yield from value
        elif word in ("properties", "patternProperties"):
            yield from _object(value).values()
        elif value is not None:
            yield value


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _length(value: Any) -> int:
    return len(value) if isinstance(value, (list, dict)) else 0
