"""The network guard: what may be dialled, and what a redirect may do."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from actions import network
from actions.base import Permanent
from actions.network import Call, addresses
from tests.actions.http_server import Server


def get(url: str, **more: Any) -> network.Answer:
    return network.request(Call(method=more.pop("method", "GET"), url=url, **more), timeout_seconds=5)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "0x7f.1",
        "2130706433",
        "0177.0.0.1",
        "127.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
    ],
)
def test_own_machine_is_refused_however_it_is_written(hidden_server: Server, host: str) -> None:
    with pytest.raises(Permanent) as failure:
        get(hidden_server.url("/echo", host=host))
    # One octal form is no URL at all.
    assert failure.value.kind == ("url" if host == "0177.0.0.1" else "blocked")
    assert hidden_server.asked == []


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "10.1.2.3", "100.64.0.1", "127.9.9.9", "169.254.1.1", "172.31.0.1", "192.0.0.192", "192.168.1.1"),
        *("198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.88.99.1"),
        *("::", "::1", "::ffff:10.0.0.1", "::10.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::a00:1", "2002:7f00:1::"),
        *("2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "fc00::1", "fe80::1", "fec0::1", "ff02::1", "100::1"),
    ],
)
def test_address_that_is_not_public_is_refused(address: str) -> None:
    with pytest.raises(addresses.Blocked):
        addresses.check("host", ip_address(address), 80)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.215.14", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_public_address_is_let_through(address: str) -> None:
    addresses.check("host", ip_address(address), 443)


@pytest.mark.parametrize(
    "address",
    [
        *("169.254.169.254", "169.254.170.2", "169.254.170.23", "168.63.129.16", "100.100.100.200", "169.254.42.42"),
        *("fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fe80::a9fe:a9fe", "fe80::a9fe:a9fe%1"),
        *(
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "::ffff:0:a9fe:a9fe",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b::a83f:8110",
        ),
        *("2002:a9fe:a9fe::1", "2001:0:a9fe:a9fe::1", "2001:0:101:101:0:0:5601:5601", "fe80::5efe:a9fe:a9fe"),
        *("64:ff9b:1::a9fe:a9fe", "64:ff9b:1:a9fe:a9:fe00::", "64:ff9b:1:a9:fe:a9fe::", "64:ff9b:1:0:a9:fea9:fe00:0"),
    ],
)
def test_metadata_is_never_reached_whatever_is_allowed(address: str) -> None:
    everything = addresses.parse_allowed(["0.0.0.0/0", "::/0", "host"])
    with pytest.raises(addresses.Blocked, match="never reached"):
        addresses.check("host", ip_address(address), 80, allowed=everything)


@pytest.mark.parametrize(
    ("allowed", "address", "permitted"),
    [
        ("10.0.0.0/8", "::ffff:10.0.0.1", True),
        ("10.0.0.0/8", "64:ff9b::a00:1", True),
        ("10.0.0.0/8", "2002:a00:1::", True),
        ("::ffff:10.0.0.0/104", "10.0.0.1", True),
        ("[::ffff:10.0.0.1]:80", "::ffff:10.0.0.1", True),
        ("10.0.0.0/8", "::ffff:192.168.0.1", False),
        ("::/0", "::ffff:10.0.0.1", False),
        ("::/0", "64:ff9b::a00:1", False),
        ("64:ff9b::/96", "64:ff9b::a00:1", False),
        ("::ffff:0:0/96", "10.0.0.1", True),
        ("2002::/16", "2002:a00:1::", False),
        ("fe80::/10", "fe80::5efe:a00:1", False),
        ("::/0", "::1", True),
        ("64:ff9b:1::/48", "64:ff9b:1::a00:1", True),
    ],
)
def test_address_inside_an_address_is_the_one_that_is_judged(allowed: str, address: str, permitted: bool) -> None:
    entries = addresses.parse_allowed([allowed])
    if permitted:
        addresses.check("host", ip_address(address), 80, allowed=entries)
        return
    with pytest.raises(addresses.Blocked, match="to permit it, add host:80 to OUTBOUND_ALLOW"):
        addresses.check("host", ip_address(address), 80, allowed=entries)


def test_allowed_host_and_port_is_let_through_and_no_other(server: Server, hidden_server: Server) -> None:
    network.configure([f"127.0.0.1:{server.port}"])
    assert get(server.url("/echo")).status == 200
    assert get(server.url("/echo", host="[::ffff:127.0.0.1]")).status == 200
    with pytest.raises(Permanent):
        get(hidden_server.url("/echo"))
    network.configure(["127.0.0.0/8"])
    assert get(hidden_server.url("/echo")).status == 200


@pytest.mark.parametrize("entry", ["a b", "host:0", "host:99999", "10.0.0.0/33", "http://x", "host:x", ":80"])
def test_allowed_entry_that_means_nothing_is_named(entry: str) -> None:
    with pytest.raises(ValueError, match="OUTBOUND_ALLOW"):
        addresses.parse_allowed(["ok.example", entry])


def test_allowed_entries_are_hosts_ports_and_networks() -> None:
    parsed = addresses.parse_allowed(
        [" Api.Example ", "api.example:8443", "10.0.0.0/8", "[fd00::1]:80", "", "127.0.0.1:1"]
    )
    assert [(entry.host, str(entry.network or ""), entry.port) for entry in parsed] == [
        ("api.example", "", None),
        ("api.example", "", 8443),
        ("", "10.0.0.0/8", None),
        ("", "fd00::1/128", 80),
        ("", "127.0.0.1/32", 1),
    ]


@pytest.mark.parametrize("target", ["http://169.254.169.254/latest", "http://10.0.0.1/", "http://[::1]:1/"])
def test_redirect_to_a_private_address_is_refused(server: Server, target: str) -> None:
    with pytest.raises(Permanent) as failure:
        get(server.url(f"/redirect?to={target}"))
    assert failure.value.kind == "blocked"


@pytest.mark.parametrize("target", ["ftp://x/", "file:///etc/passwd", "http://u:p@127.0.0.1/"])
def test_redirect_out_of_http_is_refused(server: Server, target: str) -> None:
    with pytest.raises(Permanent) as failure:
        get(server.url(f"/redirect?to={target}"))
    assert failure.value.kind == "url"


def test_redirects_end_after_three(server: Server) -> None:
    assert get(server.url("/loop")).status == 302
    assert len(server.asked) == 4


def test_secrets_do_not_follow_to_another_origin(server: Server) -> None:
    headers = {"Authorization": "s", "X-Api-Key": "s", "Cookie": "s", "Content-Type": "application/json"}
    elsewhere = server.url("/redirect307?to=" + server.url("/echo"), host="localhost")
    get(elsewhere, method="POST", headers=headers, content=b"{}", forward_body=True)
    sent = server.asked[-1]
    assert (sent["method"], sent["body"]) == ("POST", "{}")
    assert "s" not in sent["headers"].values()
    get(server.url("/redirect307?to=/echo"), headers=headers)
    assert server.asked[-1]["headers"]["authorization"] == "s"


@pytest.mark.parametrize(
    ("path", "method"), [("/redirect307", "POST"), ("/redirect307", "DELETE"), ("/redirect", "PUT")]
)
def test_body_does_not_follow_to_another_origin_unasked(server: Server, path: str, method: str) -> None:
    elsewhere = server.url(f"{path}?to={server.url('/echo')}", host="localhost")
    with pytest.raises(Permanent, match="set forward_body: true") as failure:
        get(elsewhere, method=method, content=b"card number")
    assert failure.value.kind == "redirect"
    assert [asked["path"].partition("?")[0] for asked in server.asked] == [path]


def test_request_without_a_body_follows_to_another_origin_and_a_body_within_its_own(server: Server) -> None:
    get(server.url("/redirect307?to=" + server.url("/echo"), host="localhost"), method="DELETE")
    assert server.asked[-1]["path"] == "/echo"
    get(server.url("/redirect307?to=/echo"), method="POST", content=b"order")
    assert server.asked[-1]["body"] == "order"


def test_redirected_post_becomes_a_get_without_its_body(server: Server) -> None:
    get(server.url("/redirect?to=/echo"), method="POST", headers={"Content-Type": "text/plain"}, content=b"x")
    sent = server.asked[-1]
    assert (sent["method"], sent["body"], sent["headers"].get("content-type")) == ("GET", "", None)


def test_proxies_of_the_environment_are_not_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert get(server.url("/echo")).status == 200
