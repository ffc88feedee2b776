"""Requests to a host whose name server answers nothing; a program for tests, in namespaces of its own (unshare -rmn).

It prints, as JSON, how each request ended and after how many seconds.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time

from actions import network
from actions.network import Call

# Of Linux: set the flags of an interface; it is up.
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
_CANCEL_SECONDS = 0.3


def main() -> None:
    asked = _hanging_name_server()
    network.configure([])
    told = [_ended(method, timeout=60.0, cancels=True) for method in ("GET", "HEAD", "POST", "DELETE")]
    told += [_ended(method, timeout=1.0, cancels=False) for method in ("GET", "POST")]
    sys.stdout.write(json.dumps({"asked": len(asked.recv(512)) > 0, "ended": told}))
    sys.stdout.flush()
    os._exit(0)  # threads still wait for the name server


def _hanging_name_server() -> socket.socket:
    """Be the only name server of this machine, and answer nothing."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    fcntl.ioctl(server, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))
    server.bind(("127.0.0.1", 53))
    with tempfile.NamedTemporaryFile("w", delete=False) as file:
        file.write("nameserver 127.0.0.1\noptions timeout:30 attempts:5\n")
    subprocess.run(["mount", "--bind", file.name, "/etc/resolv.conf"], check=True)
    return server


def _ended(method: str, *, timeout: float, cancels: bool) -> tuple[str, float]:
    """Send a request that is cancelled soon, or not; return the name of its exception, and the seconds it took."""
    began = time.monotonic()
    try:
        network.request(
            Call(method, f"http://{method.lower()}-{timeout:g}.example.com/"),
            timeout_seconds=timeout,
            cancelled=(lambda: time.monotonic() > began + _CANCEL_SECONDS) if cancels else None,
            patience_seconds=30.0,
        )
    except Exception as error:  # whatever it is, the test compares its name
        return type(error).__name__, time.monotonic() - began
    return "", time.monotonic() - began


if __name__ == "__main__":
    main()
