"""Attacks on who somebody is taken for: the address that failed logins count for, and the token of a request."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponse
from django.test import RequestFactory, override_settings

from project import headers, logins
from tests.hostile.case import Case
from workflows.models import ApiToken, Scope
from workflows.workspaces import permissions, tokens
from workflows.workspaces.permissions import Right, Way

_CONNECTION = "192.0.2.1"
_PROXIES = (0, 1, 2, 10)

# What is no address, in any number: none of them may count as one, or cost more than its length.
_NO_ADDRESSES = {
    "commas": "," * 200_000,
    "colons": ":" * 200_000,
    "brackets": "[" * 200_000,
    "closed brackets": "[]" * 100_000,
    "digits": "1" * 200_000,
    "dots": "." * 200_000,
    "blanks": " " * 200_000,
    "many words": "unknown," * 25_000,
    "a long number in brackets": f"[{'f' * 200_000}]",
    "a scope": f"fe80::1%{'x' * 200_000}",
    "digits of another script": "\u0661\u0662\u0663." * 20_000,
    "octal": "0300.0250.0001.0001",
    "hexadecimal": "0xc0a80101",
    "one number": "3232235777",
    "a NUL": "203.0.113.9\x00",
    "a line break": "203.0.113.9\r\nX-Forwarded-For: 203.0.113.8",
    "a lone surrogate": "\ud800",
    "a network": "203.0.113.0/24",
    "a name": "localhost",
    "a quoted address": '"203.0.113.9"',
    "the form of Forwarded": "for=203.0.113.9",
    "three numbers": "203.0.113",
    "five numbers": "203.0.113.9.1",
    "a number over 255": "203.0.113.256",
    "a leading zero": "203.0.113.09",
    "a sign": "-203.0.113.9",
    "a blank inside": "203.0. 113.9",
    "two addresses without a comma": "203.0.113.9 203.0.113.8",
    "two gaps": "2001:db8::1::2",
    "nine groups": "1:2:3:4:5:6:7:8:9",
    "a group of five digits": "2001:db80f::1",
    "a bad IPv4 inside": "::ffff:203.0.113.999",
    "an open bracket": "[",
    "brackets with a word": "[unknown]:80",
    "only a port": ":80",
}
_OWN_WORDS = (
    "127.0.0.1",
    "203.0.113.7",
    "::1",
    "[::1]:80",
    "unknown",
    "x" * 50_000,
    ", ".join(["203.0.113.7"] * 20_000),
)


def _counted(forwarded: str, *, proxies: int) -> str | None:
    with override_settings(TRUSTED_PROXIES=proxies):
        return logins.address_of(
            RequestFactory().get("/", headers={"X-Forwarded-For": forwarded}, REMOTE_ADDR=_CONNECTION)
        )


def _no_address(forwarded: str, proxies: int) -> str | None:
    found = _counted(forwarded, proxies=proxies)
    return None if found == _CONNECTION else f"{forwarded[:40]!r} counts as {found}"


def _own_word(word: str, proxies: int) -> str | None:
    """The client writes an address of its own choice to the left of what the proxies saw."""
    seen = [f"198.51.100.{n}" for n in range(1, proxies + 1)]
    found = _counted(", ".join([word, *seen]), proxies=proxies)
    expected = seen[0] if seen else _CONNECTION
    return None if found == expected else f"{word[:40]!r} counts as {found} instead of {expected}"


def _one_network(number: int) -> str | None:
    """Addresses of one customer's network of 64 bits may not count apart."""
    found = {_counted(f"2001:db8:1:2:{n * number % 65536:x}::{n:x}", proxies=1) for n in range(500)}
    return None if found == {"2001:db8:1:2::"} else f"{len(found)} addresses count apart"


def _forged_scopes(scopes: list[str], right: Right) -> str | None:
    """A row with scopes that are none, which no form and no constraint lets in, opens nothing."""
    token = ApiToken(scopes=scopes)
    token.workspace_id = settings.INSTALLATION_ID
    caller = permissions.over_api(None, token)  # type: ignore[arg-type]  # nobody
    opened = permissions.may(caller, Way("hostile", right), workspace=token.workspace_id)
    return f"{scopes!r} opens {right.name}" if opened else None


def _long_token(text: str) -> str | None:
    return None if len(tokens.digest(text)) == 64 else "a digest of another length"


def _strict(path: str) -> str | None:
    """A path that only looks like the admin's may not loosen the policy."""

    class Somebody:
        is_active = is_staff = True

    request = HttpRequest()
    request.path = path
    request.user = Somebody()  # type: ignore[assignment]  # what is looked at
    answer = headers.ContentSecurityPolicy(lambda _: HttpResponse())(request)
    return "inline scripts are allowed" if "unsafe" in answer.headers["Content-Security-Policy"] else None


def _cases(kind: str, found: dict[str, Callable[[], str | None]]) -> list[Case]:
    return [Case(f"{kind}: {name}", kind, attack) for name, attack in found.items()]


_NO_SCOPES: tuple[list[str], ...] = (
    ["READ"],
    ["read "],
    ["*"],
    ["admin"],
    ["start,read"],
    ["read\x00"],
    [],
    ["st" + "art" * 100_000],
)
_PATHS = (
    "/admin",
    "/ADMIN/",
    "//admin/",
    "/approve/admin/",
    "/api/v1/../admin/",
    "/%61dmin/",
    " /admin/",
    "/admin\x00/",
)

CASES: list[Case] = [
    *_cases(
        "an address that is none",
        {
            f"{name}, {proxies} proxies": partial(_no_address, text, proxies)
            for name, text in _NO_ADDRESSES.items()
            for proxies in _PROXIES
        },
    ),
    *_cases(
        "an address of one's own choice",
        {
            f"{word[:20]} ({len(word)}), {proxies} proxies": partial(_own_word, word, proxies)
            for word in _OWN_WORDS
            for proxies in _PROXIES
        },
    ),
    *_cases("many addresses of one network", {f"in steps of {n}": partial(_one_network, n) for n in (0, 1, 257)}),
    *_cases(
        "a scope that is none",
        {
            f"{str(scopes)[:30]} for {right.name}": partial(_forged_scopes, scopes, right)
            for scopes in _NO_SCOPES
            for right in Right
            if permissions.SCOPE_OF[right].value not in scopes
        },
    ),
    *_cases(
        "a long token",
        {
            f"{name}": partial(_long_token, text)
            for name, text in (("10 MB", "x" * 10**7), ("surrogates", "\ud800" * 10**6))
        },
    ),
    *_cases("a path like the admin's", {repr(path): partial(_strict, path) for path in _PATHS}),
]
assert {scope for scopes in _NO_SCOPES for scope in scopes} & {*Scope.values} == {Scope.ADMIN.value}
