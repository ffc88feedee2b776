"""Links that were not signed by this installation, or were changed."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator
from functools import partial
from uuid import UUID

from django.core import signing

from runs.control import approval_links
from runs.control.approval_links import Forged, Late, Link
from tests.hostile.case import Case

_KIND = "signed links"
_SALT = "stepwise.approval"


def _good() -> str:
    path = approval_links.path(Link((UUID(int=4711), "ask", -1), 1))
    return path.rstrip("/").rsplit("/", 1)[-1]


def _refused(token: str) -> str | None:
    try:
        found = approval_links.read(token)
    except (Forged, Late):
        return None
    return f"was read as {found}"


def _changed(at: int) -> str | None:
    """One character of a good token is another one."""
    token = _good()
    at %= len(token)
    other = "A" if token[at] != "A" else "B"
    changed = token[:at] + other + token[at + 1 :]
    try:
        found = approval_links.read(changed)
    except (Forged, Late):
        return None
    # Base64 has characters whose last bits mean nothing: the same signature may be written in two ways.
    return None if found == approval_links.read(token) else f"was read as {found}"


def _other_salt(salt: str) -> str | None:
    return _refused(signing.dumps([str(UUID(int=4711)), "ask", -1, 1], salt=salt))


def _other_subject(value: object) -> str | None:
    """It is signed for this purpose, but has something else inside: only this installation could make it."""
    try:
        approval_links.read(signing.dumps(value, salt=_SALT))
    except (Forged, Late):
        return None
    return "was read"


def _bomb() -> str:
    packed = zlib.compress(b"[" * 50_000_000, 9)
    return "." + base64.urlsafe_b64encode(packed).decode().rstrip("=") + ":1aaaaa:" + "x" * 43


def _cases() -> Iterator[Case]:
    for at in (0, 1, 5, 10, 20, 30, 40, 50, 60, 70, -1, -2, -5, -10, -20, -30, -43, -44, -45, -50):
        yield Case(f"link: character {at} is another", _KIND, partial(_changed, at))
    for name, token in {
        "nothing": "",
        "colons": ":::",
        "10,000 colons": ":" * 10_000,
        "1 MB": "a" * 1_000_000,
        "1 MB and two colons": "a" * 1_000_000 + ":b:c",
        "no signature": "WyJhIl0:1aaaaa:",
        "a time that is no time": "WyJhIl0:!!!:" + "x" * 43,
        "a time of 1 MB": "WyJhIl0:" + "9" * 1_000_000 + ":" + "x" * 43,
        "not ASCII": "ä:ö:ü",
        "a NUL": "a\x00:b:c",
        "a lone surrogate": "\ud800:b:c",
        "a line end": "a:b:c\n",
        "a compressed bomb": _bomb(),
    }.items():
        yield Case(f"link: {name}", _KIND, partial(_refused, token))
    for salt in (
        "",
        "django.core.signing",
        "stepwise",
        "stepwise.approval ",
        "Stepwise.approval",
        "stepwise.approval\x00",
    ):
        yield Case(f"link: signed for {salt!r}", _KIND, partial(_other_salt, salt))
    inside: tuple[object, ...] = (
        None, [], {}, "text", 7, [1], ["x", "ask", -1, 1], [str(UUID(int=1)), "ask", "x", 1], [[], [], [], []],
    )  # fmt: skip
    for one in inside:
        yield Case(f"link: signed, with {str(one)[:40]} inside", _KIND, partial(_other_subject, one))


CASES = list(_cases())
