"""Events for other systems, signed as receivers check it; and what every action does whose server fails."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from actions import registry
from actions.base import ActionError, Permanent, Retryable
from tests.actions.contexts import NOW, context, perform
from tests.actions.http_server import Server
from tests.actions.raw_server import OK, Peer, once
from tests.actions.sending import Serve

KEY = b"0123456789" * 3
SECRET = "whsec_" + base64.b64encode(KEY).decode()
OTHER = "whsec_" + base64.b64encode(b"another secret of 32 bytes......").decode()
# What each action that goes out needs besides its `url`.
OUT: dict[str, dict[str, Any]] = {"http_request": {}, "webhook": {"secret": SECRET, "type": "order.paid"}}


def test_the_receiver_finds_a_signature_of_each_secret_over_what_was_sent(server: Server) -> None:
    config = {"url": server.url("/echo"), "secret": [SECRET, OTHER], "type": "order.paid"}
    first = perform("webhook", config, {"order": "\u00e9"})
    assert first == {"id": "msg_key-1", "status": 200}
    sent = server.asked[0]
    assert sent["method"] == "POST"
    headers, body = sent["headers"], sent["body"]
    assert json.loads(body) == {"type": "order.paid", "timestamp": "2026-03-01T12:00:00Z", "data": {"order": "\u00e9"}}
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("msg_key-1", str(int(NOW.timestamp())))
    signed = f"msg_key-1.{int(NOW.timestamp())}.{body}".encode()
    keys = [KEY, base64.b64decode(OTHER.removeprefix("whsec_"))]
    wanted = [base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys]
    assert headers["webhook-signature"] == " ".join(f"v1,{one}" for one in wanted)
    perform("webhook", {**config, "data": None}, {"order": 1})
    assert json.loads(server.asked[1]["body"])["data"] is None


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", SECRET[6:], "whsec_" + "A" * 30, "whsec_!!!!" + "A" * 32, "whsec_" + "A" * 92, [SECRET] * 6],
)
def test_what_is_no_secret_is_refused_and_not_shown(secret: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        perform("webhook", {"url": "https://example.com/", "type": "t", "secret": secret})
    assert all(SECRET not in one["msg"] and "AAAA" not in one["msg"] for one in refused.value.errors())


def test_an_address_that_never_works_is_refused_when_it_is_published() -> None:
    webhook = registry.get("webhook")
    for url, wrong in (("ftp://x", True), ("ftp://{{ a }}", True), ("https://{{ input.host }}/x", False)):
        assert bool([*webhook.faults({"url": url})]) is wrong, url


def _stalls(peer: Peer) -> None:
    peer.read()
    peer.server.over.wait(5)


def _big(peer: Peer) -> None:
    peer.read()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n" + b"x" * 20_000_000)


_TABLE: list[tuple[str, Callable[[Peer], None], type[ActionError] | None, str]] = [
    ("closes at once", lambda peer: None, Retryable, "connection"),
    ("stalls", _stalls, Retryable, "timeout"),
    ("cuts in the middle", once(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), Retryable, "connection"),
    ("answers 404", once(OK.replace(b"200 OK", b"404 Not Found")), Permanent, "http:404"),
    ("answers 410", once(OK.replace(b"200 OK", b"410 Gone")), Permanent, "http:410"),
    ("answers 429", once(OK.replace(b"200 OK\r\n", b"429 Slow\r\nRetry-After: 7\r\n")), Retryable, "http:429"),
    ("answers 503", once(OK.replace(b"200 OK", b"503 Away")), Retryable, "http:503"),
    ("answers another type", once(OK.replace(b"200 OK\r\n", b"200 OK\r\nContent-Type: x/y\r\n")), None, ""),
    ("answers 10 MB too much", _big, Permanent, "too_large"),
    ("answers what is no HTTP", once(b"220 mail.example.com ESMTP\r\n"), Retryable, "connection"),
]


def test_every_action_with_an_address_is_in_this_table() -> None:
    fields = {name: registry.get(name).config_class.model_fields for name in registry.ACTIONS}
    assert {name for name, known in fields.items() if "url" in known} == OUT.keys()


@pytest.mark.parametrize("name", OUT)
def test_an_action_that_goes_out_says_what_became_of_it(name: str, serve: Serve) -> None:
    action = registry.get(name)
    for what, script, kind_of_error, kind in _TABLE:
        with serve(script) as server:
            config = action.config_class.model_validate({**OUT[name], "url": server.url("/"), "timeout": 1})
            if kind_of_error is None:
                found: Any = action.perform(config, context({}))
                assert found["status"] == 200
                continue
            with pytest.raises(ActionError) as failure:
                action.perform(config, context({}))
            assert (type(failure.value), failure.value.kind) == (kind_of_error, kind), (what, str(failure.value))
            assert SECRET not in str(failure.value), what
            if kind == "http:429":
                assert getattr(failure.value, "delay_seconds", None) == 7
    refused = action.config_class.model_validate({**OUT[name], "url": server.url("/")})
    with pytest.raises(Retryable, match="failed"):
        action.perform(refused, context({}))


def test_a_redirect_is_not_followed(serve: Serve) -> None:
    there = b"HTTP/1.1 307 Go\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"
    with serve(once(there)) as server, pytest.raises(Permanent, match="redirects are not followed") as failure:
        perform("webhook", {**OUT["webhook"], "url": server.url("/")})
    assert failure.value.kind == "http:307"
