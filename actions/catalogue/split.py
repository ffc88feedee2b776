"""The action `split`: make an item of each entry of a list that stands inside the items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from actions.base import ONCE, Action, Config, Context, Example, Json, Output, Permanent, Retry
from actions.lists.items import (
    MAX_PATHS,
    MISSING,
    Items,
    ListOutput,
    Made,
    Path,
    Reader,
    bounded,
    content,
    missing,
    own_or_given,
    unique_names,
)
from actions.texts import Text

_Include = Annotated[
    Annotated[Literal["none", "all"], Tag("text")]
    | Annotated[list[Path], Field(min_length=1, max_length=MAX_PATHS), Tag("list")],
    Discriminator(lambda value: "list" if isinstance(value, list) else "text"),
]


class SplitConfig(Config):
    path: Path = Field(description="The dotted path of the list inside each item", examples=["lines"])
    include: _Include = Field(
        default="none",
        description="What each new item gets of the item that it comes from: `none`, `all`, or a list of paths",
        examples=["all"],
    )
    as_: Text | None = Field(
        default=None,
        alias="as",
        min_length=1,
        max_length=1000,
        description="The key of the entry in the new item; without it, the last part of `path`",
    )
    missing: Literal["fail", "skip", "keep"] = Field(
        default="fail",
        description="What becomes of an item whose list is missing, null or empty: `skip` leaves it out, `keep` makes "
        "one item of it whose entry is null. An empty list fails nothing",
    )
    items: Any = Field(default=None, description="The list, or one object; without it, the step's own input")

    @model_validator(mode="after")
    def _names(self) -> Self:
        if isinstance(self.include, list):
            own = self.as_ or Reader(self.path).last
            unique_names([*(Reader(path).last for path in self.include), own], what="the new items")
        return self


class Split(Action[SplitConfig]):
    """Without `include` and `as`, the entries themselves are the new items."""

    name: ClassVar[str] = "split"
    summary: ClassVar[str] = "Make an item of each entry of a list inside the items"
    description: ClassVar[str] = (
        "Each entry of the list at `path` becomes an item of its own. `include: all` gives it the other fields of the "
        "item that it comes from, without the list itself; `include: [id, customer.name]` gives it these. Without "
        "`include` and `as`, the new items are the entries as they are."
    )
    output: ClassVar[str] = "the list of the new items"
    output_class: ClassVar[type[Output] | None] = ListOutput
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            title="A row for each line of an order",
            config={"items": "{{ input.orders }}", "path": "lines", "include": ["id"], "as": "line"},
            input={"orders": [{"id": 7, "lines": [{"sku": "a"}, {"sku": "b"}]}, {"id": 8, "lines": []}]},
            output=[{"id": 7, "line": {"sku": "a"}}, {"id": 7, "line": {"sku": "b"}}],
        ),
    )
    pure: ClassVar[bool] = True
    retry: ClassVar[Retry] = ONCE
    raw: ClassVar[frozenset[str]] = frozenset({"items"})
    config_class: ClassVar[type[Config]] = SplitConfig

    def perform(self, config: SplitConfig, context: Context) -> Json:
        items = own_or_given(config.items, context, name=self.name, one=True)
        reader = Reader(config.path)
        made, found = Made(self.name), list[Json]()
        with bounded(self.name):
            for at, _ in items.each():
                entries = _entries(items, at, reader, config)
                if not entries:
                    continue
                base = _base(items, at, reader, config)
                for entry in entries:
                    new = entry if base is None else {**base[0], base[1]: entry}
                    made.count(new, at=items.at(at))
                    found.append(new)
        return found

    @classmethod
    def reads_input(cls, config: Json) -> bool:
        return not isinstance(config, dict) or "items" not in config


def _entries(items: Items, at: int, reader: Reader, config: SplitConfig) -> Sequence[Json]:
    value = reader.read(items.items[at])
    if value is None or value is MISSING:
        if config.missing == "fail":
            if value is None:
                raise Permanent(
                    f"split: {items.at(at, reader.path)} is null, not a list; write missing: skip or keep",
                    kind="missing",
                    details={"path": reader.path, "where": items.at(at)},
                )
            raise missing("split", items, at, reader.path, instead="skip or keep")
    elif not isinstance(value, list):
        message = f"split: {items.at(at, reader.path)} must be a list, but {content(value)}"
        raise Permanent(message, kind="item", details={"path": reader.path, "where": items.at(at)})
    elif value:
        return value
    return [None] if config.missing == "keep" else []


def _base(items: Items, at: int, reader: Reader, config: SplitConfig) -> tuple[dict[str, Any], str] | None:
    """Return the fields that each new item gets, and the key of its entry; None where the entries are the items."""
    name = config.as_ or reader.last
    if config.include == "none":
        return None if config.as_ is None else ({}, name)
    if isinstance(config.include, list):
        found = {}
        for path in config.include:
            one = Reader(path)
            if (value := one.read(items.items[at])) is MISSING:
                message = f"split: {items.lacks(at, path)}; include only what every item has"
                raise Permanent(message, kind="missing", details={"path": path, "where": items.at(at)})
            found[one.last] = value
        return found, name
    fields = _without(items.object(at), [reader.path] if reader.path in items.object(at) else reader.keys)
    if name in fields:
        message = f"split: {items.at(at)} has a field {name[:40]!r} already; give the entries another name with `as`"
        raise Permanent(message, kind="item", details={"path": name, "where": items.at(at)})
    return fields, name


def _without(value: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """Return a copy of an object without the value at a path; what holds it on the way is copied, too."""
    key, below = keys[0], keys[1:]
    if not below:
        return {name: part for name, part in value.items() if name != key}
    inside = value.get(key)
    return {**value, key: _without(inside, below)} if isinstance(inside, dict) else value
