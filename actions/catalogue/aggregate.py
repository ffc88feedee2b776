"""The action `aggregate`: count, add up and collect the items of a list, as a whole or by groups."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from actions.base import ONCE, Action, Config, Context, Example, Json, Output, Retry
from actions.expressions.library import decimals
from actions.expressions.values import Refused, as_text, hold, kind
from actions.expressions.values import bounded as whole_number
from actions.lists.items import (
    MAX_PATHS,
    MISSING,
    Items,
    ListOutput,
    Made,
    Path,
    Paths,
    Reader,
    bounded,
    missing,
    own_or_given,
    unique_names,
)
from actions.lists.keys import As, OneKind, key_of
from actions.texts import Text, Whole

Op = Literal["count", "count_unique", "sum", "average", "min", "max", "first", "last", "list", "list_unique", "join"]
# Bytes that a group keeps besides its key, and each of its fields.
_GROUP_BYTES, _FIELD_BYTES = 600, 200
_NO_GROUPS: tuple[Any, ...] = ()


class Measure(Config):
    op: Op = Field(description="What is worked out")
    path: Path | None = Field(default=None, description="Of which path of the items; `count` without it counts items")
    as_: As = Field(default="value", alias="as", description="For min and max: how values are compared, as in `sort`")
    separator: Text = Field(default=", ", max_length=1000, description="For join: what stands between the texts")
    digits: Whole | None = Field(
        default=None, ge=0, le=20, description="For average: digits behind the point; of decimal texts 2 by default"
    )

    @model_validator(mode="after")
    def _has_path(self) -> Self:
        if self.path is None and self.op != "count":
            raise ValueError(f"{self.op} needs the path of a value, as in {{op: {self.op}, path: price}}")
        return self


class AggregateConfig(Config):
    fields: dict[str, Measure] = Field(
        min_length=1,
        max_length=MAX_PATHS,
        description="{name of a field of the output: {op, path}}",
        examples=[{"total": {"op": "sum", "path": "price"}}],
    )
    group_by: Paths | None = Field(
        default=None,
        description="A path, or a list of paths: one object for each combination of their values",
        examples=["country"],
    )
    missing: Literal["fail", "ignore"] = Field(
        default="fail",
        description="What becomes of a missing path: `ignore` leaves the item out of that field; a key of a group that "
        "is missing counts as null",
    )
    items: Any = Field(default=None, description="The list; without it, the step's own input")

    @model_validator(mode="after")
    def _names(self) -> Self:
        unique_names([*(Reader(path).last for path in self.group_by or ()), *self.fields], what="the output")
        return self


class Aggregate(Action[AggregateConfig]):
    """Sums are exact: numbers with a fraction are added as decimals, and decimals that are texts give a text."""

    name: ClassVar[str] = "aggregate"
    summary: ClassVar[str] = "Count, add up and collect the items of a list, as a whole or by groups"
    description: ClassVar[str] = (
        "`count`, `count_unique`, `sum`, `average`, `min`, `max`, `first`, `last`, `list`, `list_unique` and `join` of "
        "a path of the items. null is left out by all of them but `first`, `last` and `list`. Sums are exact: 0.1 and "
        '0.2 give 0.3, and where an item has a decimal as text ("19.99"), sum and average are such texts, too. Without '
        "`group_by` the output is one object; with it, a list with an object for each group, in the order in which the "
        "groups come first."
    )
    output: ClassVar[str] = "an object with the fields; with group_by, a list of such objects, one for each group"
    output_class: ClassVar[type[Output] | None] = ListOutput
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            title="What each country has ordered",
            config={
                "items": "{{ input.orders }}",
                "group_by": "country",
                "fields": {"orders": {"op": "count"}, "total": {"op": "sum", "path": "total"}},
            },
            input={
                "orders": [
                    {"country": "DE", "total": "19.99"},
                    {"country": "FR", "total": "5.00"},
                    {"country": "DE", "total": "0.01"},
                ]
            },
            output=[
                {"country": "DE", "orders": 2, "total": "20.00"},
                {"country": "FR", "orders": 1, "total": "5.00"},
            ],
        ),
        Example(
            title="The whole list as one object",
            config={
                "items": "{{ input.rows }}",
                "fields": {"sum": {"op": "sum", "path": "n"}, "names": {"op": "join", "path": "name"}},
            },
            input={"rows": [{"n": 0.1, "name": "a"}, {"n": 0.2, "name": "b"}]},
            output={"sum": 0.3, "names": "a, b"},
        ),
    )
    pure: ClassVar[bool] = True
    retry: ClassVar[Retry] = ONCE
    raw: ClassVar[frozenset[str]] = frozenset({"items"})
    config_class: ClassVar[type[Config]] = AggregateConfig

    def perform(self, config: AggregateConfig, context: Context) -> Json:
        items = own_or_given(config.items, context, name=self.name)
        with bounded(self.name):
            groups = _grouped(items, config)
            if config.group_by is None:
                return groups[_NO_GROUPS].output() if groups else _Group(config, {}, Made(self.name)).output()
            return [group.output() for group in groups.values()]

    @classmethod
    def reads_input(cls, config: Json) -> bool:
        return not isinstance(config, dict) or "items" not in config


def _grouped(items: Items, config: AggregateConfig) -> dict[Any, _Group]:
    readers = [Reader(path) for path in config.group_by or ()]
    fields = {
        name: Reader(measure.path) if measure.path is not None else None for name, measure in config.fields.items()
    }
    groups: dict[Any, _Group] = {}
    made = Made("aggregate")
    for at, item in items.each():
        values = [_value(items, at, reader, config) for reader in readers]
        key = tuple(map(key_of, values)) if readers else _NO_GROUPS
        group = groups.get(key)
        if group is None:
            hold(_GROUP_BYTES + _FIELD_BYTES * len(fields))
            own = dict(zip((reader.last for reader in readers), values, strict=True))
            group = groups[key] = _Group(config, own, made)
        for name, reader in fields.items():
            if reader is None:
                group.tallies[name].count += 1
                continue
            value = reader.read(item)
            if value is MISSING:
                _value(items, at, reader, config)  # refuses it, unless missing paths are ignored
            else:
                group.tallies[name].take(value, partial(items.at, at, reader.path))
    return groups


def _value(items: Items, at: int, reader: Reader, config: AggregateConfig) -> Json:
    value = reader.read(items.items[at])
    if value is not MISSING:
        return value  # type: ignore[no-any-return]  # what lies in JSON is JSON
    if config.missing == "fail":
        raise missing("aggregate", items, at, reader.path, instead="ignore")
    return None


class _Group:
    """The items with one key, as far as they were looked at."""

    def __init__(self, config: AggregateConfig, own: dict[str, Json], made: Made) -> None:
        self._own = own
        self.tallies = {name: _Tally(measure, made) for name, measure in config.fields.items()}

    def output(self) -> dict[str, Json]:
        """Return the key of the group and its fields."""
        return {**self._own, **{name: tally.result() for name, tally in self.tallies.items()}}


class _Tally:
    """One field of one group."""

    def __init__(self, measure: Measure, made: Made) -> None:
        self._measure = measure
        self._made = made
        self.count = 0
        self._total: Decimal = Decimal(0)
        self._texts = self._fractions = False
        self._kept: list[Any] = []
        self._seen: set[Any] = set()
        self._column = OneKind(measure.as_)
        self._best: Any = None
        self._value: Json = None

    def take(self, value: Json, place: Callable[[], str]) -> None:
        """Take one item's value. Raises Refused, with its place, for a value of another type than the op needs."""
        op = self._measure.op
        if op == "last" or (op == "first" and not self.count):
            self._value = value
        elif op == "list":
            self._keep(value, place)
        elif value is None:
            return
        elif op in ("sum", "average"):
            self._add(value, place)
        elif op in ("min", "max"):
            found = self._column.take(value, place)
            if not self.count or (found < self._best if op == "min" else found > self._best):
                self._best, self._value = found, value
        elif op in ("count_unique", "list_unique"):
            key = key_of(value)
            if op == "list_unique" and key not in self._seen:
                self._keep(value, place)
            self._seen.add(key)
        elif op == "join":
            if isinstance(value, (list, dict)):
                raise Refused(f"cannot join {place()}, {kind(value)}; give the path of a text")
            self._keep(as_text(value), place)
        self.count += 1

    def _keep(self, value: Any, place: Callable[[], str]) -> None:
        self._made.count(value, at=place())
        self._kept.append(value)

    def _add(self, value: Json, place: Callable[[], str]) -> None:
        try:
            self._total = decimals.added(self._total, value, what=self._measure.op)
        except Refused as error:
            raise Refused(f"cannot add {place()}: {error}") from None
        self._texts = self._texts or isinstance(value, str)
        self._fractions = self._fractions or isinstance(value, float)

    def result(self) -> Json:
        """Return the value of the field, when all items were taken."""
        op = self._measure.op
        if op == "count":
            return self.count
        if op == "count_unique":
            return len(self._seen)
        if op in ("list", "list_unique"):
            return self._kept
        if op == "join":
            return self._joined()
        if op == "sum":
            return self._written(self._total)
        if op == "average":
            return self._average()
        return self._value

    def _joined(self) -> str:
        between = len(self._measure.separator) * max(0, len(self._kept) - 1)
        if between > 1_000_000:
            raise Refused(f"makes too much: {len(self._kept):,} texts with such a separator between them")
        return self._measure.separator.join(self._kept)

    def _average(self) -> Json:
        if not self.count:
            return None
        digits = self._measure.digits
        if self._texts or digits is not None:
            total = decimals.written(self._total, what="average")
            found = decimals.decimal_divide(total, self.count, 2 if digits is None else digits)
            return found if self._texts else float(found)
        return float(self._total / self.count)

    def _written(self, total: Decimal) -> Json:
        if self._texts:
            return decimals.written(total, what=self._measure.op)
        return float(total) if self._fractions else whole_number(int(total))
