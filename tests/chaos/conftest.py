from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine import messages
from tests.workers import Worker


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Starts real workers; whatever is left of them ends with the test."""
    messages()
    started: list[Worker] = []

    def start(*, children: int = 2, **env: str) -> Worker:
        started.append(Worker(tmp_path / f"worker{len(started)}.log", children=children, **env))
        return started[-1].start()

    yield start
    for one in started:
        one.kill()
