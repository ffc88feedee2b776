"""Read threads, CPU seconds and memory of a process and its children from /proc. Linux only."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """Return the process and all its living descendants."""
    found, at = [pid], 0
    while at < len(found):
        for listed in Path(f"/proc/{found[at]}/task").glob("*/children"):
            try:
                found += [int(child) for child in listed.read_text().split()]
            except OSError:
                continue
        at += 1
    return found


def parent(pid: int) -> int:
    """Return the pid of the parent process."""
    return int(_status(pid)["PPid"])


def threads(pid: int) -> int:
    """Return the number of threads; 0 if the process has ended."""
    return int(_status(pid).get("Threads", 0))


def cpu_seconds(pid: int) -> float:
    """Return user and system time of the process and its descendants, including children that have ended."""
    return sum(_spent(one, ended=True) for one in family(pid))


def own_cpu_seconds(pid: int) -> float:
    """Return user and system time of the process itself."""
    return _spent(pid, ended=False)


def _spent(pid: int, *, ended: bool) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(field) for field in fields[11 : 15 if ended else 13]) / _TICKS


def memory_mib(pid: int) -> float:
    """Return the proportional set size (PSS) in MiB; 0 if the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def _status(pid: int) -> dict[str, str]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return {name: rest.strip() for name, _, rest in (line.partition(":") for line in lines)}
