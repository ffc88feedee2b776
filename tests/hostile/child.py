"""Perform one case in a child process, and measure what it costs there."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from tests.hostile.case import Case

# A child is ended at this multiple of its case's CPU time, and at this many seconds of the clock in any case.
_CPU_FACTOR = 5
_MOST_SECONDS = 120.0
# A child cannot use more address space than it began with and this: a bomb must not take the machine down.
_ROOM_BYTES = 3 * 1024**3


@dataclass(frozen=True)
class Verdict:
    """What became of a case: `fault` is what got through or exceeded a bound, None if the defence held."""

    case: Case
    milliseconds: float
    megabytes: float
    fault: str | None


def judged(case: Case) -> Verdict:
    """Perform a case in a fork of this process, which has no threads, and say whether the defence held."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _perform(case, writing)
    os.close(writing)
    try:
        said = _heard(reading, pid)
    finally:
        os.close(reading)
    _, status, used = os.wait4(pid, 0)
    if not said:
        spent = 1000 * (used.ru_utime + used.ru_stime)
        return Verdict(case, spent, 0.0, f"its process ended with status {status} after {spent:,.0f} ms of CPU time")
    found = json.loads(said)
    return Verdict(case, found["milliseconds"], found["megabytes"], _fault(case, found))


def slack() -> float:
    """By what the processor time of each case may exceed its bound: more than 1 beside other work on the processor."""
    return float(os.environ.get("STEPWISE_HOSTILE_SLACK", "1"))


def _fault(case: Case, found: dict[str, float | str | None]) -> str | None:
    if found["said"] is not None:
        return str(found["said"])
    if float(found["milliseconds"] or 0) > case.milliseconds * slack():
        return f"took {found['milliseconds']:,.0f} ms of CPU time; its bound is {case.milliseconds:,}"
    if float(found["megabytes"] or 0) > case.megabytes:
        return f"took {found['megabytes']:,.0f} MB; its bound is {case.megabytes:,}"
    return None


def _heard(reading: int, pid: int) -> bytes:
    """Return what the child wrote; nothing if it was ended, by a limit or because its time was over."""
    heard, ends = b"", time.monotonic() + _MOST_SECONDS
    while True:
        ready, _, _ = select.select([reading], [], [], max(0.0, ends - time.monotonic()))
        if not ready:
            os.kill(pid, signal.SIGKILL)
            return b""
        part = os.read(reading, 65536)
        if not part:
            return heard
        heard += part


def _perform(case: Case, writing: int) -> None:
    """Perform the case, write what was found, and end this process."""
    seconds = int(_CPU_FACTOR * slack() * case.milliseconds / 1000) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    room = _pages(0) + _ROOM_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    before, began = _pages(1), _cpu_milliseconds()
    try:
        said = case.attack()
    except Exception as error:  # an attack that is refused says so itself: anything else would be a status 500
        said = f"raised {type(error).__name__}: {str(error)[:200]}"
    spent = _cpu_milliseconds() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    found = {"said": said, "milliseconds": spent, "megabytes": max(0, peak - before) / 1024**2}
    os.write(writing, json.dumps(found).encode()[:60_000])
    os._exit(0)


def _pages(field: int) -> int:
    """Return a field of /proc/self/statm in bytes: 0 is the address space, 1 what of it is in memory."""
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(fields[field]) * os.sysconf("SC_PAGE_SIZE")


def _cpu_milliseconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return 1000 * (used.ru_utime + used.ru_stime)
