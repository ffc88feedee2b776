"""Wait for something to become true, with a deadline and a name: the only way to wait in a test."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(condition: Callable[[], T], *, what: str, timeout_seconds: float = 30.0) -> T:
    """The first true answer of `condition`; AssertionError names what did not come in time.

    The deadline is for what never comes: it is far beyond what a busy machine needs, and proves no speed.
    """
    deadline = time.monotonic() + timeout_seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"waited {timeout_seconds} s for {what}"
        time.sleep(0.02)
    return answer
