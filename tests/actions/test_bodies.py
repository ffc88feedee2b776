"""Bodies of requests and responses: what is sent is what the config says, and what is read says what it is."""

from __future__ import annotations

import base64
import gzip
import json
from email import message_from_bytes
from typing import Any

import pytest
from pydantic import ValidationError

from actions.base import Permanent
from tests.actions.contexts import perform
from tests.actions.http_server import Server
from tests.actions.raw_server import answering
from tests.actions.sending import Serve

FORM = "application/x-www-form-urlencoded"


def sent(server: Server, given: Any = None, **config: Any) -> dict[str, Any]:
    perform("http_request", {"url": server.url("/echo"), "method": "POST", **config}, given)
    return server.asked[-1]


def read(serve: Serve, body: bytes, content_type: str | None, *, coding: str = "", **config: Any) -> dict[str, Any]:
    lines = [b"HTTP/1.1 200 OK", f"Content-Length: {len(body)}".encode()]
    lines += [] if content_type is None else [f"Content-Type: {content_type}".encode()]
    lines += [f"Content-Encoding: {coding}".encode()] if coding else []
    with serve(answering(b"\r\n".join([*lines, b"", body]))) as server:
        found = perform("http_request", {"url": server.url(), **config})
    assert isinstance(found, dict)
    return found


# What is sent


@pytest.mark.parametrize(
    ("form", "body"),
    [
        ({"a": "1", "b": "c d"}, "a=1&b=c+d"),
        ({"a": 5, "b": True, "c": 1.5}, "a=5&b=true&c=1.5"),
        ({"a": ["x", 2], "b": ""}, "a=x&a=2&b="),
        ({"ü&": "=ß"}, "%C3%BC%26=%3D%C3%9F"),
        ({}, ""),
    ],
)
def test_form_is_url_encoded(server: Server, form: dict[str, Any], body: str) -> None:
    asked = sent(server, form=form)
    assert (asked["body"], asked["headers"]["content-type"]) == (body, FORM)


@pytest.mark.parametrize("header", [FORM, f"{FORM}; charset=UTF-8", "Application/X-WWW-Form-Urlencoded"])
def test_object_under_the_header_of_a_form_is_sent_as_that_form(server: Server, header: str) -> None:
    asked = sent(server, headers={"Content-Type": header}, body={"a": 5, "b": ["x", True]})
    assert (asked["body"], asked["headers"]["content-type"]) == ("a=5&b=x&b=true", header)


@pytest.mark.parametrize(
    ("header", "body"),
    [(FORM, {"a": {}}), (FORM, {"a": None}), (FORM, {"a": [[1]]}), (FORM, [1]), ("multipart/form-data", {"a": 1})],
)
def test_body_that_is_not_what_its_header_says_is_not_sent(server: Server, header: str, body: Any) -> None:
    with pytest.raises(Permanent) as failure:
        sent(server, headers={"content-type": header}, body=body)
    assert failure.value.kind == "body"
    assert server.asked == []


def test_multipart_form_has_fields_and_files(server: Server) -> None:
    image = bytes(range(1, 127))
    file = {"base64": base64.b64encode(image).decode(), "filename": 'a "b".png', "type": "image/png"}
    notes = [{"text": "grüße", "filename": "n.txt"}, "plain"]
    asked = sent(server, multipart={"n": 5, "file": file, "notes": notes})
    kind = asked["headers"]["content-type"]
    assert kind.startswith("multipart/form-data; boundary=stepwise-")
    message = message_from_bytes(f"Content-Type: {kind}\r\n\r\n{asked['body']}".encode())
    parts = message.get_payload()
    assert isinstance(parts, list)
    assert [part.get_payload(decode=True) for part in parts] == [b"5", image, "grüße".encode(), b"plain"]  # type: ignore[union-attr]  # parts are messages
    assert 'name="file"; filename="a %22b%22.png"' in asked["body"]
    assert "Content-Type: image/png" in asked["body"]


def test_boundary_of_a_multipart_form_is_in_none_of_its_parts(server: Server) -> None:
    first = sent(server, multipart={"a": "x"})
    boundary = first["headers"]["content-type"].partition("boundary=")[2]
    again = sent(server, multipart={"a": boundary})
    assert boundary not in again["headers"]["content-type"]
    assert sent(server, multipart={"a": "x"})["body"] == first["body"], "an attempt repeats the body"


