"""URLs: what is refused, and what is sent of the others."""

from __future__ import annotations

import pytest

from actions import network
from actions.base import Permanent
from actions.network import shown, urls


@pytest.mark.parametrize(
    ("text", "authority", "target"),
    [
        ("http://example.com", "example.com", "/"),
        ("HTTP://Example.COM:80/A?B", "example.com", "/A?B"),
        ("https://example.com:443/", "example.com", "/"),
        ("https://example.com:80", "example.com:80", "/"),
        ("http://example.com:/?", "example.com", "/?"),
        ("http://example.com/?a=1#secret", "example.com", "/?a=1"),
        ("http://[2001:DB8::1]:8080/", "[2001:DB8::1]:8080", "/"),
        ("http://münchen.de/straße?ü", "xn--mnchen-3ya.de", "/stra%C3%9Fe?%C3%BC"),
        ("http://faß.de", "xn--fa-hia.de", "/"),
        ("http://a_b.example./", "a_b.example.", "/"),
        # Dot segments are taken away; one that is escaped stays, as any escape does.
        ("http://x/a/./b/../c", "x", "/a/c"),
        ("http://x/../../a", "x", "/a"),
        ("http://x/a/%2e%2E/b%41", "x", "/a/%2e%2E/b%41"),
        ('http://x/a b\\c<d>{e}"f`|g^', "x", "/a%20b\\c%3Cd%3E%7Be%7D%22f%60|g^"),
        ("http://x/?a b&c={d}&e=%zz&f='", "x", "/?a%20b&c={d}&e=%zz&f='"),
        ("http://x//a//b", "x", "//a//b"),
    ],
)
def test_url_is_sent_as_rfc_3986_reads_it(text: str, authority: str, target: str) -> None:
    url = urls.parse(text)
    assert (url.authority, url.target) == (authority, target)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "must begin with"),
        ("example.com", "must begin with"),
        ("/path", "must begin with"),
        ("ftp://example.com/", "must begin with"),
        ("http:example.com", "must begin with"),
        ("http:///path", "must begin with"),
        ("http://:80/", "no host"),
        ("http://user@example.com", "user or password"),
        ("http://user:secret@example.com", "user or password"),
        ("http://example.com\\@evil.com/", "user or password"),
        ("http://exa mple.com", "no host"),
        ("http://127%2e0%2e0%2e1/", "no host"),
        ("http://a&b/", "no host"),
        ("http://0177.0.0.1/", "0177"),
        ("http://300.1.1.1/", "not permitted"),
        ("http://[::1", "Address cannot be empty"),
        ("http://[fe80::1%25eth0]/", "network interface"),
        ("http://[example.com]/", "at least 3 parts|At least 3 parts"),
        ("http://x:0/", "no number from 1 to 65535"),
        ("http://x:65536/", "no number from 1 to 65535"),
        ("http://x:8_0/", "no number from 1 to 65535"),
        ("http://x:+80/", "no number from 1 to 65535"),
        ("http://x/\r\nHost: evil", "control character"),
        ("http://x/\0", "control character"),
        ("http://x/\ud800", "surrogates not allowed"),
        ("http://日本。/\x7f", "control character"),
        ("http://ü..de/", "Empty Label|Empty label"),
    ],
)
def test_url_that_cannot_be_sent_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        urls.parse(text)


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        ("/c?d=1", "http://x:81/c?d=1"),
        ("c", "http://x:81/a/c"),
        ("../c", "http://x:81/c"),
        ("?d", "http://x:81/a/b?d"),
        ("//y/c", "http://y/c"),
        ("https://y", "https://y"),
        ("ftp://y", "ftp://y"),
        ("ü ", "http://x:81/a/%C3%BC%20"),
        ("#part", "http://x:81/a/b?q"),
        ("/\n", None),
        ("http://[", None),
    ],
)
def test_redirect_is_read_relative_to_its_source(reference: str, text: str | None) -> None:
    assert urls.join(urls.parse("http://x:81/a/b?q"), reference) == text


def test_query_is_added_behind_that_of_the_url() -> None:
    url = urls.with_query(urls.parse("http://x/?a=1&b=%20&c"), {"a": [2, True, None], "d": 1.5, "e&": "=ü"})
    assert url.target == "/?a=1&b=%20&c&a=2&a=true&a=&d=1.5&e%26=%3D%C3%BC"


@pytest.mark.parametrize("text", ["http://me:s3cret@x/", "http://x:y/?token=s3cret", "s3cret@x"])
def test_refusal_of_a_url_shows_no_secret(text: str) -> None:
    with pytest.raises(Permanent, match="cannot be used") as failure:
        network.request(network.Call("GET", text), timeout_seconds=5)
    assert failure.value.kind == "url"
    assert "s3cret" not in str(failure.value)


def test_message_shows_no_query() -> None:
    assert shown("http://x:81/a?token=s3cret#part") == "http://x:81/a"
    assert len(shown("http://x/" + "a" * 1000)) == 300
