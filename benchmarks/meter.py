"""Attribute processor time to parts of the code that call each other, in this process and in its database backend."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any


@dataclass
class Part:
    """What one part took by itself, without the parts that it called: calls, and seconds of processor and wall."""

    name: str
    calls: int = 0
    python: float = 0.0
    postgresql: float = 0.0
    wall: float = 0.0


class Meter:
    """Parts by name, in the order in which they were first entered."""

    def __init__(self, backend: int) -> None:
        self.parts: dict[str, Part] = {}
        self._stack: list[Part] = []
        self._backend = Path(f"/proc/{backend}/schedstat")
        self._python = self._wall = self._postgresql = 0.0

    def clear(self) -> None:
        """Forget what was measured; not while a part is open."""
        self.parts.clear()

    @contextmanager
    def part(self, name: str, *, asks: bool = False) -> Iterator[None]:
        """What runs in the block belongs to this part, but for parts opened inside. `asks`: it waits for PostgreSQL."""
        self._settle(asks=asks)
        part = self.parts.setdefault(name, Part(name))
        part.calls += 1
        self._stack.append(part)
        try:
            yield
        finally:
            self._settle(asks=asks)
            self._stack.pop()

    def watch(self, owner: Any, attribute: str, name: str | Callable[..., str], *, asks: bool = False) -> None:
        """Make calls of a module's or object's function a part. One that is not there is no part, and no fault."""
        found = getattr(owner, attribute, None)
        if found is None:
            return

        @wraps(found)
        def timed(*given: Any, **named: Any) -> Any:
            with self.part(name if isinstance(name, str) else name(*given), asks=asks):
                return found(*given, **named)

        # Also where it was imported by name.
        others = [one for name, one in list(sys.modules.items()) if name.startswith("runs.")]
        for one in (owner, *others):
            if getattr(one, attribute, None) is found:
                setattr(one, attribute, timed)

    def _settle(self, *, asks: bool) -> None:
        """Give what has passed since the last time to the part on top."""
        python, wall = time.process_time(), time.perf_counter()
        if self._stack:
            self._stack[-1].python += python - self._python
            self._stack[-1].wall += wall - self._wall
        if asks:
            # Nanoseconds on a processor. Reading it takes some microseconds, so only parts that ask have it read.
            postgresql = int(self._backend.read_text().split()[0]) / 1e9
            if self._stack:
                self._stack[-1].postgresql += postgresql - self._postgresql
            self._postgresql = postgresql
        self._python, self._wall = time.process_time(), time.perf_counter()
