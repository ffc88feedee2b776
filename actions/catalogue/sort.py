"""The action `sort`: put the items of a list in order, by one key or several."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from actions.base import ONCE, Action, Config, Context, Example, Json, Output, Permanent, Retry
from actions.expressions.values import hold
from actions.lists.items import MAX_PATHS, MISSING, Items, ListOutput, Path, Reader, bounded, missing, own_or_given
from actions.lists.keys import As, OneKind
from actions.texts import as_text

_PLACE_BYTES = 56
Order = Literal["asc", "desc"]


class SortKey(Config):
    path: Path = Field(description="A dotted path of the item, such as `customer.name`")
    order: Order | None = Field(default=None, description="`asc` or `desc`; without it, the order of the step")
    as_: As | None = Field(
        default=None, alias="as", description="Compare values as they are, as exact numbers, or as texts"
    )


def _key(given: object) -> object:
    return given if isinstance(given, dict) else {"path": as_text(given)}


def _keys(given: object) -> object:
    return given if isinstance(given, list) else [given]


class SortConfig(Config):
    by: (
        Annotated[
            list[Annotated[SortKey, BeforeValidator(_key)]],
            BeforeValidator(_keys),
            Field(min_length=1, max_length=MAX_PATHS),
        ]
        | None
    ) = Field(
        default=None,
        description="A path, or a list of paths and of `{path, order, as}`; the first decides. Without it, the items",
        examples=["price"],
    )
    order: Order = Field(default="asc", description="`asc` or `desc`")
    as_: As = Field(
        default="value",
        alias="as",
        description="Compare values as they are, as numbers (texts such as '19.99' are exact decimals), or as texts",
    )
    ignore_case: bool = Field(default=False, description="Compare texts in any letter case")
    missing: Literal["fail", "first", "last"] = Field(
        default="fail", description="Where an item goes whose key is missing or null"
    )
    items: Any = Field(default=None, description="The list; without it, the step's own input")


class Sort(Action[SortConfig]):
    """A stable sort: items that are equal by all keys keep their order, also where it is `desc`."""

    name: ClassVar[str] = "sort"
    summary: ClassVar[str] = "Put the items of a list in order"
    description: ClassVar[str] = (
        "The order is stable: items with equal keys stay in the order in which they were, also with `order: desc`. "
        "All values of a key must be numbers, or all texts; `as: number` also takes decimals that are texts, and "
        "compares them exactly, and `as: text` takes everything as text. A missing or null key fails the step, unless "
        "`missing` says `first` or `last`; that goes for both orders."
    )
    output: ClassVar[str] = "the list of the items in order"
    output_class: ClassVar[type[Output] | None] = ListOutput
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            title="The dearest first, and equal ones by name",
            config={
                "items": "{{ input.rows }}",
                "by": [{"path": "price", "order": "desc", "as": "number"}, "name"],
            },
            input={
                "rows": [
                    {"name": "tea", "price": "9.50"},
                    {"name": "pot", "price": "19.99"},
                    {"name": "cup", "price": "9.5"},
                ]
            },
            output=[
                {"name": "pot", "price": "19.99"},
                {"name": "cup", "price": "9.5"},
                {"name": "tea", "price": "9.50"},
            ],
        ),
    )
    pure: ClassVar[bool] = True
    retry: ClassVar[Retry] = ONCE
    raw: ClassVar[frozenset[str]] = frozenset({"items"})
    config_class: ClassVar[type[Config]] = SortConfig

    def perform(self, config: SortConfig, context: Context) -> Json:
        items = own_or_given(config.items, context, name=self.name)
        with bounded(self.name):
            order = list(range(len(items)))
            keys: Sequence[SortKey | None] = config.by or (None,)
            # From the last key to the first: a stable sort keeps what the sorts before it have done.
            for key in reversed(keys):
                down = (key.order if key and key.order else config.order) == "desc"
                ranks = _ranks(items, key, config, down=down)
                order.sort(key=ranks.__getitem__, reverse=down)
        return [items.items[at] for at in order]

    @classmethod
    def reads_input(cls, config: Json) -> bool:
        return not isinstance(config, dict) or "items" not in config


def _ranks(items: Items, key: SortKey | None, config: SortConfig, *, down: bool) -> list[tuple[int, Any]]:
    """Return what each item is ordered by: missing keys before or behind the others, whatever the order is."""
    reader = Reader(key.path) if key is not None else None
    column = OneKind((key.as_ if key else None) or config.as_, ignore_case=config.ignore_case)
    absent = (int((config.missing == "last") is not down) * 2, 0)
    path = key.path if key is not None else ""
    ranks: list[tuple[int, Any]] = []
    hold(_PLACE_BYTES * len(items))
    for at, item in items.each():
        value = item if reader is None else reader.read(item)
        if value is None or value is MISSING:
            if config.missing == "fail":
                raise _unordered(items, at, path, value)
            ranks.append(absent)
        else:
            ranks.append((1, column.take(value, partial(items.at, at, path))))
    return ranks


def _unordered(items: Items, at: int, path: str, value: Any) -> Permanent:
    if value is None:
        message = f"sort: {items.at(at, path)} is null, which has no order; write missing: first or last"
        return Permanent(message, kind="missing", details={"path": path, "where": items.at(at)})
    return missing("sort", items, at, path, instead="first or last")
