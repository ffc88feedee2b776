"""Send requests with the client, to servers that speak the bytes of a script."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from actions import network
from actions.base import ActionError
from actions.network import Call
from tests.actions.raw_server import Server, once

Serve = Callable[..., AbstractContextManager[Server]]


def send(url: str, method: str = "GET", *, timeout_seconds: float = 5.0, **more: Any) -> network.Answer:
    return network.request(Call(method=method, url=url, **more), timeout_seconds=timeout_seconds)


def answered(serve: Serve, data: bytes, method: str = "GET") -> network.Answer:
    """What the client makes of these bytes."""
    with serve(once(data)) as server:
        return send(server.url(), method)


def failure(serve: Serve, data: bytes, **more: Any) -> ActionError:
    with serve(once(data)) as server, pytest.raises(ActionError) as caught:
        send(server.url(), **more)
    return caught.value
