"""The idempotency key of a request: in the header Idempotency-Key, or in the body as `idempotency_key`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import OpenApiParameter

from runs.api.http.problems import bad
from runs.schemas.requests import MAX_KEY

HEADER = "Idempotency-Key"
META = "HTTP_IDEMPOTENCY_KEY"
DESCRIBED = OpenApiParameter(
    HEADER, str, OpenApiParameter.HEADER, description="The same as `idempotency_key` in the body; it may be quoted."
)
# A bulk start adds a colon and the number of a line.
MAX_KEY_IN_BULK = MAX_KEY - 15


def header_key(meta: Mapping[str, Any], *, longest: int = MAX_KEY) -> str | None:
    """Return the key in the header, without the quotes that it may have; None without one. Raises Refused (400)."""
    given = meta.get(META)
    if given is None:
        return None
    key: str = given.strip()
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not (0 < len(key) <= longest and key.isascii() and key.isprintable()):
        raise bad(HEADER, f"must have 1 to {longest} printable ASCII characters; put any other key into the body")
    return key


def key_of(meta: Mapping[str, Any], *, body: str | None) -> str | None:
    """Return the key of a request, which may be in its header, its body, or both. Raises Refused (400)."""
    if META not in meta:
        return body
    key = header_key(meta)
    if body is not None and body != key:
        raise bad("idempotency_key", f"is not that of the header {HEADER}; send one of them, or the same key in both")
    return key
