"""Redirects: how many were followed and where to, cookies that are set on the way, and none followed if so asked."""

from __future__ import annotations

from typing import Any

import pytest

from actions.base import Permanent
from actions.network import urls
from actions.network.cookies import MAX_COOKIE, MAX_COOKIES, Cookies
from tests.actions.contexts import perform
from tests.actions.http_server import Server
from tests.actions.raw_server import Peer
from tests.actions.sending import Serve


def test_loop_says_how_many_redirects_were_followed_and_where_to(server: Server) -> None:
    with pytest.raises(Permanent) as failure:
        perform("http_request", {"url": server.url("/redirect?to=/loop?token=s3cret")})
    message = str(failure.value)
    assert failure.value.kind == "http:302"
    assert f"after 3 redirects, to {server.url('/loop')}, {server.url('/loop')}, {server.url('/loop')}" in message
    assert "no more than 3 are followed" in message
    assert "follow_redirects: false" in message
    assert "s3cret" not in message
    assert failure.value.details["followed"] == [server.url("/loop")] * 3


@pytest.mark.parametrize("location", ["", "http://[", "/\t\n"])
def test_redirect_to_nowhere_says_so(serve: Serve, location: str) -> None:
    head = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
    with serve(lambda peer: peer.read() and peer.send(head)) as server, pytest.raises(Permanent) as failure:
        perform("http_request", {"url": server.url()})
    assert "answered 302 Found" in str(failure.value)


@pytest.mark.parametrize("path", ["/redirect?to=/echo", "/redirect307?to=/echo", "/loop"])
def test_redirect_that_is_not_to_be_followed_is_the_output(server: Server, path: str) -> None:
    found: Any = perform("http_request", {"url": server.url(path), "follow_redirects": False})
    assert found["status"] in (302, 307)
    assert found["headers"]["location"] in ("/echo", "/loop")
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [304, 404])
def test_other_statuses_fail_as_before_where_redirects_are_not_followed(server: Server, status: int) -> None:
    with pytest.raises(Permanent):
        perform("http_request", {"url": server.url(f"/status/{status}"), "follow_redirects": False})


def _asked(serve: Serve, cookie: str, *, headers: Any = None) -> list[str]:
    """The Cookie headers of a request that is redirected once, where its first response sets this cookie."""
    first = f"HTTP/1.1 302 Found\r\nLocation: /next\r\n{cookie}Content-Length: 0\r\n\r\n".encode()

    def script(peer: Peer) -> None:
        while request := peer.read():
            peer.send(first if b" / " in request else b"HTTP/1.1 204 None\r\n\r\n")

    with serve(script) as server:
        perform("http_request", {"url": server.url(), "headers": headers or {}})
    lines = [line for request in server.requests[1:] for line in request.decode().split("\r\n")]
    return [line.partition(": ")[2] for line in lines if line.lower().startswith("cookie:")]


@pytest.mark.parametrize(
    ("cookie", "sent"),
    [
        ("Set-Cookie: sid=1\r\n", ["sid=1"]),
        ("Set-Cookie: sid=1; Path=/; HttpOnly\r\nSet-Cookie: b=2; Max-Age=60\r\n", ["sid=1; b=2"]),
        ("Set-Cookie: sid=1; Path=/other\r\n", []),
        ("Set-Cookie: sid=1; Secure\r\n", []),
        ("Set-Cookie: sid=1; Domain=example.com\r\n", []),
        ("Set-Cookie: sid=1\r\nSet-Cookie: sid=; Max-Age=0\r\n", []),
        ("Set-Cookie: sid=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT\r\n", []),
        ("Set-Cookie: nonsense\r\n", []),
        ("", []),
    ],
)
def test_cookie_that_is_set_on_the_way_is_sent_on(serve: Serve, cookie: str, sent: list[str]) -> None:
    assert _asked(serve, cookie) == sent


def test_cookies_of_the_config_go_with_those_that_are_set(serve: Serve) -> None:
    own = {"cookie": "mine=1; sid=old"}
    assert _asked(serve, "Set-Cookie: sid=new\r\n", headers=own) == ["mine=1; sid=new"]


@pytest.mark.parametrize(
    ("line", "url", "sent"),
    [
        ("a=1", "https://x.example/", "a=1"),
        ("a=1", "https://sub.x.example/", ""),
        ("a=1", "https://other.example/", ""),
        ("a=1; Domain=x.example", "https://sub.x.example/", "a=1"),
        ("a=1; Domain=.X.example", "https://x.example/", "a=1"),
        ("a=1; Domain=x.example", "https://evilx.example/", ""),
        ("a=1; Domain=example", "https://other.example/", ""),
        ("a=1; Domain=other.example", "https://other.example/", ""),
        ("a=1; Path=/in", "https://x.example/in/side", "a=1"),
        ("a=1; Path=/in", "https://x.example/inside", ""),
        ("a=1; Secure", "https://x.example/", "a=1"),
        ("a=1; Secure", "http://x.example/", ""),
        ("a=1; Max-Age=0", "https://x.example/", ""),
        ("a=1; Expires=never", "https://x.example/", "a=1"),
        ("a=\r\nb", "https://x.example/", ""),
        ("a=\u2603", "https://x.example/", ""),
    ],
)
def test_cookie_is_sent_where_it_belongs(line: str, url: str, sent: str) -> None:
    cookies = Cookies()
    cookies.take(urls.parse("https://x.example/"), [line])
    assert cookies.header(urls.parse(url)) == sent


def test_cookies_are_bounded() -> None:
    cookies, url = Cookies(), urls.parse("https://x.example/")
    cookies.take(url, [f"c{n}=1" for n in range(1000)])
    assert cookies.header(url).count("=") == MAX_COOKIES
    cookies = Cookies()
    cookies.take(url, ["a=" + "x" * MAX_COOKIE, "b=1"])
    assert cookies.header(url) == "b=1"
