"""The action `dedupe`: leave out the items of a list that came before, as a whole or by some of their paths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from actions.base import ONCE, Action, Config, Context, Example, Json, Output, Retry
from actions.lists.items import MISSING, Items, ListOutput, Paths, Reader, bounded, missing, own_or_given
from actions.lists.keys import key_of


class DedupeConfig(Config):
    by: Paths | None = Field(
        default=None,
        description="A path, or a list of paths, whose values make items equal; without it, whole items are compared",
        examples=["email"],
    )
    keep: Literal["first", "last"] = Field(default="first", description="Which of several equal items stays")
    missing: Literal["fail", "same", "keep"] = Field(
        default="fail",
        description="What an item is that lacks a path: `same` as others that lack it, or always kept (`keep`)",
    )
    items: Any = Field(default=None, description="The list; without it, the step's own input")


class Dedupe(Action[DedupeConfig]):
    """Values are equal as JSON values: 1 and 1.0 are, 1 and "1" are not. The order of the items stays."""

    name: ClassVar[str] = "dedupe"
    summary: ClassVar[str] = "Leave out the items of a list that came before"
    description: ClassVar[str] = (
        "Values are compared as JSON: 1 and 1.0 are equal, and so are objects with the same keys in another order; "
        '1 and "1", or two texts in other letter case, are not. null is a value like any other. Of equal items the '
        "first one stays, or the last one with `keep: last`, where it stands."
    )
    output: ClassVar[str] = "the list without the repeated items, in its order"
    output_class: ClassVar[type[Output] | None] = ListOutput
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            title="One row for each address, the latest",
            config={"items": "{{ input.rows }}", "by": "email", "keep": "last"},
            input={"rows": [{"email": "a@x", "n": 1}, {"email": "b@x", "n": 2}, {"email": "a@x", "n": 3}]},
            output=[{"email": "b@x", "n": 2}, {"email": "a@x", "n": 3}],
        ),
    )
    pure: ClassVar[bool] = True
    retry: ClassVar[Retry] = ONCE
    raw: ClassVar[frozenset[str]] = frozenset({"items"})
    config_class: ClassVar[type[Config]] = DedupeConfig

    def perform(self, config: DedupeConfig, context: Context) -> Json:
        items = own_or_given(config.items, context, name=self.name)
        readers = [Reader(path) for path in config.by or ()]
        seen: dict[Any, int] = {}
        kept: list[int] = []
        with bounded(self.name):
            for at, item in items.each():
                key = _key(items, at, item, readers, config)
                if key is None:
                    kept.append(at)
                elif key not in seen or config.keep == "last":
                    seen[key] = at
        return [items.items[at] for at in sorted([*kept, *seen.values()])]

    @classmethod
    def reads_input(cls, config: Json) -> bool:
        return not isinstance(config, dict) or "items" not in config


def _key(items: Items, at: int, item: Json, readers: Sequence[Reader], config: DedupeConfig) -> Any:
    """Return the key of an item; None if it is equal to no other, because it lacks a path."""
    if not readers:
        return key_of(item)
    found = []
    for reader in readers:
        value = reader.read(item)
        if value is not MISSING:
            found.append(key_of(value))
        elif config.missing == "fail":
            raise missing("dedupe", items, at, reader.path, instead="same or keep")
        elif config.missing == "keep":
            return None
        else:
            found.append(("missing", None))
    return tuple(found)
