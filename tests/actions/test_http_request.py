"""http_request against a real server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from actions.base import Permanent, Retryable
from tests.actions.contexts import perform
from tests.actions.http_server import Server


def answer(server: Server, path: str, given: Any = None, **config: Any) -> Any:
    return perform("http_call", {"url": server.url(path), **config}, given)


def test_template_becomes_a_json_body(server: Server) -> None:
    output = answer(server, "/echo", {"email": "u@e"}, method="post", body_template={"email": "{{email}}"})
    assert output["status"] == 200
    assert output["headers"]["content-type"] == "application/json"
    assert json.loads(output["body"]["body"]) == {"email": "u@e"}
    assert server.asked[0]["method"] == "POST"
    assert server.asked[0]["headers"]["content-type"] == "application/json"
    assert server.asked[0]["headers"]["idempotency-key"] == "key-1"


def test_what_the_config_says_of_headers_wins(server: Server) -> None:
    answer(server, "/echo", method="PUT", body="<a/>", headers={"content-type": "text/xml", "idempotency-key": "mine"})
    sent = server.asked[0]
    assert (sent["headers"]["content-type"], sent["headers"]["idempotency-key"], sent["body"]) == (
        "text/xml",
        "mine",
        "<a/>",
    )


def test_query_is_added_to_the_urls_own(server: Server) -> None:
    answer(server, "/echo?x=1", query={"a": [1, 2], "b": "c d", "left_out": None})
    assert server.asked[0]["path"] == "/echo?x=1&a=1&a=2&b=c+d"


@pytest.mark.parametrize(("how", "body"), [("auto", "grüße"), ("text", "grüße"), ("none", None)])
def test_answer_is_read_as_asked_for(server: Server, how: str, body: str | None) -> None:
    assert answer(server, "/text", response=how)["body"] == body


def test_answer_that_should_be_json_and_is_not_fails_for_good(server: Server) -> None:
    with pytest.raises(Permanent, match=r"is not (JSON|UTF-8)"):
        answer(server, "/text", response="json")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_answer_that_may_pass_is_worth_a_retry(server: Server, status: int) -> None:
    with pytest.raises(Retryable) as failure:
        answer(server, f"/status/{status}")
    assert failure.value.kind == f"http:{status}"
    assert failure.value.delay_seconds is None
    assert failure.value.details == {"status": status, "body": "the reason"}


@pytest.mark.parametrize("status", [304, 400, 401, 404, 410, 422])
def test_other_answers_fail_for_good(server: Server, status: int) -> None:
    with pytest.raises(Permanent) as failure:
        answer(server, f"/status/{status}", query={"token": "s3cret"})
    assert failure.value.kind == f"http:{status}"
    assert "s3cret" not in str(failure.value)


def test_statuses_that_are_named_are_success(server: Server) -> None:
    for status, ok in ((404, [404]), (410, ["4xx"]), (503, [404, "5XX"]), (201, [404])):
        found = answer(server, f"/status/{status}", ok_statuses=ok)
        assert (found["status"], found["body"]) == (status, "the reason")
    with pytest.raises(Permanent, match="410"):
        answer(server, "/status/410", ok_statuses=[404, "5xx"])


@pytest.mark.parametrize("status", [200, 600, 0, True, None, "404", "2xx", "4x", "4xxx", 404.0, [404]])
def test_what_is_no_status_is_refused(server: Server, status: Any) -> None:
    with pytest.raises(ValueError, match="must be a status from 300 to 599, or 3xx, 4xx or 5xx, not"):
        answer(server, "/status/404", ok_statuses=[status])
    assert server.asked == []


@pytest.mark.parametrize(
    ("header", "delay"),
    [
        ("7", 7.0),
        ("99999999999999999999", 86_400.0),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("Sunday, 01-Mar-26 12:00:30 GMT", 30.0),
        ("Sun Mar  1 12:00:30 2026", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("1e9", None),
        ("NaN", None),
        ("7, 9", None),
        ("Sun, 01 Mar 2026 12:00:30 +9999999999999", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", 86_400.0),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0.0),
        ("Sun, 01 Mar " + "9" * 5000, None),
        (",;" * 40, None),
    ],
)
def test_retry_after_is_honoured_in_both_forms(server: Server, header: str, delay: float | None) -> None:
    with pytest.raises(Retryable) as failure:
        answer(server, "/status/503", headers={"X-Retry-After": header})
    assert failure.value.delay_seconds == delay


def test_server_that_drips_gains_no_time(server: Server) -> None:
    with pytest.raises(Retryable) as failure:
        answer(server, "/drip", timeout="300ms")
    assert failure.value.kind == "timeout"


def test_nobody_at_the_port_is_worth_a_retry(server: Server) -> None:
    server.done.set()
    from actions import network

    network.configure(["127.0.0.1:1"])
    with pytest.raises(Retryable) as failure:
        perform("http_request", {"url": "http://127.0.0.1:1/"})
    assert failure.value.kind == "connection"


def test_bomb_ends_at_ten_megabytes(server: Server) -> None:
    with pytest.raises(Permanent) as failure:
        answer(server, "/bomb")
    assert failure.value.kind == "too_large"


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"url": "http://x", "method": "BREW"},
        {"url": "http://x", "body": 1, "body_template": 2},
        {"url": "http://x", "headers": {"Host": "y"}},
        {"url": "http://x", "timeout": -1},
        {"url": "http://x", "verify": False},
    ],
)
def test_config_that_makes_no_sense_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        perform("http_request", config)


@pytest.mark.parametrize("headers", [{"X": "a\r\nB: c"}, {"X\r\n": "a"}, {"X": "\u2603"}, {"\u2603": "a"}])
def test_header_that_cannot_be_sent_fails_for_good(server: Server, headers: dict[str, str]) -> None:
    with pytest.raises(Permanent) as failure:
        answer(server, "/echo", headers=headers)
    assert failure.value.kind == "header"
    assert server.asked == []


@pytest.mark.parametrize("keeps", [False, True])
def test_body_follows_a_redirect_to_another_origin_only_if_the_config_says_so(server: Server, keeps: bool) -> None:
    path = "/redirect307?to=" + server.url("/echo", host="localhost")
    if keeps:
        assert answer(server, path, method="POST", body="order", forward_body=True)["body"]["body"] == "order"
        return
    with pytest.raises(Permanent, match="a body is not sent to another origin"):
        answer(server, path, method="POST", body="order")
