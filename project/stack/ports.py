"""Probe the TCP ports of the loopback interface."""

from __future__ import annotations

import random
import socket

HOST = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether no process listens on the port now. Connections that are closing do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def answers(port: int) -> bool:
    """Whether a process accepts connections on the port."""
    try:
        with socket.create_connection((HOST, port), timeout=1):
            return True
    except OSError:
        return False


def free() -> int:
    """Return a port that is free now.

    It is one that the system gives to no outgoing connection (Linux gives those from 32768 on): such a connection could
    take the port before a server listens there.
    """
    for _ in range(200):
        if is_free(port := random.randrange(20_000, 32_000)):  # noqa: S311 - spreads the choices, guards nothing
            return port
    raise OSError("none of 200 ports from 20000 to 31999 is free; stop what listens there")
