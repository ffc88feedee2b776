"""The action `filter`: keep the items of a list for which an expression is true."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from actions import expressions
from actions.base import ONCE, Action, Config, Context, Example, Json, Output, Permanent, Retry
from actions.expressions import ExpressionError
from actions.expressions.values import begin_item
from actions.lists.items import ListOutput, bounded, own_or_given


class FilterConfig(Config):
    where: Any = Field(
        description="An expression over `item` and `index`, such as `item.age >= 18`; keys of the item are names, too"
    )
    items: Any = Field(default=None, description="The list; without it, the step's own input")
    missing: Literal["fail", "drop", "keep"] = Field(
        default="fail", description="What happens to an item that lacks a path that `where` reads"
    )


class Filter(Action[FilterConfig]):
    """Nothing of an item is changed, and the order stays. A name means what it means in `map` of a transform."""

    name: ClassVar[str] = "filter"
    summary: ClassVar[str] = "Keep the items of a list for which an expression is true"
    description: ClassVar[str] = (
        "`where` is evaluated for each item. It may use `item`, `index` (from 0), the keys of the item as bare names, "
        "and everything that other expressions of the step may use. An item that lacks a path fails the step; "
        "`missing: drop` leaves such items out, `missing: keep` keeps them."
    )
    output: ClassVar[str] = "the list of the items that are kept, in their order"
    output_class: ClassVar[type[Output] | None] = ListOutput
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            title="Adults only",
            config={"items": "{{ input.people }}", "where": "item.age >= 18"},
            input={"people": [{"name": "Ada", "age": 36}, {"name": "Tim", "age": 7}]},
            output=[{"name": "Ada", "age": 36}],
        ),
        Example(
            title="Leave out items that do not have the key at all",
            config={"items": "{{ input.people }}", "where": "age >= input.least", "missing": "drop"},
            input={"least": 18, "people": [{"name": "Ada", "age": 36}, {"name": "Max"}]},
            output=[{"name": "Ada", "age": 36}],
        ),
    )
    pure: ClassVar[bool] = True
    retry: ClassVar[Retry] = ONCE
    raw: ClassVar[frozenset[str]] = frozenset({"where", "items"})
    config_class: ClassVar[type[Config]] = FilterConfig

    def perform(self, config: FilterConfig, context: Context) -> Json:
        items = own_or_given(config.items, context, name=self.name)
        names = context.names
        ours = {name: names[name] for name in ("input", "steps", "run", "vars") if name in names}
        kept: list[Json] = []
        with bounded(self.name):
            for at, item in items.each():
                begin_item()
                own = item if isinstance(item, dict) else {}
                known = {**names, **own, **ours, "item": item, "index": at}
                if _holds(config, known, place=items.at(at)):
                    kept.append(item)
        return kept

    @classmethod
    def reads_input(cls, config: Json) -> bool:
        return not isinstance(config, dict) or "items" not in config


def _holds(config: FilterConfig, known: Mapping[str, Json], *, place: str) -> bool:
    if not isinstance(config.where, str):
        return expressions.truthy(config.where)
    try:
        return expressions.truthy(expressions.evaluate(config.where, known))
    except ExpressionError as error:
        if not error.misses:
            raise Permanent(f"filter: {place}: {error}", kind=error.kind, details=error.details) from None
        if config.missing != "fail":
            return config.missing == "keep"
        message = f"filter: {place}: {error}; write missing: drop or keep for such items"
        raise Permanent(message, kind="missing", details={**error.details, "where": place}) from None
