"""Find what in a JSON Schema would be stored without effect: words that it does not have, and words misplaced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from workflows.definitions.complaints import shown
from workflows.definitions.errors import Problem, join_path
from workflows.definitions.schema_forms import MARKS, SYNONYMS, TYPES, flow, form_of, type_hint

_OBJECTS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTS = ("prefixItems", "allOf", "anyOf", "oneOf")
_SINGLE = (
    *("items", "additionalProperties", "additionalItems", "not", "if", "then", "else", "contains", "propertyNames"),
    *("unevaluatedProperties", "unevaluatedItems", "contentSchema"),
)
# Words that describe and check nothing. The last four are OpenAPI's.
_NOTES = frozenset(
    (
        "title",
        "description",
        "default",
        "examples",
        "$comment",
        "deprecated",
        "readOnly",
        "writeOnly",
        "example",
        "discriminator",
        "xml",
        "externalDocs",
    )
)
# What limits values of one type only, and says nothing about others.
_OF_TYPE = {
    **dict.fromkeys(("minLength", "maxLength", "pattern"), "string"),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), "number"),
    **dict.fromkeys(("properties", "required", "minProperties", "maxProperties", "additionalProperties"), "object"),
    **dict.fromkeys(("items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains"), "array"),
}
_CHECKING = frozenset(
    (
        *_OBJECTS,
        *_LISTS,
        *_SINGLE,
        *_OF_TYPE,
        "type",
        "enum",
        "const",
        "format",
        "dependentRequired",
        "dependencies",
        "minContains",
        "maxContains",
        "contentEncoding",
        "contentMediaType",
        "$schema",
        "$id",
        "id",
        "$ref",
        "$anchor",
        "$dynamicRef",
        "$dynamicAnchor",
        "$recursiveRef",
        "$recursiveAnchor",
        "$vocabulary",
    )
)
_FORMATS = frozenset(
    (
        "date",
        "date-time",
        "time",
        "duration",
        "email",
        "idn-email",
        "hostname",
        "idn-hostname",
        "ipv4",
        "ipv6",
        "uri",
        "uri-reference",
        "uri-template",
        "iri",
        "iri-reference",
        "uuid",
        "regex",
        "json-pointer",
        "relative-json-pointer",
    )
)
_NO_LIST = "lists names, and stands beside `properties`; write"
# So many keys of one schema are compared with the words of JSON Schema, in every spelling.
_MOST_LOOKS = 50
# So many warnings are given at most for one schema.
MOST_WARNINGS = 20


def word_problems(schema: Mapping[str, Any], *, path: str) -> Iterator[Problem]:
    """Yield a problem for each schema without any word of JSON Schema, and for what a common slip wrote in its place.

    Keys that begin with `x-` belong to whoever wrote them, and an empty schema accepts everything on purpose.
    """
    for trail, part in _schemas(schema):
        where = join_path(path, *trail)
        if not isinstance(part, dict):
            if not isinstance(part, bool):
                yield Problem(where, f"must be a schema, not {shown(part)}; write {flow(form_of(part))}")
            continue
        own = [key for key in part if not key.startswith("x-")]
        if own and (_CHECKING | _NOTES).isdisjoint(own):
            hint = next((word for key in own[:_MOST_LOOKS] if (word := _meant(key))), None)
            right = f"did you mean {hint!r}?" if hint else f"write {_form(part, own)}"
            yield Problem(where, f"has no word of JSON Schema, so it would check nothing; {right}")
        elif own and not trail and _CHECKING.isdisjoint(own) and all(_is_type(part[key]) for key in own):
            yield Problem(where, f"names types, but only words that check nothing; write {_form(part, own)}")
        else:
            yield from _slips(part, path=where)


def word_warnings(schema: Mapping[str, Any], *, path: str) -> Iterator[str]:
    """Yield a warning for each single word that has no effect: an unknown one, or one for values of another type."""
    for trail, part in _schemas(schema):
        if isinstance(part, dict):
            for key, message in _idle(part):
                yield f"{join_path(path, *trail, key)} {message}"


def _schemas(root: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Yield each subschema with the keys that lead to it, in document order; also what only stands in its place."""
    pending: list[tuple[tuple[str | int, ...], Any]] = [((), root)]
    while pending:
        trail, part = pending.pop()
        yield trail, part
        if isinstance(part, dict):
            pending.extend(reversed([(trail + end, inner) for end, inner in _inside(part)]))


