"""Bodies of forms: url-encoded, and multipart with files."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from typing import Annotated, NamedTuple, Self
from urllib.parse import urlencode

import pydantic
from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Tag, model_validator

from actions.texts import Text

URL_ENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
# What may not stand between the quotes of a name, as the web's forms write it (html.spec.whatwg.org).
_ESCAPED = {'"': "%22", "\r": "%0D", "\n": "%0A"}
_TO_ESCAPE = re.compile(r'["\r\n]')


class Part(NamedTuple):
    """A field of a multipart form; a file if it has a `filename`."""

    name: str
    content: bytes
    filename: str | None = None
    content_type: str | None = None


def _base64(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is not base64") from None
    return text


class File(BaseModel):
    """A file of a multipart form, as a config has it: `text`, or bytes in `base64`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    text: Text | None = pydantic.Field(default=None, description="What is in the file, as text")
    base64: Annotated[str, AfterValidator(_base64)] | None = pydantic.Field(
        default=None, description="Or as bytes in base64"
    )
    filename: Text | None = pydantic.Field(default=None, max_length=1000)
    type: Text | None = pydantic.Field(
        default=None, max_length=200, pattern=r"^[\x20-\x7e]+$", description="The Content-Type of the file"
    )

    @model_validator(mode="after")
    def _one_content(self) -> Self:
        if (self.text is None) == (self.base64 is None):
            raise ValueError("needs text or base64, and not both")
        return self

    def part(self, name: str) -> Part:
        """Return the file as a part of a form."""
        content = base64.b64decode(self.base64) if self.base64 is not None else (self.text or "").encode()
        return Part(name, content, self.filename, self.type)


def _text_or_file(value: object) -> str:
    return "file" if isinstance(value, (dict, File)) else "text"


def _member(value: object) -> str:
    return "list" if isinstance(value, list) else _text_or_file(value)


_One = Annotated[Annotated[Text, Tag("text")] | Annotated[File, Tag("file")], Discriminator(_text_or_file)]
# What a config may have for a name of a multipart form.
Field = Annotated[
    Annotated[Text, Tag("text")]
    | Annotated[File, Tag("file")]
    | Annotated[list[_One], pydantic.Field(min_length=1, max_length=1000), Tag("list")],
    Discriminator(_member),
]


def url_encoded(fields: Iterable[tuple[str, str]]) -> bytes:
    """Return the body of a form in which a name may come more than once."""
    return urlencode(list(fields)).encode()


def multipart(parts: Iterable[Part], *, seed: str) -> tuple[bytes, str]:
    """Return the body of a multipart form and its Content-Type. The same seed and parts give the same body."""
    known = list(parts)
    boundary = _boundary(known, seed)
    lines: list[bytes] = []
    for part in known:
        lines += [f"--{boundary}".encode(), _disposition(part)]
        if part.content_type is not None:
            lines.append(f"Content-Type: {part.content_type}".encode())
        lines += [b"", part.content]
    return b"\r\n".join([*lines, f"--{boundary}--".encode(), b""]), f"{MULTIPART}; boundary={boundary}"


def _disposition(part: Part) -> bytes:
    file = "" if part.filename is None else f'; filename="{_quoted(part.filename)}"'
    return f'Content-Disposition: form-data; name="{_quoted(part.name)}"{file}'.encode()


def _quoted(text: str) -> str:
    return _TO_ESCAPE.sub(lambda match: _ESCAPED[match.group()], text)


def _boundary(parts: list[Part], seed: str) -> str:
    """Return a text that is in none of the parts."""
    while True:
        boundary = f"stepwise-{hashlib.sha256(seed.encode()).hexdigest()[:32]}"
        if not any(boundary.encode() in part.content for part in parts):
            return boundary
        seed += "+"
