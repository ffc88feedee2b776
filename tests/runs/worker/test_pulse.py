"""A parent ends a child whose interpreter hangs, and no other."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from functools import partial

import pytest
from pytest_django import Settings

from runs.worker import pulse
from tests.waiting import wait_for


@pytest.fixture
def child(settings: Settings) -> Iterator[int]:
    """A process with a pulse."""
    settings.PROCESS_LEASE_SECONDS = 2
    pid = os.fork()
    if pid == 0:
        pulse.begin()
        time.sleep(120)
        os._exit(0)
    wait_for(lambda: pulse._read(pid), what="the child's pulse")
    yield pid
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def test_a_child_that_goes_on_is_left_alone(child: int) -> None:
    pulses = pulse.Pulses()
    for _ in range(6):
        assert pulses.end_hanging([child]) == []
        time.sleep(0.5)


def test_a_child_that_stands_still_for_longer_than_a_lease_is_killed(child: int) -> None:
    pulses = pulse.Pulses()
    os.kill(child, signal.SIGSTOP)
    assert pulses.end_hanging([child]) == []
    time.sleep(2.5)
    assert pulses.end_hanging([child]) == [], "late once: the whole machine may have stood still"
    assert pulses.end_hanging([child]) == [], "and looked at again too soon"
    time.sleep(pulse._AGAIN_SECONDS)
    assert pulses.end_hanging([child]) == [child]
    status = wait_for(partial(_ended, child), what="the child's end", timeout_seconds=5)
    assert os.WTERMSIG(status) == signal.SIGKILL


def _ended(pid: int) -> int:
    """The status with which it ended; 0 while it lives."""
    return os.waitpid(pid, os.WNOHANG)[1]


def test_a_child_that_went_on_after_a_pause_is_left_alone(child: int) -> None:
    pulses = pulse.Pulses()
    os.kill(child, signal.SIGSTOP)
    time.sleep(2.5)
    assert pulses.end_hanging([child]) == []
    os.kill(child, signal.SIGCONT)
    late = pulse._read(child)
    wait_for(lambda: pulse._read(child) != late, what="the next pulse")
    assert pulses.end_hanging([child]) == []


def test_a_process_without_a_pulse_is_left_alone() -> None:
    pulses = pulse.Pulses()
    assert pulses.end_hanging([os.getpid()]) == pulses.end_hanging([os.getpid()]) == []
