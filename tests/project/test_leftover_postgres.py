"""What a killed supervisor leaves of its PostgreSQL: the next start waits for it, and then starts."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from project.stack import postgres
from project.stack.children import Child, end_leftovers, stop_together
from tests.waiting import wait_for


@pytest.fixture
def server(tmp_path: Path) -> postgres.Postgres:
    return postgres.prepare(tmp_path, password="left")


@pytest.fixture
def child(server: postgres.Postgres, tmp_path: Path) -> Iterator[Child]:
    child = Child(server.command(log=tmp_path / "postgres.log"))
    yield child
    stop_together([child])


def test_processes_that_outlive_their_server_are_waited_for(server: postgres.Postgres, child: Child) -> None:
    wait_for(server.answers, what="the server")
    postmaster = child.process.pid
    lingering = next(pid for pid in postgres._serving(server.data, named=None) if pid != postmaster)
    os.kill(lingering, signal.SIGSTOP)
    os.kill(postmaster, signal.SIGKILL)
    child.process.wait()
    waiting = threading.Thread(target=postgres.end_leftover, args=[server.data])
    waiting.start()
    try:
        waiting.join(0.5)
        assert waiting.is_alive()
    finally:
        os.kill(lingering, signal.SIGCONT)
        waiting.join(60)
    assert postgres._serving(server.data, named=None) == []
    child._start()
    wait_for(server.answers, what="the next server", timeout_seconds=30)


def test_a_server_that_still_runs_is_ended_in_order(server: postgres.Postgres, child: Child, tmp_path: Path) -> None:
    wait_for(server.answers, what="the server")
    end_leftovers(tmp_path)
    assert child.process.poll() is None
    postgres.end_leftover(server.data)
    assert child.process.wait(60) == 0
    assert "database system is shut down" in child.command.log.read_text(encoding="utf-8")
