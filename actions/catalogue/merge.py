"""The action `merge`: make one list of several: one behind the other, by key, or by position."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import BeforeValidator, Field, model_validator

from actions import expressions
from actions.base import ONCE, Action, Config, Context, Example, Json, Output, Permanent, Retry
from actions.expressions.values import each, same, work
from actions.lists.items import MAX_PATHS, MISSING, Items, ListOutput, Made, Path, Reader, bounded, content, missing
from actions.lists.keys import key_of
from actions.texts import as_text

MAX_LISTS = 20


def _listed(given: object) -> object:
    return given if isinstance(given, list) else [as_text(given)]


# A path in all lists, or one path for each list.
_Key = Annotated[list[Path], BeforeValidator(_listed), Field(min_length=1, max_length=MAX_LISTS)]


class MergeConfig(Config):
    mode: Literal["append", "by_key", "by_position"] = Field(
        default="append", description="One list behind the other; items with equal keys; or items at the same position"
    )
    lists: Any = Field(
        default=None,
        description="The lists; without it, the outputs of the steps that this one needs, in that order",
        examples=[["{{ steps.a.output }}", "{{ steps.b.output }}"]],
    )
    by: Annotated[list[_Key], BeforeValidator(_listed), Field(min_length=1, max_length=MAX_PATHS)] | None = Field(
        default=None,
        description="For by_key: a path, or a list of paths; a path that differs between the lists is a list itself",
        examples=["id"],
    )
    keep: Literal["matches", "first", "all", "unmatched"] | None = Field(
        default=None,
        description="Which items stay: those that all lists have (the default of by_key), all of the first list, all, "
        "or those that some list does not have. by_position without it needs lists of one length",
    )
    clash: Literal["last", "first", "fail"] = Field(
        default="last", description="Whose value a field gets that several of the merged items have"
    )
    missing: Literal["fail", "unmatched"] = Field(
        default="fail", description="For by_key: what an item is whose key is missing or null"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.mode == "by_key") is (self.by is None):
            raise ValueError("by_key needs `by`, the path of the key; the other modes take no `by`")
        if self.mode == "append" and self.keep is not None:
            raise ValueError("append keeps everything; leave out `keep`")
        return self


class Merge(Action[MergeConfig]):
    """By key, each item is merged with every item of the next list that has its key, in the order of the lists."""

    name: ClassVar[str] = "merge"
    summary: ClassVar[str] = "Make one list of several: one behind the other, by key, or by position"
    description: ClassVar[str] = (
        "`append` puts one list behind the other. `by_key` merges the fields of items whose keys are equal; if several "
        "items of a list have a key, each of them is merged. `by: [[id, customer_id]]` is a key whose path differs "
        "between the lists. `by_position` merges the first items, the second ones, and so on; lists of other lengths "
        "fail the step unless `keep` says what becomes of the rest. `clash` says whose value a field gets that several "
        "items have. Without `lists`, the step merges the outputs of the steps that it needs."
    )
    output: ClassVar[str] = "the merged list"
    output_class: ClassVar[type[Output] | None] = ListOutput
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            title="Orders with the names of their customers",
            config={
                "mode": "by_key",
                "lists": ["{{ input.orders }}", "{{ input.customers }}"],
                "by": [["customer_id", "id"]],
                "keep": "first",
                "clash": "first",
            },
            input={
                "orders": [{"id": 7, "customer_id": 1}, {"id": 8, "customer_id": 2}],
                "customers": [{"id": 1, "name": "Ada"}],
            },
            output=[{"id": 7, "customer_id": 1, "name": "Ada"}, {"id": 8, "customer_id": 2}],
        ),
        Example(
            title="Two lists behind each other",
            config={"lists": ["{{ input.a }}", "{{ input.b }}"]},
            input={"a": [1, 2], "b": [3]},
            output=[1, 2, 3],
        ),
    )
    pure: ClassVar[bool] = True
    retry: ClassVar[Retry] = ONCE
    raw: ClassVar[frozenset[str]] = frozenset({"lists"})
    config_class: ClassVar[type[Config]] = MergeConfig

    def perform(self, config: MergeConfig, context: Context) -> Json:
        lists = _lists(config, context)
        made = Made(self.name)
        with bounded(self.name):
            if config.mode == "by_key":
                return _by_key(lists, config, made)
            if config.mode == "by_position":
                return _by_position(lists, config, made)
            found: list[Json] = []
            for items in lists:
                for at, item in items.each():
                    made.count(item, at=items.at(at))
                    found.append(item)
            return found

    @classmethod
    def reads_input(cls, config: Json) -> bool:
        return not isinstance(config, dict) or "lists" not in config


def _lists(config: MergeConfig, context: Context) -> list[Items]:
    """Return the lists, each with its name for messages. Raises Permanent for what is none."""
    where, value = ("input", context.input)
    if config.lists is not None:
        where, value = "lists", expressions.render(config.lists, context.names)
    named = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [(f"{where}[{key}]" if isinstance(key, int) else f"{where}.{key}", part) for key, part in named]
    if not 1 < len(found) <= MAX_LISTS:
        hint = "let the step need several, or write lists: ['{{ steps.a.output }}', '{{ steps.b.output }}']"
        raise Permanent(f"merge: {where} must have 2 to {MAX_LISTS} lists, but {content(value)}; {hint}", kind="items")
    lists = []
    for place, part in found:
        if not isinstance(part, list):
            raise Permanent(f"merge: {place} must be a list, but {content(part)}", kind="items")
        lists.append(Items(place, part))
    return lists


def _merged(one: Mapping[str, Any], other: Mapping[str, Any], config: MergeConfig, *, at: str) -> dict[str, Any]:
    work(len(one) + len(other))
    if config.clash == "fail":
        for key in other:
            if key in one and not same(one[key], other[key]):
                message = f"merge: {at} has another {key[:40]!r} than an item before it; write clash: first or last"
                raise Permanent(message, kind="clash", details={"path": key, "where": at})
    return {**other, **one} if config.clash == "first" else {**one, **other}


class _Row(NamedTuple):
    """Items that were merged so far: their fields, their key (None: equal to no other), and how many lists had it."""

    fields: dict[str, Any]
    key: Any
    lists: int = 1


def _by_key(lists: Sequence[Items], config: MergeConfig, made: Made) -> list[Json]:
    """Merge list by list. Rows stay in the order of the first list; those of later lists stand behind them."""
    begins_anywhere = config.keep in ("all", "unmatched")
    rows: list[_Row] = []
    for number, items in enumerate(lists):
        by_key: dict[Any, list[int]] = {}
        keys = [_key(items, at, number, len(lists), config) for at, _ in items.each()]
        for at, key in enumerate(keys):
            if key is not None:
                by_key.setdefault(key, []).append(at)
        known = {row.key for row in rows}
        rows = [new for row in rows for new in _with(row, items, by_key.get(row.key, ()), config, made)]
        if number == 0 or begins_anywhere:
            for at, key in enumerate(keys):
                if key is None or key not in known:
                    made.count(items.items[at], at=items.at(at))
                    rows.append(_Row(items.object(at), key))
    return [row.fields for row in rows if _stays(row, config, len(lists))]


def _stays(row: _Row, config: MergeConfig, lists: int) -> bool:
    if config.keep in ("first", "all"):
        return True
    return (row.lists < lists) if config.keep == "unmatched" else (row.lists == lists)


def _with(row: _Row, items: Items, matching: Sequence[int], config: MergeConfig, made: Made) -> Iterator[_Row]:
    """Yield the row merged with each item that has its key; the row itself if none has."""
    if not matching:
        yield row
    for at in matching:
        fields = _merged(row.fields, items.object(at), config, at=items.at(at))
        made.count(fields, at=items.at(at))
        yield _Row(fields, row.key, row.lists + 1)


def _key(items: Items, at: int, number: int, lists: int, config: MergeConfig) -> Any:
    """Return the key of an item; None if a part of it is missing or null, and that is accepted."""
    item, found = items.object(at), []
    for paths in config.by or ():
        if len(paths) not in (1, lists):
            message = f"merge: by has {len(paths)} paths for one key, and there are {lists} lists; give one for each"
            raise Permanent(message, kind="config")
        path = paths[number] if len(paths) > 1 else paths[0]
        value = Reader(path).read(item)
        if value is not None and value is not MISSING:
            found.append(key_of(value))
        elif config.missing == "fail":
            if value is MISSING:
                raise missing("merge", items, at, path, instead="unmatched")
            message = f"merge: {items.at(at, path)} is null, which is no key; write missing: unmatched"
            raise Permanent(message, kind="missing", details={"path": path, "where": items.at(at)})
        else:
            return None
    return tuple(found)


def _by_position(lists: Sequence[Items], config: MergeConfig, made: Made) -> list[Json]:
    lengths = [len(items) for items in lists]
    shortest, longest = min(lengths), max(lengths)
    if config.keep is None and shortest != longest:
        told = ", ".join(f"{items.where} {len(items):,}" for items in lists)
        message = f"merge: the lists have different lengths ({told}); write keep: matches, first, all or unmatched"
        raise Permanent(message, kind="length")
    begin = shortest if config.keep == "unmatched" else 0
    end = {"first": lengths[0], "all": longest, "unmatched": longest}.get(config.keep or "", shortest)
    found: list[Json] = []
    for at in each(range(begin, end)):
        fields: dict[str, Any] = {}
        for items in lists:
            if at < len(items):
                fields = _merged(fields, items.object(at), config, at=items.at(at))
        made.count(fields, at=f"position {at}")
        found.append(fields)
    return found
