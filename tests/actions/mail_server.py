"""A mail server for tests, which keeps what it is sent."""

from __future__ import annotations

import gc
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

PASSWORD = "a password of the mail server"


class Mailbox:
    """Takes mails, and refuses recipients by their names: `no-550@x.test`, and `full@x.test` once it has all of it."""

    def __init__(self) -> None:
        self.mails: list[tuple[Envelope, bool, str]] = []

    async def handle_RCPT(self, _: SMTP, session: Session, envelope: Envelope, address: str, __: Any) -> str:  # noqa: N802
        if address.startswith("no-"):
            return f"{address[3:6]} refused\tas its name says"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if envelope.rcpt_tos[0].startswith("full"):
            return "452 4.3.1 mailbox is full"
        self.mails.append((envelope, session.ssl is not None, str(session.host_name)))
        return "250 taken"


def login(_: SMTP, __: Session, ___: Envelope, ____: str, given: Any) -> AuthResult:
    right = isinstance(given, LoginPassword) and given.password == PASSWORD.encode()
    return AuthResult(success=right, handled=False)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def serving(box: Mailbox, **how: Any) -> Iterator[int]:
    """Run the server on the loopback, and yield its port."""
    # It connects to itself when it begins, so its port must be known, and cannot be 0.
    controller = Controller(box, hostname="127.0.0.1", port=free_port(), **how)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()
        with warnings.catch_warnings():
            # It does not close what a client closes at just this moment, and the garbage collector would warn of it in
            # some later test.
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


@contextmanager
def plain(box: Mailbox) -> Iterator[int]:
    """Run the server without encryption; it takes PASSWORD, and does not ask for it."""
    with serving(box, authenticator=login, auth_require_tls=False) as port:
        yield port