@pytest.mark.parametrize(
    "config",
    [
        {"form": {"a": 1}, "body": {}},
        {"form": {"a": 1}, "multipart": {"a": 1}},
        {"form": {"a": 1}, "body_template": "x"},
        {"form": {"a": None}},
        {"form": {"a": {}}},
        {"form": {"a": 1}, "headers": {"Content-Type": "application/json"}},
        {"multipart": {"a": 1}, "headers": {"Content-Type": "multipart/form-data"}},
        {"multipart": {"a": {"text": "x", "base64": "eA=="}}},
        {"multipart": {"a": {"filename": "x"}}},
        {"multipart": {"a": {"base64": "not base64!"}}},
        {"multipart": {"a": {"text": "x", "type": "a\r\nb: c"}}},
        {"multipart": {"a": None}},
    ],
)
def test_body_that_makes_no_sense_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        perform("http_request", {"url": "http://x/", **config})


@pytest.mark.parametrize("charset", ["latin-1", "ISO-8859-1", "windows-1252", "utf-8", "UTF-16"])
def test_text_is_sent_in_the_charset_of_its_header(serve: Serve, charset: str) -> None:
    header = {"content-TYPE": f"text/plain; charset={charset}"}
    with serve(answering(b"HTTP/1.1 204 None\r\n\r\n")) as server:
        perform("http_request", {"url": server.url(), "method": "POST", "headers": header, "body": "grüße"})
    assert server.requests[0].partition(b"\r\n\r\n")[2] == "grüße".encode(charset)


@pytest.mark.parametrize(("charset", "body"), [("ascii", "ü"), ("latin-1", "€"), ("no-such", "a"), ("idna", "a")])
def test_text_that_its_charset_does_not_have_is_not_sent(server: Server, charset: str, body: str) -> None:
    with pytest.raises(Permanent, match="the body cannot be sent"):
        sent(server, headers={"Content-Type": f"text/plain; charset={charset}"}, body=body)
    assert server.asked == []


# What is read


@pytest.mark.parametrize(
    "kind",
    ["application/json", "Application/JSON", "APPLICATION/PROBLEM+JSON; q=1", "text/json", "application/vnd.api+Json"],
)
def test_media_type_is_compared_without_its_case(serve: Serve, kind: str) -> None:
    found = read(serve, b'{"a": 1}', kind)
    assert (found["body"], found["body_type"]) == ({"a": 1}, "json")


@pytest.mark.parametrize("charset", ["latin-1", "utf-16", "UTF-16LE", "windows-1252", "utf-8"])
def test_json_is_read_in_its_charset(serve: Serve, charset: str) -> None:
    body = '{"a": "grüße"}'.encode(charset)
    assert read(serve, body, f"application/json; charset={charset}")["body"] == {"a": "grüße"}


def test_json_that_begins_with_a_mark_of_its_order_is_read(serve: Serve) -> None:
    for coding in ("utf-8-sig", "utf-16"):
        assert read(serve, '{"a": "ü"}'.encode(coding), "application/json")["body"] == {"a": "ü"}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"a": [1, 9223372036854775808]}', r"at a\[1\] is an integer beyond 64 bits; or set big_integers: text"),
        (b'{"a": NaN}', "at a is no finite number"),
        (b'{"a": {"b": 1, "b": 2}}', "at a has the key 'b' twice"),
        (b'{"a": "\\u0000"}', "at a has a NUL"),
        (b'{"a": 1e999}', "at a is no finite number"),
        (b'{"a": ', "is not JSON"),
        (b"<html>", "is not JSON"),
        (b'{"a": "\xff"}', "UTF-8|charset"),
        (b"[" * 100 + b"]" * 100, "nested deeper"),
    ],
)
def test_json_that_cannot_be_held_fails_with_reason_and_path(serve: Serve, body: bytes, says: str) -> None:
    for how in ("auto", "json"):
        with pytest.raises(Permanent, match=says) as failure:
            read(serve, body, "application/json", response=how)
        assert failure.value.kind == "response"


@pytest.mark.parametrize("digits", ["9223372036854775808", "-9223372036854775809", "1" * 400, "18446744073709551615"])
def test_big_integers_are_kept_as_texts_if_so_asked(serve: Serve, digits: str) -> None:
    body = f'{{"a": [{digits}, 9223372036854775807, -9223372036854775808, 1.5]}}'.encode()
    found = read(serve, body, "application/json", big_integers="text")
    assert found["body"] == {"a": [digits, 2**63 - 1, -(2**63), 1.5]}


@pytest.mark.parametrize("kind", ["image/png", "application/PDF", "audio/ogg", "application/zip", "font/woff2"])
@pytest.mark.parametrize("body", [b"\x89PNG\r\n\x1a\n\x00\xff", b"looks like text"])
def test_binary_body_is_base64_whatever_it_has(serve: Serve, kind: str, body: bytes) -> None:
    found = read(serve, body, kind)
    assert (base64.b64decode(found["body"]), found["body_type"], found["replaced"]) == (body, "base64", 0)
    assert found["headers"]["content-type"] == kind


