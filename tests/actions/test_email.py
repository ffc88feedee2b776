"""Mails, as a real mail server receives them, and every way in which one can refuse them."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from pydantic import ValidationError

from actions import network, registry
from actions.base import ActionError, Cancelled, Json, Permanent, Retryable
from actions.catalogue.email import EmailConfig
from actions.credentials import Credential, Host
from runs.engine import lease
from tests.actions import mail_server
from tests.actions.contexts import context
from tests.actions.mail_server import PASSWORD, Mailbox, free_port
from tests.actions.test_tls import believe
from tests.actions.test_tls import context as certificate
from tests.engine import drain
from tests.flows import begun, published, steps, workspace
from workflows.credentials import store
from workflows.credentials.store import Wanted

__all__ = ["certificate"]

MAIL = {"credential": "mail", "from": "Shop <shop@shop.test>", "to": "ann@ann.test", "subject": "Hi", "text": "Hello"}


@pytest.fixture(scope="module")
def one_server() -> Iterator[tuple[Mailbox, int]]:
    """A mail server without encryption, and its port."""
    box = Mailbox()
    with mail_server.plain(box) as found:
        yield box, found


@pytest.fixture
def box(one_server: tuple[Mailbox, int]) -> Mailbox:
    """What the server took in this test."""
    one_server[0].mails.clear()
    return one_server[0]


@pytest.fixture
def port(one_server: tuple[Mailbox, int]) -> Iterator[int]:
    """The port of the server, which the guard permits."""
    network.configure(["127.0.0.0/8"])
    yield one_server[1]
    network.configure(settings.OUTBOUND_ALLOW)


def server_of(port: int, *, security: str = "none", host: str = "127.0.0.1", **values: str) -> Credential:
    found = {"host": host, "port": str(port), "security": security, **values}
    return Credential(id="1", name="mail", kind="smtp", values=found, hosts=(Host("smtp", host, port),))


def send(credential: Credential, *, stopped: bool = False, **more: Any) -> Any:
    action = registry.get("email")
    given = replace(context(None), credentials={"mail": credential}, stopped=stopped)
    return action.perform(action.config_class.model_validate({**MAIL, **more}), given)


def read(box: Mailbox) -> EmailMessage:
    [(envelope, _, _)] = box.mails
    assert isinstance(envelope.content, bytes)
    found = message_from_bytes(envelope.content, policy=policy.default)
    assert isinstance(found, EmailMessage)
    return found


def test_a_mail_arrives_as_it_was_written(box: Mailbox, port: int) -> None:
    data = b"%PDF\x00\xff"
    found = send(
        server_of(port, username="shop", password=PASSWORD),
        to=["Ann Ü <ann@ann.test>", "bob@bücher.test"],
        cc="cc@ann.test",
        bcc=["hidden@ann.test", "ann@ann.test"],
        reply_to="help@shop.test",
        subject="Ordër {{ 4711 }} " + "x" * 100,
        text="Grüße\n.\nend",
        html="<p>Grüße</p>",
        attachments=[
            {"filename": "bill ü.pdf", "base64": base64.b64encode(data).decode()},
            {"filename": "a.csv", "text": "a;ü"},
        ],
    )
    got = read(box)
    everybody = ["ann@ann.test", "bob@xn--bcher-kva.test", "cc@ann.test", "hidden@ann.test"]
    assert found == {"message_id": "<key-1@shop.test>", "accepted": everybody, "refused": []}
    [(envelope, _, name)] = box.mails
    assert (envelope.mail_from, envelope.rcpt_tos) == ("shop@shop.test", everybody)
    assert name == "[127.0.0.1]"
    assert got["Subject"] == "Ordër {{ 4711 }} " + "x" * 100
    assert (got["Message-ID"], got["Reply-To"]) == ("<key-1@shop.test>", "help@shop.test")
    assert got["Date"].datetime.isoformat() == "2026-03-01T12:00:00+00:00"
    assert "hidden" not in str(got)
    assert "Ann Ü" in got["To"]
    plain, html = got.get_body(["plain"]), got.get_body(["html"])
    assert plain is not None
    assert html is not None
    assert plain.get_content().splitlines() == ["Grüße", ".", "end"]
    assert html.get_content().strip() == "<p>Grüße</p>"
    pdf, csv = got.iter_attachments()
    assert (pdf.get_filename(), pdf.get_content_type(), pdf.get_content()) == ("bill ü.pdf", "application/pdf", data)
    assert (csv.get_content_type(), csv.get_content()) == ("text/csv", "a;ü")


def test_html_alone_is_a_mail_and_a_second_attempt_has_the_same_id(box: Mailbox, port: int) -> None:
    ids = {send(server_of(port), text=None, html="<b>x</b>")["message_id"] for _ in range(2)}
    assert ids == {"<key-1@shop.test>"}
    assert len(box.mails) == 2


def test_recipients_that_are_refused_are_told_and_the_others_get_the_mail(box: Mailbox, port: int) -> None:
    found = send(server_of(port), to=["no-550@x.test", "ann@x.test", "no-450@x.test"])
    assert found["accepted"] == ["ann@x.test"]
    assert found["refused"] == [
        {"address": "no-550@x.test", "code": 550, "message": "refused as its name says"},
        {"address": "no-450@x.test", "code": 450, "message": "refused as its name says"},
    ]


@pytest.mark.parametrize(
    ("more", "values", "expected", "words"),
    [
        ({"to": "no-550@x.test"}, {}, (Permanent, "smtp"), "refused every recipient: no-550@x.test: 550 refused"),
        ({"to": "no-450@x.test"}, {}, (Retryable, "smtp"), "450 refused"),
        ({"to": "full@x.test"}, {}, (Retryable, "smtp"), "452 4.3.1 mailbox is full"),
        ({}, {"username": "shop", "password": "wrong"}, (Permanent, "credential"), "did not accept user and password"),
        ({}, {"security": "starttls"}, (Permanent, "smtp"), "STARTTLS extension not supported"),
        ({}, {"security": "tls"}, (Retryable, "connection"), "the connection to the mail server 127.0.0.1"),
        ({"text": "x" * 11_000_000}, {}, (Permanent, "too_large"), "Send a link in place of a large file"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_told_by_its_kind(
    port: int, more: dict[str, Any], values: dict[str, str], expected: tuple[type[ActionError], str], words: str
) -> None:
    with pytest.raises(expected[0]) as failure:
        send(server_of(port, **values), **more)
    assert (failure.value.kind, words in str(failure.value)) == (expected[1], True), str(failure.value)
    assert PASSWORD not in str(failure.value)


def refusing(stream: Any) -> None:
    stream.write(b"554 no service for you\r\n")


def talking(stream: Any) -> None:
    """A drop each 50 ms, and never a line."""
    for _ in range(200):
        stream.write(b"2")
        stream.flush()
        time.sleep(0.05)


def endless(stream: Any) -> None:
    stream.write(b"220-" + b"x" * 20_000_000 + b"\r\n")


def stalling_in_starttls(stream: Any) -> None:
    stream.write(b"220 x\r\n250-x\r\n250 STARTTLS\r\n220 go\r\n")
    stream.flush()
    time.sleep(3)


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_a_server_that_stalls_while_tls_begins_ends_the_attempt_in_time(security: str) -> None:
    network.configure(["127.0.0.0/8"])
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=served, args=(listening, stalling_in_starttls), daemon=True).start()
        with pytest.raises(Retryable) as failure:
            send(server_of(listening.getsockname()[1], security=security), timeout=1)
    # What a server without TLS says is no TLS, which is noticed at once.
    assert failure.value.kind == ("connection" if security == "tls" else "timeout"), str(failure.value)
    network.configure(settings.OUTBOUND_ALLOW)


@pytest.mark.parametrize(
    ("answer", "raised", "kind"),
    [
        (refusing, Permanent, "smtp"),
        (talking, Retryable, "timeout"),
        (lambda _: time.sleep(3), Retryable, "timeout"),
        (lambda _: None, Retryable, "connection"),
        (endless, Permanent, "smtp"),
        (lambda stream: stream.write(b"HTTP/1.1 200 OK\r\n\r\n"), Retryable, "connection"),
    ],
)
def test_a_server_that_is_none_ends_the_attempt_in_time(
    answer: Callable[[Any], None], raised: type[ActionError], kind: str
) -> None:
    network.configure(["127.0.0.0/8"])
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=served, args=(listening, answer), daemon=True).start()
        with pytest.raises(raised) as failure:
            send(server_of(listening.getsockname()[1]), timeout=1)
    assert failure.value.kind == kind, str(failure.value)
    network.configure(settings.OUTBOUND_ALLOW)


def served(listening: socket.socket, answer: Callable[[Any], None]) -> None:
    one, _ = listening.accept()
    with suppress(OSError), one, one.makefile("wb") as stream:
        answer(stream)


def test_nobody_listens_and_a_stopped_run_connects_nowhere(port: int, box: Mailbox) -> None:
    with pytest.raises(Retryable, match="cannot be reached: Connection refused"):
        send(server_of(free_port()))
    with pytest.raises(Cancelled):
        send(server_of(port), stopped=True)
    assert box.mails == []


def test_mail_goes_only_to_public_servers_that_the_credential_names(port: int) -> None:
    network.configure([])
    with pytest.raises(Permanent, match=r"127\.0\.0\.1, which is not public; to permit it, add") as failure:
        send(server_of(port))
    assert failure.value.kind == "blocked"
    bearer = Credential(id="1", name="crm", kind="bearer", values={"token": "x"})
    with pytest.raises(Permanent, match="'crm' is of kind bearer, which email cannot use; it takes one of kind smtp"):
        send(bearer)


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_the_connection_is_encrypted_and_the_certificate_is_looked_at(
    box: Mailbox, certificate: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, security: str
) -> None:
    how = {"ssl_context": certificate} if security == "tls" else {"tls_context": certificate, "require_starttls": True}
    with mail_server.serving(box, **how) as port:
        credential = server_of(port, security=security)
        with pytest.raises(Retryable, match="has a certificate that is not trusted"):
            send(credential)
        assert box.mails == []
        believe(monkeypatch, file=tmp_path / "trusted.pem", directory=tmp_path / "none")
        send(credential)
        # aiosmtpd knows of TLS only where it began it itself.
        assert [encrypted for _, encrypted, _ in box.mails] == [security == "starttls"]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("to", "ann@ann.test\r\nBcc: all@x.test", "line break"),
        ("to", "ann@ann.test, bob@bob.test", "is not one mail address"),
        ("to", ["ann@ann.test", "ann"], "is not one mail address"),
        ("to", [], "at least 1"),
        ("to", "ünn@ann.test", "not ASCII"),
        ("to", "ann@" + "ü" * 80 + ".test", "no valid domain"),
        ("to", [f"a{n}@x.test" for n in range(101)], "101 recipients; at most 100 together"),
        ("from", "Shop\n <shop@shop.test>", "line break"),
        ("from", "", "is not one mail address"),
        ("subject", "Hi\r\nX-Spam: no", "line break"),
        ("subject", "Hi\nthere", "line break"),
        ("subject", "Hi\u2028there", "line break"),
        ("subject", "", "at least 1 character"),
        ("reply_to", "<>", "is not one mail address"),
        ("attachments", [{"text": "x"}], "attachments[0] needs a filename"),
        ("attachments", [{"filename": "a\r\nX: y", "text": "x"}], "a mail cannot have"),
        ("attachments", [{"filename": "a", "text": "x", "type": "text/plain; x=\"y"}], "must be a media type"),
        ("attachments", [{"filename": "a", "base64": "%%%"}], "is not base64"),
        ("text", None, "give text or html"),
    ],
)  # fmt: skip
def test_what_no_mail_can_be_is_refused_before_anything_is_sent(field: str, value: Json, words: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        EmailConfig.model_validate({**MAIL, field: value})
    assert words in str(refusal.value)


@pytest.mark.django_db(transaction=True)
def test_a_run_sends_a_mail_over_a_stored_credential_whose_password_is_nowhere(box: Mailbox, port: int) -> None:
    values: dict[str, Json] = {"host": "127.0.0.1", "port": port, "security": "none", "username": "shop"}
    wanted = Wanted(name="mail", kind="smtp", values={**values, "password": PASSWORD})
    store.create(wanted, workspace=workspace(), by=None)
    config = {**MAIL, "to": "{{ input.email }}", "text": "{{ input.text }}"}
    found = published(json.dumps({"name": "tell", "steps": [{"id": "a", "action": "email", "with": config}]}))
    [run_id] = begun(found, {"email": "ann@ann.test", "text": "Hello"})
    drain()
    row = steps(run_id)["a"]
    assert (row.state, row.error) == ("succeeded", None)
    assert row.output == {
        "message_id": read(box)["Message-ID"], "accepted": ["ann@ann.test"], "refused": []
    }  # fmt: skip
    assert PASSWORD not in str((row.config, row.output))
    lease.give_up()
