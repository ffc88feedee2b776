"""Cut lists into pages, newest first, by the time-ordered id: the same cost on every page."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

from django.db.models import BigAutoField, Model, QuerySet
from rest_framework.request import Request
from rest_framework.utils.urls import remove_query_param, replace_query_param

from runs.api.http.problems import bad

DEFAULT_LIMIT = 50
MAX_LIMIT = 1000
# PostgreSQL reads the rows that an offset passes over; `next` costs the same on every page.
MAX_OFFSET = 100_000
_INTEGER = re.compile(r"-?[0-9]+")
M = TypeVar("M", bound=Model)
Newest = Callable[[UUID | None, int], list[UUID]]


@dataclass(frozen=True)
class Page(Generic[M]):
    """The objects of one page, and the address of the next one if there is more.

    `limit` is the most objects that it may have, which need not be what was asked for; `offset` is None where the list
    takes none.
    """

    objects: list[M]
    next: str | None
    limit: int
    offset: int | None = None


def page(request: Request, *, of: QuerySet[M], newest: Newest | None = None, offsets: bool = False) -> Page[M]:
    """The page that `limit` and `cursor` ask for, or `offset` where the list takes it. Raises Refused (400). One query.

    `newest` answers which ids are on it, where that is cheaper than to look through `of`: (below this id or None, how
    many) -> ids.
    """
    limit = _limit(request.query_params.get("limit"))
    offset = _offset(request.query_params) if offsets else None
    cursor = request.query_params.get("cursor")
    before = None if cursor is None else _id(cursor, numbered=isinstance(of.model._meta.pk, BigAutoField))
    rows = of.order_by("-id")
    if newest is not None:
        rows = rows.filter(pk__in=newest(before if isinstance(before, UUID) else None, limit + 1))
    elif before is not None:
        rows = rows.filter(id__lt=before)
    first = offset or 0
    found = list(rows[first : first + limit + 1])
    if len(found) <= limit:
        return Page(found, None, limit, offset)
    here = remove_query_param(request.build_absolute_uri(), "offset") if offsets else request.build_absolute_uri()
    address = replace_query_param(here, "cursor", _cursor(found[limit - 1].pk))
    return Page(found[:limit], address, limit, offset)


def _offset(given: Mapping[str, str]) -> int:
    text = given.get("offset", "0")
    if not _INTEGER.fullmatch(text) or text.startswith("-"):
        raise bad("offset", f"must be a whole number from 0 to {MAX_OFFSET:,}, not {text[:40]!r}")
    if "cursor" in given and "offset" in given:
        raise bad("offset", "is given beside cursor, which says where the page begins; leave one of them out")
    if int(text[:10]) > MAX_OFFSET:
        raise bad("offset", f"is more than {MAX_OFFSET:,}; follow the address in `next`, or filter")
    return int(text[:10])


def _limit(given: str | None) -> int:
    if given is None:
        return DEFAULT_LIMIT
    if not _INTEGER.fullmatch(given):
        raise bad("limit", f"must be a whole number from 1 to {MAX_LIMIT}, not {given[:40]!r}")
    # A number of many digits is large enough without being read.
    return min(max(int(given[:10]), 1), MAX_LIMIT)


def _cursor(key: UUID | int) -> str:
    data = key.to_bytes(8, signed=True) if isinstance(key, int) else key.bytes
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _id(cursor: str, *, numbered: bool) -> UUID | int:
    try:
        data = base64.urlsafe_b64decode(cursor + "==")
        if numbered and len(data) == 8:
            return int.from_bytes(data, signed=True)
        return UUID(bytes=b"" if numbered else data)
    except (ValueError, binascii.Error):
        raise bad("cursor", "is no cursor; follow the address in `next` as it stands") from None
