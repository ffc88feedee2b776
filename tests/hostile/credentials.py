"""Attacks on credentials: where they are sent, what they refer to, how they come back, and what a definition reads."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote, quote_plus

from django.test import override_settings

from actions.base import Permanent
from actions.credentials import Credential, parse_host
from actions.network import bind, destinations, sending
from actions.network.client import Call, _redirected, request
from actions.network.urls import parse
from actions.redaction import Redactor
from tests.hostile.case import Case
from workflows.credentials import kinds, references
from workflows.definitions.errors import DefinitionError
from workflows.publishing.validate import validate

_SECRET = "cAnary-7d1f+/=%&?# \"'<ü>\\x"
_MARK = "[credential crm]"
_HOSTS = ("api.example.com", "api.example.com:8443", "*.example.org", "http://crm.local:8000", "[2606:4700::1111]")

# URLs that look like a host of the credential, or go another way to another one.
_ELSEWHERE = (
    "https://api.example.com.evil.test/", "https://evil.test/api.example.com", "https://evil.test/?api.example.com",
    "https://evil.test/#@api.example.com", "https://api.example.com:444/", "https://api.example.com:80/",
    "http://api.example.com/", "http://api.example.com:443/", "http://api.example.com:8443/", "https://example.com/",
    "https://example.org/", "https://a.example.org.evil.test/", "https://aexample.org/", "https://a.example.org:8443/",
    "https://crm.local/", "https://crm.local:8000/", "http://crm.local/", "http://crm.local:8001/",
    "http://CRM.LOCAL.:80/", "https://xapi.example.com/", "https://api-example.com/", "https://api.example.co/",
    "https://api.example.comm/", "https://api%2eexample.com.evil.test/", "https://127.0.0.1/", "https://[::1]/",
    "https://[2606:4700::1112]/", "https://[2606:4700::1111]:8443/", "https://0x7f000001/", "https://localhost/",
    "https://xn--api-example.com/", "https://api.example.com@evil.test/", "https://api.example.com%40evil.test/",
    "https://api.example.com\\@evil.test/", "https://api.example.com;evil.test/", "//api.example.com/",
    "ftp://api.example.com/", "file:///etc/passwd", "https:///api.example.com/", "https://\u24d0pi.evil.test/",
)  # fmt: skip
_THERE = (
    "https://api.example.com/", "https://API.EXAMPLE.COM/x?y#z", "https://api.example.com:443/",
    "https://api.example.com:8443/", "https://a.example.org/", "https://a.b.example.org/", "http://crm.local:8000/",
    "https://[2606:4700:0:0::1111]/",
)  # fmt: skip
_NO_HOSTS = (
    "", "*", "*.", "*.com", "*.*.com", "a.*.com", "*a.com", "**.example.com", "https://", "https://api.example.com/",
    "https://api.example.com/x", "ftp://api.example.com", "api.example.com:0", "api.example.com:65536",
    "api.example.com:99999", "api.example.com:-1", "api.example.com:x", "u:p@api.example.com", "api.example.com,b",
    "api example.com", "api.example.com\n", "api.example.com\0", "-a.example.com", "a..example.com", ".example.com",
    "[::1", "::1", "[::g]", "a" * 300, "a." * 130, "*." * 100 + "example.com", "https://*", "http://[::1]:0",
)  # fmt: skip
_REFERENCES = (
    "env:SECRET_KEY", "env:DATABASE_URL", "env:REDIS_URL", "env:CREDENTIAL_KEYS", "env:PATH", "env:HOME", "env:NONE",
    "env:", "env:*", "env:crm", "env:CRM\0", "env:CRM\n", "env: CRM", "env:CRM=x", "env:" + "A" * 100_000, "file:",
    "file:/", "file:/etc/passwd", "file:/proc/self/environ", "file:/dev/stdin", "file:/dev/zero", "file:~/.ssh/id_rsa",
    "file:inside/a", "file:./inside/a", "file:{0}/beside/a", "file:{0}/inside", "file:{0}/inside/", "file:{0}/insidea",
    "file:{0}/inside/../beside/a", "file:{0}/inside/./../beside/a", "file:{0}/inside/link", "file:{0}/inside/links/a",
    "file:{0}/inside/\0a", "file:{0}/inside/a\n", "file://{0}/beside/a", "file:{0}/INSIDE/a", "file:" + "/a" * 50_000,
    "file:{0}/inside/" + "../" * 1000 + "etc/passwd", "file:{0}\\inside\\a", "file:%2fetc%2fpasswd",
)  # fmt: skip


def _credential(secret: str = _SECRET) -> Credential:
    hosts = tuple(map(parse_host, _HOSTS))
    return Credential("1", "crm", "bearer", {"token": secret}, hosts, frozenset([secret]))


def _sent(url: str) -> str | None:
    """Try to send a request with the credential there; nothing may be resolved or connected to."""
    with sending("w"):
        bind(_credential())
        try:
            request(Call("GET", url), timeout_seconds=0.2)
        except Permanent as refused:
            return None if refused.kind in ("blocked", "url") and _SECRET not in str(refused) else f"{refused.kind}"
        except Exception as error:
            return f"went on to {type(error).__name__}"
    return "it was sent"


def _permitted(url: str) -> str | None:
    with sending("w"):
        bind(_credential())
        return None if destinations.permits(parse(url)) else "its own host is refused"


def _redirect(url: str, status: int, with_body: bool) -> str | None:
    """Follow a redirect there: no header with the secret may go along, and no body."""
    headers = dict.fromkeys(("Authorization", "User-Agent", "Accept", "X-Api-Key", "Idempotency-Key"), f"x {_SECRET}")
    source = parse("https://api.example.com/a")
    body = b"secret" if with_body else None
    call = Call("PUT", source.text, {**headers, "Cookie": [_SECRET]}, content=body, forward_body=True)
    with sending("w"):
        bind(_credential())
        try:
            sent = _redirected(call, source, parse(url), status)
        except (Permanent, ValueError):
            return None
        if sent.content and not destinations.permits(parse(url)):
            return "the body went along"
        return f"{sent.headers} went along" if _SECRET in str(sent.headers) else None


def _no_host(text: str) -> str | None:
    try:
        return f"means {parse_host(text)}"
    except ValueError:
        return None


def _refers(reference: str) -> str | None:
    with TemporaryDirectory() as directory:
        inside, beside = Path(directory, "inside"), Path(directory, "beside")
        for one in (inside, beside):
            one.mkdir()
            (one / "a").write_text(_SECRET)
        (inside / "link").symlink_to(beside / "a")
        (inside / "links").symlink_to(beside)
        listed = [("w", f"file:{inside}"), ("w", "env:CRM")]
        with override_settings(CREDENTIAL_REFERENCES=listed, CREDENTIAL_ENVIRONMENT_SECRETS={"CRM": _SECRET}):
            try:
                found = references.resolved(reference.replace("{0}", directory), workspace="w")
            except references.Unreadable as refused:
                return None if str(refused) == references.UNLISTED else str(refused)
            return f"gave {len(found)} characters"


def _echoes() -> dict[str, str]:
    """The secret as servers and libraries write it."""
    data, found = _SECRET.encode(), {}
    found["as it is"] = _SECRET
    for before in range(6):
        encoded = base64.b64encode(b"u" * before + data + b"t" * (before % 2))
        found[f"base64 behind {before}"] = encoded.decode()
        found[f"base64url behind {before}"] = base64.urlsafe_b64encode(b"u" * before + data).decode().rstrip("=")
    found |= {"percent": quote(_SECRET), "percent of all": quote(_SECRET, safe=""), "plus": quote_plus(_SECRET)}
    found |= {"percent in small letters": quote(_SECRET).lower().replace(_SECRET[:11].lower(), _SECRET[:11])}
    for keeps in ("+/", "=&", "?#", "%", " ", "\"'", "<>"):
        found[f"percent but {keeps}"] = "".join(
            one if one in keeps or one.isalnum() else "".join(f"%{byte:02X}" for byte in one.encode())
            for one in _SECRET
        )
    found |= {"json": json.dumps(_SECRET), "json of json": json.dumps(json.dumps(_SECRET)), "repr": repr(_SECRET)}
    found |= {"json without ascii": json.dumps(_SECRET, ensure_ascii=False), "repr of bytes": repr(data)}
    found |= {"html": html.escape(_SECRET), "hexadecimal": data.hex(), "HEXADECIMAL": data.hex().upper()}
    found |= {f"the first {n}": _SECRET[:n] for n in range(6, len(_SECRET), 4)}
    found |= {f"the last {n}": _SECRET[-n:] for n in range(6, len(_SECRET), 4)}
    found |= {"cut as a URL": f"https://h/{_SECRET.partition('?')[0]} failed"}
    return found


def _echoed(text: str, make: Callable[[str], Any]) -> str | None:
    told = str(Redactor([(_MARK, _SECRET)]).json(make(text)))
    return None if _MARK in told and text not in told and _SECRET[:10] not in told else f"left {told[:200]}"


def _as_text(text: str) -> Any:
    return text


def _as_key(text: str) -> Any:
    return {"a": [{text: 1}]}


def _dear(secret: str, text: str) -> str | None:
    Redactor([(_MARK, secret)]).text(text)
    return None


def _value(kind: str, values: dict[str, Any]) -> str | None:
    stored, problems = kinds.checked(kinds.find(kind), values)
    told = "; ".join(map(str, problems))
    if not problems:
        return f"{stored} is stored"
    return "a problem shows a value" if any(len(str(one)) > 6 and str(one) in told for one in values.values()) else None


def _published(step: dict[str, Any], more: dict[str, Any]) -> str | None:
    usual = {"id": "a", "action": "http_request", "with": {"url": "https://a.test/"}}
    document: Any = {"name": "w", "steps": [{**usual, **step}], **more}
    try:
        validate(document)
    except DefinitionError:
        return None
    return "it was accepted"


_READS = (
    "secrets.crm.token",
    "secrets['crm'].token",
    "secrets",
    "secrets.crm",
    "secrets|tojson",
    "secrets.crm.token|length",
)
_STEPS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    **{f"if {read}": ({"if": read}, {}) for read in _READS},
    **{f"output {read}": ({}, {"output": f"{{{{ {read} }}}}"}) for read in _READS},
    **{f"list {read}": ({"for_each": {"items": f"{{{{ {read} }}}}"}}, {}) for read in _READS},
    **{f"pure {read}": ({"action": "transform", "with": {"set": {"a": f"{{{{ {read} }}}}"}}}, {}) for read in _READS},
    **{f"bare {read}": ({"action": "condition", "with": {"expression": read}}, {}) for read in _READS},
    **{f"key {read}": ({}, {"concurrency": {"limit": 1, "key": f"{{{{ {read} }}}}"}}) for read in _READS},
    **{
        f"computed {read}": ({"with": {"url": "https://a.test/", "body": f"{{{{ {read} }}}}"}}, {})
        for read in (
            *_READS[2:],
            "secrets.crm[input.x]",
            "secrets[input.x].token",
            "secrets.crm.token ~ ''",
            "[secrets]",
        )
    },
    **{
        f"name {name}": ({"with": {"url": "https://a.test/", "credential": name}}, {})
        for name in ("{{ input.c }}", "crm{{ input.c }}", "{{ secrets.crm.token }}", 5, ["crm"], {"name": "crm"})
    },
}
_VALUES: dict[str, tuple[str, dict[str, Any]]] = {
    "short": ("bearer", {"token": "1234567"}),
    "one character": ("bearer", {"token": "a" * 100}),
    "blanks": ("bearer", {"token": " " * 20}),
    "a header": ("bearer", {"token": "abcdefgh\r\nX-Admin: 1"}),
    "a name with a header": ("api_key", {"name": "X\r\nY", "value": "abcdefgh1"}),
    "a name with a colon": ("api_key", {"name": "X:", "value": "abcdefgh1"}),
    "a user with a colon": ("basic", {"username": "a:b", "password": "abcdefgh1"}),
    "NUL": ("fields", {"a": "abcdefgh\0"}),
    "long": ("fields", {"a": "abcdefgh" * 10_000}),
    "many": ("fields", {f"f{n}": "abcdefgh1" for n in range(100_000)}),
    "names": ("fields", {"a.b": "abcdefgh1", "": "abcdefgh2", "a" * 100: "abcdefgh3"}),
    "an object": ("bearer", {"token": {"a": "abcdefgh1"}}),
    "a token URL without TLS": (
        "oauth2_client_credentials",
        {"token_url": "http://idp.test/", "client_id": "me", "client_secret": "abcdefgh1"},
    ),
    "a token URL with a user": (
        "oauth2_client_credentials",
        {"token_url": "https://u:p@idp.test/", "client_id": "me", "client_secret": "abcdefgh1"},
    ),
    "a mail server with a line": ("smtp", {"host": "a\r\nb", "password": "abcdefgh1"}),
    "a port": ("postgresql", {"host": "h", "port": 0, "database": "d", "username": "u", "password": "abcdefgh1"}),
}
_LONG = "".join(chr(33 + number % 90) for number in range(16_000))
_DEAR = {
    "the first half again and again": ("abcdefgh" * 4, "abcdefgh" * 100_000 + "abcd"),
    "backslashes": ("\\" * 40 + "abc1", "\\" * 50_000),
    "percent signs": ("%" * 20 + "abc1", "%25" * 100_000 + "%" * 100_000),
    "blanks": ("a b c d e f g h", " +%20" * 100_000),
    "a long secret": (_LONG, _LONG[:-1] * 50),
    "many lines": ("\n".join(f"line {number:06}" for number in range(1000)), "line 000" * 50_000),
}

_SENT, _REDIRECTS, _COME_BACK = "credentials sent elsewhere", "redirects with credentials", "canaries that come back"
_TARGETS = ("https://evil.test/", "https://api.example.com.evil.test/", "http://api.example.com/", _THERE[3])
_STATUSES = ((301, False), (302, True), (303, True), (307, True), (308, True))


def _cases(kind: str, attack: Callable[..., str | None], given: dict[str, tuple[Any, ...]]) -> list[Case]:
    return [Case(f"credential: {name}", kind, partial(attack, *one)) for name, one in given.items()]


def _named(what: str, texts: tuple[str, ...]) -> dict[str, tuple[Any, ...]]:
    return {f"{what} {text[:40]!a} {len(text)}": (text,) for text in texts}


CASES = [
    *_cases(_SENT, _sent, _named("sent to", _ELSEWHERE)),
    *_cases(_SENT, _permitted, _named("its own host", _THERE)),
    *_cases(_REDIRECTS, _redirect, {f"{one[0]} to {url}": (url, *one) for url in _TARGETS for one in _STATUSES}),
    *_cases("hosts of credentials", _no_host, _named("host", _NO_HOSTS)),
    *_cases("references of credentials", _refers, _named("reference", _REFERENCES)),
    *_cases(_COME_BACK, _echoed, {f"echoed {how} as a text": (text, _as_text) for how, text in _echoes().items()}),
    *_cases(_COME_BACK, _echoed, {f"echoed {how} as a key": (text, _as_key) for how, text in _echoes().items()}),
    *_cases(_COME_BACK, _dear, {f"dear, {name}": given for name, given in _DEAR.items()}),
    *_cases("values of credentials", _value, {f"value, {name}": given for name, given in _VALUES.items()}),
    *_cases("secrets in definitions", _published, {f"read, {name}": given for name, given in _STEPS.items()}),
]
