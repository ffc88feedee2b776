"""`python -m tests.actions.forking URL [TRUSTED]`: send a request, fork, send two in the child, then one in the parent.

The child ends as a program does, and not by os._exit, so whatever it has inherited is torn down.
"""

from __future__ import annotations

import os
import ssl
import sys
from types import SimpleNamespace

from actions import network
from actions.network import Call


def main() -> int:
    """Return the number of children that failed."""
    url = sys.argv[1]
    if len(sys.argv) > 2:
        paths = SimpleNamespace(openssl_cafile=sys.argv[2], openssl_capath="")
        ssl.get_default_verify_paths = lambda: paths  # type: ignore[assignment,return-value]
    network.configure(["127.0.0.1"])
    _send(url)
    if not os.fork():
        _send(url)
        _send(url)
        return 0
    _, status = os.wait()
    _send(url)
    return os.waitstatus_to_exitcode(status)


def _send(url: str) -> None:
    if network.request(Call("POST", url), timeout_seconds=10).body != b"ok":
        raise ValueError("the response is another one's")


if __name__ == "__main__":
    sys.exit(main())
