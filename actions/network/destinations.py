"""Which credentials an attempt holds: every request that it sends may go only where all of them may be sent.

The engine says whose requests they are (`sending`), and adds a credential when it is opened (`bind`). It is kept beside
the running code, and not handed to the client: so it holds for each request of each action, whatever the action does
with a value that it was given.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from actions.base import Permanent
from actions.credentials import Credential
from actions.network.urls import Url


class Sender:
    """Whose requests these are: a workspace, and the credentials that were opened for them.

    One object for an attempt, so that its threads and tasks, which copy the variable, all see what one of them opened.
    """

    def __init__(self, workspace: str) -> None:
        self.workspace = workspace
        self.credentials: tuple[Credential, ...] = ()

    @property
    def key(self) -> str:
        """What a kept connection is found by, beside its server: others never share it."""
        return "|".join((self.workspace, *sorted(one.id for one in self.credentials)))


# Outside of attempts nothing is opened.
_NOBODY = Sender("")
_sender: ContextVar[Sender] = ContextVar("sender", default=_NOBODY)


@contextmanager
def sending(workspace: str) -> Iterator[None]:
    """Inside the block, requests are this workspace's, with the credentials that are bound there."""
    token = _sender.set(Sender(workspace))
    try:
        yield
    finally:
        _sender.reset(token)


def bind(credential: Credential) -> None:
    """Hold all requests that follow, of this attempt, to the places where the credential may be sent."""
    now = _sender.get()
    if now is _NOBODY:
        now = Sender("")
        _sender.set(now)
    if credential not in now.credentials:
        now.credentials = (*now.credentials, credential)


def sender() -> Sender:
    """Return whose requests are sent now."""
    return _sender.get()


def check(url: Url) -> None:
    """Raise Permanent of kind `blocked` for a URL to which one of the bound credentials may not be sent."""
    check_place(url.scheme, url.host, url.port)


def check_place(scheme: str, host: str, port: int) -> None:
    """Raise Permanent of kind `blocked` for a place to which one of the bound credentials may not be sent."""
    for one in _sender.get().credentials:
        one.check(scheme, host, port)


def permits(url: Url) -> bool:
    """Whether all bound credentials may be sent to this URL."""
    return all(one.permits(url.scheme, url.host, url.port) for one in _sender.get().credentials)


def check_body(source: Url, target: Url) -> None:
    """Raise Permanent of kind `blocked` if a redirect would take a body where a bound credential may not be sent.

    The credential may stand in the body in any form.
    """
    for one in _sender.get().credentials:
        if not one.permits(target.scheme, target.host, target.port):
            raise Permanent(
                f"{source.shown} redirects to {target.origin} with the body, which may hold the credential "
                f"{one.name!r}; its hosts are {one.shown_hosts or 'none'}",
                kind="blocked",
                details={"credential": one.name, "host": target.host},
            )


def holds_secret(value: str) -> bool:
    """Whether a text has a secret of a bound credential in it."""
    return any(secret in value for one in _sender.get().credentials for secret in one.secrets)
