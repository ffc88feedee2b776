"""A process that renders values one after the other, started by actions.expressions.render_helper.

Each request on stdin is its length (8 bytes), then `[value, names]` as JSON. The answer on stdout is one line of JSON:
`{"value": ...}`, or `{"message": ..., "kind": ..., "details": ...}` for a value that cannot be rendered. The kernel
ends the process when one request takes more processor time than its first argument says in seconds.
"""

from __future__ import annotations

import resource
import signal
import sys
from typing import BinaryIO

import orjson

from actions import payload
from actions.base import ActionError
from actions.expressions import render

MEGABYTES = 1024


def serve(source: BinaryIO, answers: BinaryIO, *, seconds: float) -> None:
    """Answer requests until the source ends."""
    while len(header := source.read(8)) == 8:
        request = source.read(int.from_bytes(header))
        # The signal is not handled: Python could handle it only when the evaluation has ended.
        signal.setitimer(signal.ITIMER_PROF, seconds)
        answers.write(_answer(request) + b"\n")
        answers.flush()
        signal.setitimer(signal.ITIMER_PROF, 0)


def _answer(request: bytes) -> bytes:
    value, names = orjson.loads(request)
    try:
        return orjson.dumps({"value": payload.clean(render(value, names))})
    except ActionError as error:
        return orjson.dumps({"message": str(error), "kind": error.kind, "details": error.details})


def main() -> None:
    """Limit this process, and serve its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEGABYTES << 20, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    serve(sys.stdin.buffer, sys.stdout.buffer, seconds=float(sys.argv[1]))


if __name__ == "__main__":
    main()
