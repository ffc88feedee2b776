"""Fixtures of the actions' tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings

from actions import network
from tests.actions import raw_server
from tests.actions.http_server import Server, serving
from tests.actions.sending import Serve


@pytest.fixture
def server() -> Iterator[Server]:
    """An HTTP server that the guard permits, by its address and as localhost."""
    with serving() as told:
        network.configure([f"127.0.0.1:{told.port}", f"localhost:{told.port}"])
        yield told
    network.configure(settings.OUTBOUND_ALLOW)


@pytest.fixture
def hidden_server() -> Iterator[Server]:
    """An HTTP server that the guard does not permit."""
    with serving() as told:
        network.configure([])
        yield told
    network.configure(settings.OUTBOUND_ALLOW)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Run a script as a server that the guard permits."""

    @contextmanager
    def permitted(script: raw_server.Script, **more: Any) -> Iterator[raw_server.Server]:
        with raw_server.raw(script, **more) as server:
            network.configure(["127.0.0.0/8", "::1", "localhost"])
            yield server

    yield permitted
    network.configure(settings.OUTBOUND_ALLOW)
