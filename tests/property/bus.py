"""The messages that are on their way, taken off the real broker so that a test decides what becomes of each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import current_app

# What a message may weigh, whatever it is about.
MAX_BYTES = 32 * 1024

Message = tuple[dict[str, Any], list[Any]]


class Bus:
    """One connection for a whole test: opening one costs more than everything else that a step of the model does."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue

    def arrived(self) -> list[Message]:
        """Take every message off the queue, oldest first. Each is as small as it must be."""
        found: list[Message] = []
        while True:
            try:
                message = self._queue.get_nowait()
            except self._queue.Empty:
                return found
            message.ack()
            assert len(message.body) + len(json.dumps(message.headers)) <= MAX_BYTES
            found.append((message.headers, message.payload))


@contextmanager
def opened() -> Iterator[Bus]:
    """The bus, open inside the block."""
    with current_app.connection_for_read() as connection:
        queue = connection.SimpleQueue(current_app.conf.task_default_queue)
        try:
            yield Bus(queue)
        finally:
            queue.close()
