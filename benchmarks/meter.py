"""Attribute CPU time to nested parts of the code, in this process and in its database backend."""

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
    """One part's calls, CPU seconds and wall seconds, without those of the parts that it called."""

    name: str
    calls: int = 0
    python: float = 0.0
    postgresql: float = 0.0
    wall: float = 0.0


class Meter:
    """All parts by name, in the order in which they were first entered. `backend` is the database backend's pid."""

    def __init__(self, backend: int) -> None:
        self.parts: dict[str, Part] = {}
        self._stack: list[Part] = []
        self._backend = Path(f"/proc/{backend}/schedstat")
        self._python = self._wall = self._postgresql = 0.0

    def clear(self) -> None:
        """Discard what was measured; not permitted while a part is open."""
        self.parts.clear()

    @contextmanager
    def part(self, name: str, *, asks: bool = False) -> Iterator[None]:
        """Attribute the block's time to this part, except that of parts opened inside.

        `asks`: the part executes SQL, so the backend's CPU time is read as well.
        """
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
        """Wrap a function of a module or object, so that its calls are a part. A missing function is ignored."""
        found = getattr(owner, attribute, None)
        if found is None:
            return

        @wraps(found)
        def timed(*given: Any, **named: Any) -> Any:
            with self.part(name if isinstance(name, str) else name(*given), asks=asks):
                return found(*given, **named)

        # Replace it also in the modules that imported it by name.
        others = [one for name, one in list(sys.modules.items()) if name.startswith("runs.")]
        for one in (owner, *others):
            if getattr(one, attribute, None) is found:
                setattr(one, attribute, timed)

    def _settle(self, *, asks: bool) -> None:
        """Attribute the time since the last call to the innermost open part."""
        python, wall = time.process_time(), time.perf_counter()
        if self._stack:
            self._stack[-1].python += python - self._python
            self._stack[-1].wall += wall - self._wall
        if asks:
            # The backend's CPU time in nanoseconds. Reading it takes some microseconds, so it is read only for parts
            # that execute SQL.
            postgresql = int(self._backend.read_text().split()[0]) / 1e9
            if self._stack:
                self._stack[-1].postgresql += postgresql - self._postgresql
            self._postgresql = postgresql
        self._python, self._wall = time.process_time(), time.perf_counter()
