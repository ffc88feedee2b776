"""Types of config fields: texts, which numbers and booleans become, and whole numbers."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Discriminator, Field, Tag

from actions.payload import dumps

_SHOWN = 60


def as_text(value: object) -> object:
    """Return a text as it is, and a number or a boolean as JSON writes it: 5 gives `5`, true gives `true`.

    Raises ValueError for null, a list or an object: as a text it would be `null` or JSON, which nobody means.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, int, float)):
        return dumps(value)
    raise ValueError(f"must be a text, a number, true or false, not {described(value)}")


def described(value: object) -> str:
    """Return a value as a message shows it: what it is, and its beginning as JSON."""
    if value is None:
        return "null"
    what = {dict: "an object", list: "a list", bool: "a boolean", str: "a text"}.get(type(value), "a number")
    if isinstance(value, (dict, list)) and len(value) > 20:
        return f"{what} of {len(value)} entries"
    shown = dumps(value) if isinstance(value, (dict, list, str, bool, int, float)) else str(value)
    return f"{what}, {shown if len(shown) <= _SHOWN else f'{shown[:_SHOWN]}...'}"


def _whole(value: object) -> object:
    """Turn 2.0 into 2: a division in an expression gives a number with a point, also if it leaves no remainder."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Text = Annotated[str, BeforeValidator(as_text)]
Whole = Annotated[int, BeforeValidator(_whole)]


def _text_or_list(value: object) -> str:
    return "list" if isinstance(value, list) else "text"


# With a tag for each type, so that an error speaks of the type that was meant.
TextOrTexts = Annotated[
    Annotated[Text, Tag("text")] | Annotated[list[Text], Field(min_length=1, max_length=1000), Tag("list")],
    Discriminator(_text_or_list),
]