def _inside(schema: dict[str, Any]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    for word, value in schema.items():
        if word in _OBJECTS and isinstance(value, dict):
            yield from (((word, name), inner) for name, inner in value.items())
        elif (word in _LISTS or word == "items") and isinstance(value, list):
            yield from (((word, at), inner) for at, inner in enumerate(value))
        elif word in _SINGLE:
            yield (word,), value


def _is_type(value: object) -> bool:
    """Whether a value stands for a type: `string`, or a mapping such as `{type: string, required: true}`."""
    if isinstance(value, dict):
        return isinstance(value.get("type"), str)
    return isinstance(value, str) and value in TYPES | {"str", "int", "bool", "text"}


def _form(part: Mapping[str, Any], names: list[str]) -> str:
    """Return the schema that was probably meant, with the first three of these properties."""
    few = names[:3]
    form: dict[str, Any] = {"type": "object", "properties": {name: form_of(part[name]) for name in few}}
    required = [name for name in few if isinstance(part[name], dict) and part[name].get("required") is True]
    return flow({**form, "required": required} if required else form) + (", and so on" if len(names) > 3 else "")


def _slips(part: dict[str, Any], *, path: str) -> Iterator[Problem]:
    """Yield what is wrong in a schema in one of the usual ways, with the right form."""
    kinds = part.get("type")
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        if isinstance(kind, str) and kind not in TYPES:
            yield Problem(f"{path}.type", f"is no type of JSON Schema: {shown(kind)}; {type_hint(kind)}")
    required, properties = part.get("required"), part.get("properties")
    if isinstance(required, bool):
        name = path.rpartition(".")[2]
        yield Problem(f"{path}.required", f"{_NO_LIST} required: [{name}] there")
    elif isinstance(required, str):
        yield Problem(f"{path}.required", f"must be a list of names, not {shown(required)}; write [{required[:40]}]")
    if "properties" in part and not isinstance(properties, dict):
        example = "write them as {email: {type: string}}"
        yield Problem(
            f"{path}.properties", f"must be a mapping of names to schemas, not {shown(properties)}; {example}"
        )


def _idle(part: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (word, why it has no effect) for the words of one schema."""
    kinds = part.get("type")
    types = {kinds} if isinstance(kinds, str) else set(kinds) if isinstance(kinds, list) else TYPES
    types = types | ({"number"} if "integer" in types else set())
    for key, value in part.items():
        if key == "nullable":
            yield key, "is a word of OpenAPI and changes nothing; write type: [string, 'null']"
        elif key not in _CHECKING | _NOTES and not key.startswith("x-"):
            yield key, f"is no word of JSON Schema and checks nothing{_unknown_hint(key, value)}"
        elif key == "format" and isinstance(value, str) and value not in _FORMATS:
            yield key, f"is {shown(value)}, which no check knows, so it checks nothing{_format_hint(value)}"
        elif key in _OF_TYPE and types <= TYPES and _OF_TYPE[key] not in types:
            yield key, f"limits only values of the type {_OF_TYPE[key]}, which this one is not"


def _unknown_hint(key: str, value: object) -> str:
    if word := _meant(key):
        return f"; did you mean {word!r}?"
    if _is_type(value) or isinstance(value, dict):
        return f"; if it is a property, write it under `properties`: {flow({key: form_of(value)})}"
    return "; remove it, or call it x-..."


def _meant(key: str) -> str | None:
    """Return the word that a key spells in another way. By letters, not by similarity: a property has any name."""
    letters = key.translate(MARKS).lower()
    forms = ((word, word.lower()) for word in sorted(_CHECKING | _NOTES))
    return next((word for word, low in forms if letters in (low, f"{low}s", low.removesuffix("d"))), None)


def _format_hint(value: str) -> str:
    form = SYNONYMS.get(value.lower().replace("-", "").replace("_", ""), {})
    if "format" in form:
        return f"; did you mean {form['format']!r}?"
    return f"; known are {', '.join(sorted(_FORMATS))}, and a `pattern` checks anything else"


def places_of_defaults(schema: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], dict[str, Any]]]:
    """Yield each subschema that has a `default`, with the keys that lead to it."""
    return ((trail, part) for trail, part in _schemas(schema) if isinstance(part, dict) and "default" in part)
