"""A process that validates values one after the other, started by workflows.publishing.schema_helper.

Each request on stdin is the length of a schema and of a value (8 bytes each), then both as JSON. The answer on stdout
is one line: `+` if the value matches; `-` if not, and then a second line, the faults as JSON. The kernel ends the
process when one request takes more processor time than its first argument says in seconds.
"""

from __future__ import annotations

import resource
import signal
import sys
from typing import BinaryIO

import orjson

from workflows.definitions import json_schema

MEGABYTES = 1024


def serve(source: BinaryIO, answers: BinaryIO, *, seconds: float) -> None:
    """Answer requests until the source ends."""
    while len(header := source.read(16)) == 16:
        schema = source.read(int.from_bytes(header[:8]))
        value = source.read(int.from_bytes(header[8:]))
        # The signal is not handled: Python could handle it only when the validation has ended.
        signal.setitimer(signal.ITIMER_PROF, seconds)
        validator = json_schema.compile_schema(orjson.loads(schema))
        given = orjson.loads(value)
        matches = validator.is_valid(given)
        answers.write(b"+\n" if matches else b"-\n")
        answers.flush()
        if not matches:
            answers.write(orjson.dumps([tuple(fault) for fault in json_schema.faults(validator, given)]) + b"\n")
            answers.flush()
        signal.setitimer(signal.ITIMER_PROF, 0)


def main() -> None:
    """Limit this process, and serve its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEGABYTES << 20, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    serve(sys.stdin.buffer, sys.stdout.buffer, seconds=float(sys.argv[1]))


if __name__ == "__main__":
    main()