@pytest.mark.parametrize("kind", [None, "application/octet-stream", "application/x-own"])
def test_body_of_an_unknown_type_is_a_text_only_if_it_is_one(serve: Serve, kind: str | None) -> None:
    assert read(serve, "grüße".encode(), kind)["body"] == "grüße"
    for body in (b"a\xff", b"a\0b", b"\x1f\x8b\x08"):
        found = read(serve, body, kind)
        assert (found["body"], found["body_type"]) == (base64.b64encode(body).decode(), "base64")


@pytest.mark.parametrize("kind", ["text/plain", "TEXT/HTML; charset=utf-8", "image/svg+xml", "application/xml"])
def test_text_that_cannot_be_read_says_how_many_characters_were_replaced(serve: Serve, kind: str) -> None:
    found = read(serve, b"a\xffb\0c", kind)
    assert (found["body"], found["body_type"], found["replaced"]) == ("a\ufffdb\ufffdc", "text", 2)
    assert read(serve, b"abc", kind)["replaced"] == 0


def test_any_body_may_be_read_as_base64(serve: Serve) -> None:
    for kind in ("application/json", "text/plain", "image/png"):
        found = read(serve, b'{"a": 1}', kind, response="base64")
        assert (found["body"], found["body_type"]) == (base64.b64encode(b'{"a": 1}').decode(), "base64")


@pytest.mark.parametrize("coding", ["br", "BR", "zstd", "gzip, br", "br, gzip", "compress"])
def test_coding_that_was_not_asked_for_fails(serve: Serve, coding: str) -> None:
    body = gzip.compress(b"\x8b\x02\x80") if "gzip" in coding else b"\x8b\x02\x80"
    with pytest.raises(Permanent, match="which was not asked for") as failure:
        read(serve, body, "text/plain", coding=coding)
    assert failure.value.kind == "response"
    assert read(serve, body, "text/plain", coding=coding, response="base64")["body_type"] == "base64"


@pytest.mark.parametrize("coding", ["identity", "utf-8", "none", "gzip"])
def test_coding_that_is_none_is_passed_over(serve: Serve, coding: str) -> None:
    body = gzip.compress(b"hello") if coding == "gzip" else b"hello"
    assert read(serve, body, "text/plain", coding=coding)["body"] == "hello"


def test_empty_body_is_null(serve: Serve) -> None:
    for kind in ("application/json", "text/plain", "image/png"):
        found = read(serve, b"", kind)
        assert (found["body"], found["body_type"]) == (None, "none")


# Names that come more than once


def test_values_of_repeated_headers_stay_apart(serve: Serve) -> None:
    head = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1, 2\r\nX-One: x\r\nset-cookie: b=3\r\nContent-Length: 0\r\n\r\n"
    with serve(answering(head)) as server:
        found = perform("http_request", {"url": server.url()})
    assert isinstance(found, dict)
    assert found["headers"] == {"set-cookie": "a=1, 2, b=3", "x-one": "x", "content-length": "0"}
    assert found["header_values"] == {"set-cookie": ["a=1, 2", "b=3"], "x-one": ["x"], "content-length": ["0"]}


@pytest.mark.parametrize("values", [["1", "2"], [1, True, "x"], ["only"]])
def test_header_with_several_values_is_sent_once_for_each(serve: Serve, values: list[Any]) -> None:
    with serve(answering(b"HTTP/1.1 204 None\r\n\r\n")) as server:
        perform("http_request", {"url": server.url(), "headers": {"X-Tag": values}})
    lines = [line for line in server.requests[0].decode().split("\r\n") if line.startswith("X-Tag")]
    assert lines == [f"X-Tag: {value if isinstance(value, str) else json.dumps(value)}" for value in values]


@pytest.mark.parametrize(
    ("url", "query", "path"),
    [
        ("/echo?b=2", {"b": 3}, "/echo?b=2&b=3"),
        ("/echo?b=2&a=%20&b", {"b": [3, 4], "c": ""}, "/echo?b=2&a=%20&b&b=3&b=4&c="),
        ("/echo?", {"a": 1}, "/echo?a=1"),
        ("/echo?x=a+b;c", {}, "/echo?x=a+b;c"),
        ("/echo", {"a": None}, "/echo"),
    ],
)
def test_query_is_added_to_that_of_the_url_which_stays(server: Server, url: str, query: Any, path: str) -> None:
    perform("http_request", {"url": server.url(url), "query": query})
    assert server.asked[-1]["path"] == path
