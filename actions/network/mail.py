"""Send one mail to a mail server (SMTP, RFC 5321) over a connection behind the guard."""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Literal, NamedTuple

from actions.base import ActionError, Permanent, Retryable
from actions.network import trust
from actions.network.dialing import Limit, Watch, dial, watched

# The kind of a failure that the server calls temporary (4xx), as `retry.on` lists it.
TEMPORARY = "smtp"
_LONGEST_ANSWER = 300
_TEMPORARY = range(400, 500)
_READY = 220
_LOWEST = 200


class Server(NamedTuple):
    """A mail server, how the connection to it is encrypted, and who logs in; without a user name nobody does."""

    host: str
    port: int
    security: Literal["starttls", "tls", "none"]
    username: str = ""
    password: str = ""


class Mail(NamedTuple):
    """What is sent: the addresses of the envelope, and the message with its headers."""

    sender: str
    recipients: Sequence[str]
    message: bytes


class Refusal(NamedTuple):
    """A recipient that the server did not take, with its answer."""

    address: str
    code: int
    message: str


def send(mail: Mail, *, server: Server, limit: Limit) -> list[Refusal]:
    """Send a mail, and return the recipients that were refused, which are not all.

    Raises Permanent for what the server refuses for good (kind `smtp`, `credential`) and for `blocked`; Retryable of
    kind `smtp` for what it calls temporary, `connection` and `timeout`; Cancelled until the mail is on its way.
    """
    where = f"the mail server {server.host}:{server.port}"
    opened = dial(server.host, server.port, scheme="smtp", limit=limit)
    try:
        with watched(opened, where, limit) as watch, _told(where, watch):
            return _talk(mail, server=server, opened=opened, watch=watch)
    finally:
        opened.close()


def _talk(mail: Mail, *, server: Server, opened: socket.socket, watch: Watch) -> list[Refusal]:
    if server.security == "tls":
        opened = trust.tls().wrap_socket(opened, server_hostname=server.host)
    talk = _Conversation(opened, name=_own_name(opened))
    try:
        talk.connect(server.host, server.port)
        talk.ehlo_or_helo_if_needed()
        if server.security == "starttls":
            talk.starttls(context=trust.tls())
            talk.ehlo_or_helo_if_needed()
        if server.username:
            talk.login(server.username, server.password)
        watch.commit()
        refused = talk.sendmail(mail.sender, list(mail.recipients), mail.message)
        with suppress(OSError, smtplib.SMTPException):
            talk.putcmd("QUIT")  # its answer would change nothing
        return [_refusal(address, answer) for address, answer in refused.items()]
    finally:
        talk.close()


class _Conversation(smtplib.SMTP):
    """smtplib's client on a socket that is there already. It must not look up or dial anything itself."""

    def __init__(self, opened: socket.socket, *, name: str) -> None:
        super().__init__(local_hostname=name)
        self._opened = opened

    def connect(self, host: str = "", port: int = 0, source_address: Any = None) -> tuple[int, bytes]:
        """Read the server's greeting. Raises SMTPConnectError if it is none."""
        # STARTTLS checks the certificate against this name.
        self._host, self.sock, self.file = host, self._opened, None
        code, text = self.getreply()
        if code != _READY:
            raise smtplib.SMTPConnectError(code, text)
        return code, text


def _own_name(opened: socket.socket) -> str:
    """Return this machine's address as EHLO wants it where there is no name: a name would have to be looked up."""
    address = opened.getsockname()[0]
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


@contextmanager
def _told(where: str, watch: Watch) -> Iterator[None]:
    """Turn what smtplib raises into the failures of an action."""
    try:
        yield
    except ActionError:
        raise
    except Exception as error:
        if watch.reason is not None:
            raise watch.reason from None
        raise _failure(error, where) from None


def _failure(error: Exception, where: str) -> Exception:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        refused = [_refusal(address, answer) for address, answer in error.recipients.items()]
        told = "; ".join(f"{one.address}: {one.code} {one.message}" for one in refused[:5])
        return _refused(f"{where} refused every recipient: {told}", max(one.code for one in refused))
    if isinstance(error, smtplib.SMTPAuthenticationError):
        message = f"{where} did not accept user and password of the credential: {_answer(error)}"
        return Permanent(message, kind="credential", details={"code": error.smtp_code})
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return Permanent(f"{where} cannot do what the credential asks for: {error}", kind="smtp")
    if isinstance(error, smtplib.SMTPResponseException):
        return _refused(f"{where} answered {_answer(error)}", error.smtp_code)
    if isinstance(error, ssl.SSLCertVerificationError):
        return Retryable(f"{where} has a certificate that is not trusted: {error.verify_message}", kind="connection")
    if isinstance(error, (OSError, smtplib.SMTPException)):
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return Retryable(f"the connection to {where} failed: {reason}", kind="connection")
    return error


def _refused(message: str, code: int) -> ActionError:
    if code < _LOWEST:
        return Retryable(f"{message}, which no mail server says", kind="connection")
    if code in _TEMPORARY:
        return Retryable(message, kind=TEMPORARY, details={"code": code})
    return Permanent(message, kind="smtp", details={"code": code})


def _answer(error: smtplib.SMTPResponseException) -> str:
    return f"{error.smtp_code} {_text(error.smtp_error)}"


def _refusal(address: str, answer: tuple[int, bytes]) -> Refusal:
    return Refusal(address, answer[0], _text(answer[1]))


def _text(answer: bytes | str) -> str:
    """Return an answer of the server on one line, and not more of it than a message needs."""
    text = answer.decode(errors="replace") if isinstance(answer, bytes) else answer
    return "".join(one if one.isprintable() else " " for one in text[:_LONGEST_ANSWER])
