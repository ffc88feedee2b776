"""Filters that encode and decode: JSON, base64, hashes, URLs."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from actions.expressions.values import Refused, charge, text_of, weigh
from actions.payload import PayloadError, loads

_ENCODINGS = ("hex", "base64", "base64url")


def fromjson(value: Any) -> Any:
    """Return the value that a JSON text has."""
    text = text_of(value, what="fromjson")
    # A value takes more memory than its text; and it is charged again when it is seen how much it has.
    charge(len(text))
    try:
        found = loads(text)
    except PayloadError as error:
        raise Refused(f"fromjson: the text {str(error)[:200]}") from None
    weigh(found)
    return found


def base64_encode(value: Any) -> str:
    """Return a text, as UTF-8, in base64."""
    return _encoded(_bytes(value, what="base64_encode"), "base64")


def base64url_encode(value: Any) -> str:
    """Return a text, as UTF-8, in base64 for URLs, without padding."""
    return _encoded(_bytes(value, what="base64url_encode"), "base64url")


def base64_decode(value: Any) -> str:
    """Return the UTF-8 text that is encoded in base64."""
    return _decoded(text_of(value, what="base64_decode"), what="base64_decode", alphabet=b"+/")


def base64url_decode(value: Any) -> str:
    """Return the UTF-8 text that is encoded in base64 for URLs, with or without padding."""
    return _decoded(text_of(value, what="base64url_decode"), what="base64url_decode", alphabet=b"-_")


def sha256(value: Any, encoding: Any = "hex") -> str:
    """Return the SHA-256 of a text, as UTF-8, in hex, base64 or base64url."""
    return _encoded(hashlib.sha256(_bytes(value, what="sha256")).digest(), _encoding(encoding, what="sha256"))


def hmac_sha256(value: Any, key: Any, encoding: Any = "hex") -> str:
    """Return the HMAC-SHA-256 of a text under a key, in hex, base64 or base64url."""
    signed = hmac.new(_bytes(key, what="hmac_sha256"), _bytes(value, what="hmac_sha256"), hashlib.sha256)
    return _encoded(signed.digest(), _encoding(encoding, what="hmac_sha256"))


def urldecode(value: Any) -> str:
    """Return a part of a URL with its %XX decoded; `+` stays."""
    text = text_of(value, what="urldecode")
    charge(len(text))
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise Refused("urldecode needs %XX that are UTF-8") from None


def _bytes(value: Any, *, what: str) -> bytes:
    text = text_of(value, what=what)
    charge(len(text))
    return text.encode()


def _encoding(name: Any, *, what: str) -> str:
    if name not in _ENCODINGS:
        raise Refused(f"{what} needs an encoding: {', '.join(_ENCODINGS)}")
    return str(name)


def _encoded(data: bytes, encoding: str) -> str:
    charge(2 * len(data))
    if encoding == "hex":
        return data.hex()
    if encoding == "base64url":
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    return base64.b64encode(data).decode()


def _decoded(text: str, *, what: str, alphabet: bytes) -> str:
    charge(len(text))
    padded = text if len(text) % 4 == 0 else text + "=" * (-len(text) % 4) * (alphabet == b"-_")
    try:
        found = base64.b64decode(padded, altchars=alphabet, validate=True).decode()
    except (binascii.Error, UnicodeError, ValueError):
        raise Refused(f"{what} needs base64 of a UTF-8 text") from None
    return found


FILTERS: dict[str, Callable[..., Any]] = {
    "base64_decode": base64_decode,
    "base64_encode": base64_encode,
    "base64url_decode": base64url_decode,
    "base64url_encode": base64url_encode,
    "fromjson": fromjson,
    "hmac_sha256": hmac_sha256,
    "sha256": sha256,
    "urldecode": urldecode,
}
