"""The action `transform`: select, rename, compute and set fields of the step's input."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, Self

from pydantic import ConfigDict, Field, model_validator

from actions import expressions, payload
from actions.base import ONCE, Action, Config, Context, Example, Json, Output, Permanent, Retry
from actions.texts import Text

_KEYS = frozenset({"select", "set", "rename", "map"})


class TransformConfig(Config):
    """The parts are applied in this order: select, rename, map, set."""

    select: list[Text] | dict[str, Text] | None = Field(
        default=None,
        description="Keys or dotted paths to keep, each under the last part of its path; or {new name: path}",
    )
    rename: dict[str, Text] | None = Field(default=None, description="{old name: new name}; other fields stay")
    map: dict[str, Any] | None = Field(
        default=None,
        description="{name: expression} over `item`: a list gives a list of objects, anything else one object",
    )
    set: dict[str, Any] | None = Field(default=None, description="{name: value}, added to the object")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.select is None and self.rename is None and self.map is None and self.set is None:
            raise ValueError("needs at least one of select, rename, map and set")
        if isinstance(self.select, list):
            last = [_last(path) for path in self.select]
            twice = next((name for name in last if last.count(name) > 1), None)
            if twice is not None:
                raise ValueError(f"selects {twice!r} twice; write select as {{new name: path}}")
        return self

    @cached_property
    def selected(self) -> dict[str, str]:
        """`select` in its long form: {new name: path}."""
        if self.select is None or isinstance(self.select, dict):
            return self.select or {}
        return {_last(path): path for path in self.select}


class TransformOutput(Output):
    """The fields that the config says; with a list as input, a list of such objects."""

    model_config = ConfigDict(extra="allow")


class Transform(Action[TransformConfig]):
    """The parts are applied to the input if it is an object, or to each object of it if it is a list.

    `set` alone starts from an empty object: the output has the set fields only, not those of the input.
    """

    name: ClassVar[str] = "transform"
    summary: ClassVar[str] = "Select, rename, compute and set fields"
    description: ClassVar[str] = (
        "`select`, `rename` and `map` work on the step's input, which is the output of the step before it: on the "
        "object, or on each object of a list. `set` alone begins with an empty object. A field that is missing "
        "fails the step and says where. In `map` the texts are bare expressions over `item`; everywhere else `{{ "
        "}}` is written."
    )
    output: ClassVar[str] = "an object; with a list as input and select, rename or map, a list of objects"
    output_class: ClassVar[type[Output] | None] = TransformOutput
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            title="Keep two fields, and add one",
            config={"select": ["email", "address.city"], "set": {"source": "shop"}},
            input={"email": "ada@example.com", "address": {"city": "Turin", "zip": "10100"}, "age": 36},
            output={"email": "ada@example.com", "city": "Turin", "source": "shop"},
        ),
        Example(
            title="Compute a field of each item of a list",
            config={"map": {"sku": "item.sku", "total": "item.price * item.count"}},
            input=[{"sku": "a", "price": 2, "count": 3}, {"sku": "b", "price": 5, "count": 1}],
            output=[{"sku": "a", "total": 6}, {"sku": "b", "total": 5}],
        ),
    )
    pure: ClassVar[bool] = True
    retry: ClassVar[Retry] = ONCE
    raw: ClassVar[frozenset[str]] = frozenset({"map"})
    config_class: ClassVar[type[Config]] = TransformConfig

    def perform(self, config: TransformConfig, context: Context) -> Json:
        shaped = config.select is not None or config.rename is not None or config.map is not None
        if not shaped:
            return dict(config.set or {})
        if isinstance(context.input, list):
            return _shaped_list(context.input, config, context)
        return _shape(context.input, config, context, "input")

    @classmethod
    def reads_input(cls, config: Json) -> bool:
        return not isinstance(config, dict) or not {"select", "rename", "map"}.isdisjoint(config)

    @classmethod
    def from_payload(cls, payload: Json) -> Json:
        return {"set": payload} if _is_set(payload) else super().from_payload(payload)

    @classmethod
    def data_of(cls, payload: Json) -> dict[str, Json]:
        return {} if _is_set(payload) else super().data_of(payload)


def _is_set(payload: Json) -> bool:
    """Whether a payload has none of the action's keys, and so is the object to be returned."""
    return isinstance(payload, dict) and _KEYS.isdisjoint(payload)


