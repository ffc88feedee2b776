"""Fixtures of the actions' tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import settings

from actions import network
from tests.actions.http_server import Server, serving


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
