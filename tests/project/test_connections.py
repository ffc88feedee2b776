"""Connections that the web server should have closed, closed by the process itself."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from project.bridge.connections import Connections


@dataclass(frozen=True)
class Pair:
    """Both ends of a connection to a port of this process."""

    client: socket.socket
    server: socket.socket

    @property
    def address(self) -> str:
        """The client's, as the web server writes it."""
        host, port, *_ = self.client.getsockname()
        return f"[{host}]:{port}" if self.client.family == socket.AF_INET6 else f"{host}:{port}"

    def ended(self) -> bool:
        """Whether the client sees the end."""
        self.client.setblocking(False)
        try:
            return self.client.recv(1) == b""
        except BlockingIOError:
            return False


class Listener:
    """A port at which both ends of a connection are in this process."""

    def __init__(self, family: socket.AddressFamily, host: str) -> None:
        self._listening = socket.socket(family)
        self._listening.bind((host, 0))
        self._listening.listen()
        self._open = [self._listening]

    def connect(self) -> Pair:
        """Return both ends of a new connection."""
        client = socket.create_connection(self._listening.getsockname()[:2])
        pair = Pair(client, self._listening.accept()[0])
        self._open += [pair.client, pair.server]
        return pair

    def watch(self) -> Connections:
        """Return what watches the connections to this port."""
        return Connections(self._listening.getsockname()[1], seconds=60, bytes_per_second=1000)

    def close(self) -> None:
        """Close the port and all connections."""
        for connection in self._open:
            connection.close()


@pytest.fixture(params=[(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")], ids=["IPv4", "IPv6"])
def listener(request: pytest.FixtureRequest) -> Iterator[Listener]:
    """A port of each family that this machine has."""
    family, host = request.param
    try:
        listening = Listener(family, host)
    except OSError:
        pytest.skip(f"this machine has no {host}")
    yield listening
    listening.close()


def test_a_connection_that_is_to_end_is_closed_when_it_is_seen_again_and_others_are_not(
    listener: Listener,
) -> None:
    left_open, other = listener.connect(), listener.connect()
    connections = listener.watch()
    connections.end(left_open.address)
    connections.look()
    assert not left_open.ended()
    assert connections.look() == 0
    assert (left_open.ended(), other.ended()) == (True, False)


def test_an_answer_that_is_on_its_way_is_not_cut_off(listener: Listener) -> None:
    pair = listener.connect()
    pair.server.setblocking(False)
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            sent += pair.server.send(b"x" * 100_000)
    connections = listener.watch()
    connections.end(pair.address)
    for _ in range(4):
        connections.look()
    received = 0
    while received < sent:
        received += len(pair.client.recv(1_000_000))
    connections.look()
    connections.look()
    assert pair.ended()


def test_a_connection_that_has_ended_is_forgotten(listener: Listener) -> None:
    connections = listener.watch()
    pair = listener.connect()
    connections.end(pair.address)
    connections.look()
    pair.client.close()
    pair.server.close()
    connections.look()
    assert connections._ending == {}
