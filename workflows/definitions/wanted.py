"""Say in plain words what a field of a Pydantic model accepts, with an example."""

from __future__ import annotations

import datetime
import types
import typing
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Annotated, Any, Literal, Union

import orjson
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from actions.durations import Seconds
from workflows.definitions.schema_forms import flow

_DURATION = typing.get_args(Seconds)[1]
_UNIONS = (Union, types.UnionType)
_NAMES: dict[Any, tuple[str, Any]] = {
    str: ("a text", "some text"),
    bool: ("true or false", True),
    int: ("a whole number", 3),
    float: ("a number", 1.5),
    dict: ("a mapping", {"name": "value"}),
    list: ("a list", ["a", "b"]),
    tuple: ("a list", ["a", "b"]),
    datetime.datetime: ("a time with its zone", "2030-01-31T12:00:00Z"),
}
_SEVERAL = {"a text": "texts", "a whole number": "whole numbers", "a number": "numbers", "a mapping": "mappings"}
_MOST_KEYS = 6


def annotation_at(model: type[BaseModel], parts: Sequence[str | int]) -> tuple[Any, FieldInfo | None] | None:
    """Return the annotation at a path of a model, and the field if the path ends at one; None if there is none."""
    here: Any = model
    field: FieldInfo | None = None
    for part in parts:
        found = next((one for each in _members(here) if (one := _inside(each, part)) is not None), None)
        if found is None:
            return None
        here, field = found
    return here, field


def keys_at(model: type[BaseModel], parts: Sequence[str | int]) -> list[str]:
    """Return the keys that a mapping at this path of a model may have."""
    found = annotation_at(model, parts)
    models = (each for each in _members(found[0]) if _is_model(each)) if found else iter(())
    return next((_keys(each) for each in models), [])


def in_words(annotation: Any) -> str:
    """Return what an annotation accepts: `a text, a number or a list of texts`. None is left out."""
    members = [*_members(annotation)]
    words = [*dict.fromkeys(word for each in members if not _is_list(each) for word in _words(each))]
    for each in members:
        if _is_list(each):
            inner = [*dict.fromkeys(word for part in _members(typing.get_args(each)[0]) for word in _words(part))]
            words += ["a list of these"] if len(words) > 1 and inner == words else _words(each)
    return _either(words)


def example(annotation: Any, field: FieldInfo | None, *, key: str | int | None, value: object) -> str:
    """Return `; write key: value` with a value that is accepted, or an empty text where none is known.

    Where a text is wanted, a small number or a boolean that was found is shown as a text.
    """
    first = next((each for each in _members(annotation) if each is not type(None)), None)
    if first is str and isinstance(value, (int, float)):
        if abs(value) >= 1_000_000 or isinstance(value, float):
            return "; write it in quotes"  # a number does not keep how it was written: +49, 1.10
        sample: Any = orjson.dumps(value).decode()
    else:
        sample = field.examples[0] if field is not None and field.examples else _example(first)
    if sample is None:
        return ""
    return f"; write {key}: {flow(sample)}" if isinstance(key, str) else f"; write {flow(sample)}"


def _is_list(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (list, tuple)


def _either(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _members(annotation: Any) -> Iterator[Any]:
    """Yield the members of a union, of unions in it, and of what is annotated; a duration is kept as it is."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        base, *more = typing.get_args(annotation)
        if _DURATION in more:
            yield Seconds
        else:
            yield from _members(base)
    elif origin in _UNIONS:
        for each in typing.get_args(annotation):
            yield from _members(each)
    else:
        yield annotation


def _inside(annotation: Any, part: str | int) -> tuple[Any, FieldInfo | None] | None:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if isinstance(part, str) and _is_model(annotation):
        fields = annotation.model_fields
        field = fields.get(part) or next((each for each in fields.values() if each.alias == part), None)
        return None if field is None else (_whole(field), field)
    if isinstance(part, str) and origin is dict:
        return arguments[1], None
    return (arguments[0], None) if isinstance(part, int) and _is_list(annotation) else None


def _whole(field: FieldInfo) -> Any:
    """Return a field's annotation as it was written: Pydantic takes `Annotated` of the outermost level apart."""
    return Seconds if _DURATION in field.metadata else field.annotation


def _is_model(annotation: Any) -> typing.TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and not typing.get_origin(annotation) and issubclass(annotation, BaseModel)


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _choices(annotation: Any) -> list[str]:
    if typing.get_origin(annotation) is Literal:
        return [str(each) for each in typing.get_args(annotation)]
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return [str(each.value) for each in annotation]
    return []


def _words(annotation: Any) -> list[str]:
    """Return the words for one member of a union: several for a choice, none for None."""
    if annotation is type(None):
        return []
    if annotation is Seconds:
        return ["a duration (seconds, or a text such as 30s, 5m, 2h, 1d)"]
    if choices := _choices(annotation):
        return choices
    if _is_model(annotation):
        keys = _keys(annotation)
        return [f"a mapping of {', '.join(keys[:_MOST_KEYS])}{' and more' if len(keys) > _MOST_KEYS else ''}"]
    origin, arguments = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
    name = _NAMES.get(origin, ("a value", None))[0]
    inner = in_words(arguments[1] if origin is dict else arguments[0]) if arguments else ""
    if inner in _SEVERAL:
        return [f"{name} of {_SEVERAL[inner]}"]
    return [f"{name} whose entries are {inner}" if inner and "value" not in inner else name]


def _example(annotation: Any) -> Any:
    if annotation is Seconds:
        return "30s"
    if choices := _choices(annotation):
        return choices[0]
    if _is_model(annotation):
        return None
    origin, arguments = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
    inner = [_example(each) for each in [*_members(arguments[0])][:1]] if arguments and origin in (list, tuple) else []
    return inner if inner and inner[0] is not None else _NAMES.get(origin, ("", None))[1]
