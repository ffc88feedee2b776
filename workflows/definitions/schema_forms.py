"""Words that people write for types, and the JSON Schema that each of them means."""

from __future__ import annotations

from typing import Any

import orjson

from actions.nearest import nearest
from actions.paths import cut

TYPES = frozenset(["string", "number", "integer", "boolean", "object", "array", "null"])
# Marks inside words, which are taken out before words are compared.
MARKS = str.maketrans("", "", "_-$")
_NO_TEXTS = frozenset(["true", "false", "null", "yes", "no", "on", "off"])
# By the word in small letters, without `-` and `_`.
_WORDS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("str text varchar char secret password select", {"type": "string"}),
    ("int int32 int64 long bigint", {"type": "integer"}),
    ("float double decimal numeric num", {"type": "number"}),
    ("bool checkbox", {"type": "boolean"}),
    ("dict map mapping struct record", {"type": "object"}),
    ("list tuple set sequence", {"type": "array"}),
    ("none nil", {"type": "null"}),
    ("any json mixed", {}),
    ("email mail", {"type": "string", "format": "email"}),
    ("url uri link", {"type": "string", "format": "uri"}),
    ("uuid guid", {"type": "string", "format": "uuid"}),
    ("datetime timestamp", {"type": "string", "format": "date-time"}),
    ("date", {"type": "string", "format": "date"}),
    ("time", {"type": "string", "format": "time"}),
    ("duration", {"type": "string", "format": "duration"}),
)
SYNONYMS = {word: form for words, form in _WORDS for word in words.split()}


def form_of(value: object) -> dict[str, Any]:
    """Return the schema that a word, a mapping or an example value stands for; `email` is a text with that format."""
    if isinstance(value, dict):
        kind = value.get("type")
        return form_of(kind) if isinstance(kind, str) else {"type": "object"}
    if isinstance(value, str):
        return _form_of_word(value)
    if value is None:
        return {}
    names = {bool: "boolean", int: "integer", float: "number", list: "array"}
    return {"type": names.get(type(value), "string")}


def _form_of_word(text: str) -> dict[str, Any]:
    word = text[:40].strip().lower().removesuffix("?").replace("-", "").replace("_", "")
    if word.endswith("[]"):
        return {"type": "array", "items": _form_of_word(word[:-2])}
    if word in TYPES:
        return {"type": word}
    return SYNONYMS.get(word, {"type": "string"})


def type_hint(word: str) -> str:
    """Return what to write in place of a type that JSON Schema does not have."""
    form = _form_of_word(word)
    if "format" in form:
        return f"write type: {form['type']}, format: {form['format']}"
    if not form:
        return "leave `type` out for a value of any type"
    known = form["type"] != "string" or word.lower() in SYNONYMS.keys() | TYPES
    near = nearest(word, TYPES).removeprefix("; ")
    return f"write {form['type']}" if known else near or f"known are {', '.join(sorted(TYPES))}"


def flow(value: Any) -> str:
    """Return a value as one line of YAML, such as `{type: string}`."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_word(key)}: {flow(part)}' for key, part in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(flow, value))}]"
    return _word(value) if isinstance(value, str) else orjson.dumps(value).decode()


def _word(text: str) -> str:
    """Return a text as YAML: quoted, unless it is a plain word that YAML reads as a text."""
    text = cut(text)
    plain = text.translate(MARKS).isalnum() and not text[0].isdigit() and text.lower() not in _NO_TEXTS
    return text if plain else orjson.dumps(text, option=orjson.OPT_NON_STR_KEYS).decode()
