"""Render in a helper process what takes more than a caller's process may: the web process has 50 ms for it.

Somebody waits meanwhile, in a transaction: the server ends one that idles for 5 s, so all waits together are shorter.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import orjson

from actions.base import Json, Permanent
from actions.expressions.language import ExpressionError
from actions.expressions.rendering import render
from actions.expressions.values import CPU_MILLISECONDS, WEB_CPU_MILLISECONDS, shared
from actions.helper_process import HelperBusy, HelperProcess

# All waits of one caller, and each wait while another one is served, by the clock.
ALL_SECONDS = 4.0
WAIT_SECONDS = 1.0
_SHORTEST_MILLISECONDS = 2
# The kernel's bound on processor time, behind that of the expressions themselves.
_MOST_SECONDS = 2 * CPU_MILLISECONDS / 1000

helper = HelperProcess("actions.expressions.render_process", str(_MOST_SECONDS))


class Renderer:
    """Renders for one caller: here within WEB_CPU_MILLISECONDS in all, what is beyond that in the helper process."""

    def __init__(self) -> None:
        self._milliseconds = WEB_CPU_MILLISECONDS
        self._until = time.monotonic() + ALL_SECONDS

    def render(self, value: Json, names: Mapping[str, Json]) -> Json:
        """Render the value. Raises Permanent, as `render`, and HelperBusy if the helper does not answer in time."""
        if self._milliseconds >= _SHORTEST_MILLISECONDS:
            began, given = time.thread_time(), self._milliseconds
            try:
                with shared(cpu_milliseconds=given):
                    return render(value, names)
            except ExpressionError:
                if time.thread_time() - began < given / 1000:
                    raise
            finally:
                self._milliseconds -= round((time.thread_time() - began) * 1000)
        return self._apart(orjson.dumps([value, names]))

    def _apart(self, request: bytes) -> Json:
        left = self._until - time.monotonic()
        if left <= 0:
            raise HelperBusy
        size = len(request).to_bytes(8)
        with helper.asked(size + request, wait_seconds=min(WAIT_SECONDS, left), longest_seconds=left) as lines:
            answer = lines.next()
            if answer is None and lines.late:
                raise HelperBusy
            if answer is None:
                raise Permanent("takes too long, or too much memory; work it out in several steps", kind="expression")
        found = orjson.loads(answer)
        if "value" not in found:
            raise Permanent(found["message"], kind=found["kind"], details=found["details"])
        rendered: Json = found["value"]
        return rendered
