"""What a mail may say of itself, and where it may go."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from pydantic import ValidationError

from actions import network, registry
from actions.base import ActionError
from actions.credentials import Credential, Host
from tests.actions.contexts import Given, context
from tests.actions.mail_server import Mailbox, plain
from tests.hostile.case import Case

MAIL = {"credential": "mail", "from": "a@a.test", "to": "b@b.test", "subject": "Hi", "text": "x"}
# What may end a header, alone and in front of another one.
BREAKS = {"CR LF": "\r\n", "LF": "\n", "CR": "\r", "NUL": "\0", "vertical tab": "\v", "escape": "\x1b"}
UNICODE_BREAKS = {"line separator": "\u2028", "next line": "\x85", "paragraph separator": "\u2029"}
FIELDS = ("subject", "from", "to", "cc", "bcc", "reply_to")


def injected(field: str, at: str) -> str | None:
    """Try to begin a header in the text of another one."""
    text = f"x{at}Bcc: victim@evil.test{at}{at}body" if field == "subject" else f"a@a.test{at}Bcc: victim@evil.test"
    return _sent({field: text}, never=["victim@evil.test"])


def filename(at: str) -> str | None:
    file = {"filename": f'a.txt"{at}Content-Type: text/html{at}{at}<script>', "text": "x"}
    return _sent({"attachments": [file]}, never=["victim"])


def address(text: str) -> str | None:
    """Try to send to more than the one address that a text is, or to none."""
    return _sent({"to": text}, never=["victim@evil.test"])


def _sent(more: dict[str, Any], *, never: list[str]) -> str | None:
    """Send a mail; return what is wrong if it had another header, or another recipient, than its config says."""
    box = Mailbox()
    with plain(box) as port:
        network.configure(["127.0.0.0/8"])
        action = registry.get("email")
        try:
            action.perform(action.config_class.model_validate({**MAIL, **more}), _given(port))
        except (ValidationError, ActionError):
            return None
        finally:
            network.configure([])
    [(envelope, _, _)] = box.mails
    assert isinstance(envelope.content, bytes)
    head = envelope.content.partition(b"\r\n\r\n")[0].lower()
    if b"\r\nbcc" in head or b"\r\nx-" in head or any(one in str(envelope.rcpt_tos) for one in never):
        return f"a mail to {envelope.rcpt_tos} with the headers {head[:300]!r}"
    return None


def _given(port: int) -> Given:
    values = {"host": "127.0.0.1", "port": str(port), "security": "none"}
    credential = Credential("1", "mail", "smtp", values, hosts=(Host("smtp", "127.0.0.1", port),))
    return Given(input=None, names=context(None).names, credentials={"mail": credential})


def _cases() -> Iterator[Case]:
    for field in FIELDS:
        for name, at in {**BREAKS, **UNICODE_BREAKS}.items():
            yield Case(f"{name} in {field} of a mail", "mail headers", partial(injected, field, at))
    for name, at in BREAKS.items():
        yield Case(f"{name} in the name of an attachment", "mail headers", partial(filename, at))
    for name, text in {
        "two addresses": "b@b.test, victim@evil.test",
        "two with a semicolon": "b@b.test; victim@evil.test",
        "a group": "all: b@b.test, victim@evil.test;",
        "a route": "<@evil.test:victim@evil.test>",
        "a comment": "b@b.test (victim@evil.test)",
        "a quoted local part": '"b@b.test> RCPT TO:<victim@evil.test"@a.test',
        "a command": "b@b.test>\r\nRCPT TO:<victim@evil.test",
        "an encoded break": "=?utf-8?q?a=0D=0ABcc:_victim@evil.test?= <b@b.test>",
        "a name of a megabyte": f"{'n' * 1_000_000} <b@b.test>",
        "a megabyte of addresses": "b@b.test," * 100_000,
        "a million quotes": '"' * 1_000_000 + "@b.test",
        "a million brackets": "<" * 1_000_000 + "b@b.test",
        "a million comments": "(" * 1_000_000 + "b@b.test",
        "a million dots": "b" + "." * 1_000_000 + "@b.test",
        "490 brackets": "<" * 490 + "b@b.test",
        "490 comments": "(" * 490 + "b@b.test",
        "490 dots": "b" + "." * 490 + "@b.test",
        "490 quotes": '"' * 490 + "@b.test",
    }.items():
        yield Case(f"{name} as a mail's recipient", "mail headers", partial(address, text))


CASES = list(_cases())
