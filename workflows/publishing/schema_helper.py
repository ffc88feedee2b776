"""Validate values by dear schemas in a helper process, which can be killed: one at a time, with a short queue.

In the web process a validation would hold the interpreter's lock, and with it every other request, until its end.
"""

from __future__ import annotations

import orjson

from actions.helper_process import HelperBusy, HelperProcess
from workflows.definitions.json_schema import Fault

__all__ = ["SECONDS", "Helper", "HelperBusy", "TooDear", "helper"]

# Processor time of one validation; its process has workflows.publishing.schema_process.MEGABYTES of memory.
SECONDS = 2.0
# The longest by the clock, for a process that gets no processor or does not answer.
LONGEST_SECONDS = 20.0
# How long callers wait while another one is served.
WAIT_SECONDS = 5.0


class TooDear(Exception):
    """The validation of one value took more than it may."""


class Helper(HelperProcess):
    """The process that validates."""

    def __init__(self) -> None:
        super().__init__("workflows.publishing.schema_process", str(SECONDS))

    def faults(self, schema: bytes, value: bytes) -> list[Fault] | None:
        """Return the faults of a value: none if it matches, None if it does not and the faults took too much.

        Raises TooDear and HelperBusy.
        """
        request = len(schema).to_bytes(8) + len(value).to_bytes(8) + schema + value
        with self.asked(request, wait_seconds=WAIT_SECONDS, longest_seconds=LONGEST_SECONDS) as lines:
            verdict = lines.next()
            if verdict == b"+":
                return []
            answer = lines.next() if verdict == b"-" else None
            if answer is None:
                self._kill()
            if verdict is None:
                raise TooDear
        return None if answer is None else [Fault(*each) for each in orjson.loads(answer)]


helper = Helper()
