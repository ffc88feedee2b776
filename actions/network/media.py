"""What a response's body is: its media type, its charset, and whether it can be read as text."""

from __future__ import annotations

import base64
import codecs
import re

from actions.network import bodies

_JSON = re.compile(r"[^/]+/(?:json|[^/]+\+json)")
_TEXT = re.compile(
    r"text/.*|[^/]+/[^/]+\+(?:xml|yaml)|application/(?:xml|xhtml\+xml|javascript|ecmascript|x-javascript|yaml|x-yaml"
    r"|toml|sql|graphql|x-www-form-urlencoded|x-ndjson|ndjson|jsonl|json-seq|problem\+xml)"
)
_BINARY = re.compile(
    r"(?:image|audio|video|font)/.*|application/(?:pdf|zip|gzip|x-gzip|x-tar|x-7z-compressed|x-bzip2|zstd|wasm|msword"
    r"|vnd\.ms-.*|vnd\.openxmlformats-.*|vnd\.oasis\..*|protobuf|x-protobuf|grpc.*|cbor|msgpack|x-msgpack|avro.*)"
)
# Codings that were not asked for: a body in one of them cannot be read here. (Some servers name what is none.)
_CODINGS = frozenset(
    {"br", "zstd", "compress", "x-compress", "dcb", "dcz", "exi", "pack200-gzip", "lzma", "xz", "bzip2"}
)

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def media_type(content_type: str) -> str:
    """Return the media type of a Content-Type in lower case, without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def is_json(media: str) -> bool:
    """Whether this media type is JSON."""
    return _JSON.fullmatch(media) is not None


def is_text(media: str) -> bool:
    """Whether this media type is text, whatever its bytes are."""
    return _TEXT.fullmatch(media) is not None


def is_binary(media: str) -> bool:
    """Whether this media type is never text."""
    return _BINARY.fullmatch(media) is not None and not is_text(media)


def unread_coding(content_encoding: str) -> str | None:
    """Return the first coding of a Content-Encoding that was not asked for and cannot be undone, or None."""
    return next((name for one in content_encoding.lower().split(",") if (name := one.strip()) in _CODINGS), None)


def strict_text(body: bytes, content_type: str) -> str | None:
    """Return a body as text in the charset that it names, else in UTF-8; None if it has other bytes, or a NUL."""
    charset = bodies.charset(content_type)
    if charset == "utf-8" and body.startswith(_UTF_16):
        charset = "utf-16"
    try:
        text = body.decode("utf-8-sig" if charset == "utf-8" else charset)
    except UnicodeError:
        return None
    return None if "\0" in text else text


def json_source(body: bytes, content_type: str) -> bytes | str | None:
    """Return the JSON in a body: as it is if it is in UTF-8, else as text in its charset; None if it is in neither."""
    in_utf_8 = bodies.charset(content_type) == "utf-8" and not body.startswith(_UTF_16)
    return body if in_utf_8 else strict_text(body, content_type)


def encoded(text: str, content_type: str) -> bytes:
    """Return a text in the charset that a Content-Type names, else in UTF-8.

    Raises ValueError for a charset that is none of the web's, and for a character that it does not have.
    """
    charset = bodies.charset(content_type, unknown=None)
    if charset is None:
        raise ValueError(f"the charset of {content_type[:100]!r} is not known; write charset=utf-8")
    try:
        return text.encode(charset)
    except UnicodeEncodeError as error:
        wrong = text[error.start : error.start + 1]
        raise ValueError(f"the charset {charset} does not have {wrong!r} at position {error.start}") from None


def as_base64(body: bytes) -> str:
    """Return the bytes of a body in base64."""
    return base64.b64encode(body).decode()