def _shaped_list(items: list[Json], config: TransformConfig, context: Context) -> Json:
    """Shape each item. What `map` computes is counted on the way: each item may make much out of little."""
    shaped: list[Json] = []
    left = payload.MAX_OUTPUT
    for at, item in enumerate(items):
        shaped.append(_shape(item, config, context, f"input[{at}]"))
        if config.map is not None:
            left -= payload.size(shaped[-1], limit=left)
            if left < 0:
                made = f"made more than {payload.MAX_OUTPUT:,} characters and values, with item {at} of {len(items)}"
                raise Permanent(f"map: the output is too large: it {made}; make less of each item", kind="output")
    return shaped


def _shape(value: Json, config: TransformConfig, context: Context, where: str) -> Json:
    if config.select is not None:
        value = {name: _at(value, path, context, where) for name, path in config.selected.items()}
    if config.rename is not None:
        value = _rename(_object(value, "rename", where), config.rename, where)
    if config.map is not None:
        value = _map(value, config.map, context.names)
    if config.set is not None:
        value = {**_object(value, "set", where), **config.set}
    return value


def _last(path: str) -> str:
    return path.rsplit(".", 1)[-1]


def _at(value: Json, path: str, context: Context, where: str) -> Json:
    """Return the value at a path of the step's input. If its first key is missing there, the run's input is read."""
    if isinstance(value, dict) and path in value:
        return value[path]
    holder = value
    if not _has(value, path) and where == "input" and _has(run_input := context.names.get("input"), path):
        holder = run_input
    if isinstance(holder, dict) and path in holder:
        return holder[path]
    return _descend(holder, path, where)


def _has(value: Json, path: str) -> bool:
    return isinstance(value, dict) and (path in value or path.split(".", 1)[0] in value)


def _descend(value: Json, path: str, where: str) -> Json:
    here, walked = value, where
    for key in path.split("."):
        if isinstance(here, dict) and key in here:
            here = here[key]
        elif isinstance(here, list) and key.isascii() and key.isdecimal() and len(key) < 10 and int(key) < len(here):
            here = here[int(key)]
        else:
            raise Permanent(
                f"select: {path!r} is missing: {walked} {_content(here)}",
                kind="missing",
                details={"path": path, "where": walked},
            )
        walked = f"{walked}.{key}"
    return here


def _content(value: Json) -> str:
    if isinstance(value, dict):
        keys = ", ".join(key[:40] for key in list(value)[:20])
        return f"has the keys {keys}" if keys else "is an empty object"
    if isinstance(value, list):
        return f"is a list of {len(value)} items"
    return "is no object"


def _object(value: Json, part: str, where: str) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise Permanent(f"{part}: {where} must be an object, but {_content(value)}", kind="missing")
    return value


def _rename(value: dict[str, Json], new_names: dict[str, str], where: str) -> Json:
    missing = [old for old in new_names if old not in value]
    if missing:
        raise Permanent(f"rename: {missing[0]!r} is missing: {where} {_content(value)}", kind="missing")
    return {new_names.get(key, key): item for key, item in value.items()}


def _map(value: Json, fields: dict[str, Any], names: Mapping[str, Json]) -> Json:
    """Evaluate each field. A name means, in this order: `item`, `input`, `steps` or `run`, a key of the item, any other
    name of the step."""
    own = value if isinstance(value, dict) else {}
    reserved = {name: names[name] for name in ("input", "steps", "run") if name in names}
    known = {**names, **own, **reserved, "item": value}
    return {name: _computed(source, known) for name, source in fields.items()}


def _computed(source: Any, known: Mapping[str, Json]) -> Json:
    """Evaluate a string as a bare expression; in an object or list only `{{ }}` is evaluated."""
    return expressions.evaluate(source, known) if isinstance(source, str) else expressions.render(source, known)
