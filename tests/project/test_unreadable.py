"""No address, query, cookie or header that a view cannot read is answered with 500."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.urls import get_resolver

from project.wsgi import application
from runs.api.http.parsers import declared_length
from tests.project.test_doors import _KEY, _addresses
from tests.runs.doors import admin, api

_BELOW = "/api/v1/"
_PLACE = re.compile(re.escape(_KEY))
# NUL; a lone surrogate as UTF-8 and as CESU; bytes that are no UTF-8; numbers beyond 64 bits; and a text that is long.
ODD = ["a%00b", "%00", "%ED%A0%80", "%ff", "9" * 30, "-1", "x" * 5000, "%F0%9F%92%A9"]


def _odd_addresses() -> Iterator[str]:
    """Each address with each of its parts replaced by each odd one."""
    for address in sorted({*_addresses(get_resolver().url_patterns)}):
        for place in _PLACE.finditer(address):
            for odd in ODD:
                yield address[: place.start()] + odd + address[place.end() :]


@pytest.mark.django_db(transaction=True)
def test_no_part_of_an_address_of_the_api_is_answered_with_500() -> None:
    client, token = Client(raise_request_exception=False), {"Authorization": f"Bearer {api().token}"}
    addresses = [each for each in _odd_addresses() if each.startswith(_BELOW)]
    assert len(addresses) > 150
    for address in addresses:
        for answer in (
            client.get(address, headers=token),
            client.post(address, "{}", content_type="application/json", headers=token),
        ):
            assert answer.status_code < 500, address
            assert answer.status_code != 404 or answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("step", ["%00", "a%00b", "%ED%A0%80", "%ff"])
def test_a_step_that_no_text_of_the_database_can_name_is_not_found(step: str) -> None:
    door = api()
    status, _ = door.post("workflows", {"name": "w", "steps": [{"id": "a", "action": "default"}]})
    assert status == 201
    _, run = door.post("workflows/w/runs", {})
    client, token = Client(raise_request_exception=False), {"Authorization": f"Bearer {door.token}"}
    before = f"{_BELOW}runs/{run['id']}/steps/{step}"
    assert client.get(f"{before}/items", headers=token).status_code in {200, 404}
    for verb in ("approve", "reject"):
        answer = client.post(f"{before}/{verb}", "{}", content_type="application/json", headers=token)
        assert answer.status_code in {404, 409}


@pytest.mark.django_db(transaction=True)
def test_no_part_of_an_address_of_a_page_is_answered_with_500() -> None:
    client = admin()
    client.raise_request_exception = False
    for address in _odd_addresses():
        if not address.startswith(_BELOW) and "%ff" not in address and "x" * 99 not in address:
            assert client.get(address).status_code < 500, address


@pytest.mark.django_db(transaction=True)
# Ids of their own: names of cookies differ between the processes of a parallel run.
@pytest.mark.parametrize(
    "name",
    [settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME, "messages", "other"],
    ids=["session", "csrf", "messages", "other"],
)
@pytest.mark.parametrize("path", ["/admin/", "/admin/login/", "/api/v1/runs", "/health", "/approve/x"])
def test_a_nul_in_a_cookie_is_refused(name: str, path: str) -> None:
    answer = Client(raise_request_exception=False).get(path, headers={"Cookie": f'{name}="\\000{"a" * 31}"'})
    assert answer.status_code == 400


def _status(path: str, *, query: str = "", method: str = "GET", **headers: str) -> int:
    statuses: list[str] = []
    written: list[bytes] = []
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": "0",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        **headers,
    }

    def begin(status: str, headers: Any, error: Any = None) -> Callable[[bytes], object]:
        statuses.append(status)
        return written.append

    assert all(isinstance(part, bytes) for part in application(environ, begin))
    return int(statuses[0][:3])


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", ["/admin/login/", "/api/v1/runs", "/health"])
@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"])
@pytest.mark.parametrize("charset", ["hex", "punycode", "idna", "zlib", "rot13", "undefined", "unicode_escape", "no"])
def test_a_charset_that_is_not_for_text_is_refused(path: str, kind: str, charset: str) -> None:
    for method in ("GET", "POST"):
        assert _status(path, query="q=%C3", method=method, CONTENT_TYPE=f"{kind}; charset={charset}") == 400
    assert _status(path, CONTENT_TYPE=f'{kind}; charset="UTF-8"') in {200, 401}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("value", ["a/b; x*=no''y", "a/b; x*0*=no''y", "a/b; charset*=hex''zz", "a/b;q*=''"])
@pytest.mark.parametrize("header", ["CONTENT_TYPE", "HTTP_ACCEPT"])
def test_an_extended_parameter_is_refused(header: str, value: str) -> None:
    assert _status("/api/v1/runs", **{header: value}) == 400


@pytest.mark.parametrize(("given", "length"), [("10", 10), ("\u00b2", 0), ("9" * 5000, 10**20 - 1), ("-1", 0), ("", 0)])
def test_a_content_length_is_read_or_is_none(given: str, length: int) -> None:
    assert declared_length({"CONTENT_LENGTH": given}) == length


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("item", [-2, 2**31, 2**63 - 1])
def test_an_item_that_no_column_can_hold_is_refused(item: int) -> None:
    status, problem = api().post(f"runs/{_KEY}/steps/a/approve", {"item": item})
    assert (status, problem["errors"][0]["path"]) == (400, "item")
