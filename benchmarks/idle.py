"""`python -m benchmarks.idle`: the statements, memory and CPU time of an idle installation.

It starts `make up` with its own home and ports, lets it settle, and measures for a minute. Statements are counted from
PostgreSQL's log; BEGIN, COMMIT and the like are left out. Linux only: memory is read from /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import redis

from project.env import BASE_DIR
from project.stack import ports

RESULT = Path(__file__).parent / "results" / "idle.json"
MOST_STATEMENTS = 5.0
READY_SECONDS = 180.0
_UNCOUNTED = re.compile(r"(BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|SET)\b", re.IGNORECASE)
_LOGGED = re.compile(r"LOG: +(?:statement|execute [^:]*): (.*)")
_ROLES = (
    ("postgres", "postgres"),
    ("valkey-server", "valkey"),
    ("granian", "web"),
    ("worker", "worker"),
    ("beat", "beat"),
    ("flower", "flower"),
    ("project.up", "supervisor"),
)


@dataclass(frozen=True)
class Process:
    """One process of the installation, with its memory and CPU time so far."""

    pid: int
    parent: int
    role: str
    cpu_seconds: float
    pss_megabytes: float


def main() -> None:
    """Measure, and write JSON. Exit status 1 if more statements are sent than an idle installation may send."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.idle", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long it measures")
    parser.add_argument("--settle", type=float, default=20.0, help="how long it waits before")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="stepwise-idle-"))
    env = {**os.environ, "STEPWISE_HOME": str(home), "STEPWISE_ENV_FILE": os.devnull}
    env |= {"PORT": str(ports.free()), "FLOWER_PORT": str(ports.free())}
    log = (home / "up.log").open("w")
    words = [sys.executable, "-m", "project.up"]
    up = subprocess.Popen(words, cwd=BASE_DIR, env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)  # noqa: S603 - our own words
    try:
        _wait_until_ready(up, home)
        time.sleep(options.settle)
        report = _measured(up.pid, home, seconds=options.seconds)
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(90)
        log.close()
        shutil.rmtree(home, ignore_errors=True)
    options.output.write_text(json.dumps(report, indent=2) + "\n")
    sys.stdout.write(json.dumps(report, indent=2) + f"\nwritten to {options.output}\n")
    sys.exit(1 if report["statements_per_second"] >= MOST_STATEMENTS else 0)


def _wait_until_ready(up: subprocess.Popen[bytes], home: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not re.search(r"^ready ", (home / "up.log").read_text(), re.MULTILINE):
        if up.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"make up did not get ready: {(home / 'up.log').read_text()[-2000:]}")
        time.sleep(0.1)


def _measured(root: int, home: Path, *, seconds: float) -> dict[str, Any]:
    known = _credentials(home / "credentials.env")
    broker = redis.Redis.from_url(known["REDIS_URL"])
    log = home / "log" / "postgres.log"
    with psycopg.connect(known["DATABASE_URL"], autocommit=True) as database:
        database.execute("ALTER SYSTEM SET log_statement = 'all'")
        database.execute("SELECT pg_reload_conf()")
        time.sleep(1)
        begin, before, commands = log.stat().st_size, _processes(root), _commands(broker)
        began = time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - began
        statements = _statements(log, begin=begin)
        after, commands_after = _processes(root), _commands(broker)
    cpu = {pid: process.cpu_seconds for pid, process in before.items()}
    roles: dict[str, dict[str, float]] = {}
    for pid, process in after.items():
        role = roles.setdefault(process.role, {"processes": 0, "pss_megabytes": 0.0, "cpu_percent": 0.0})
        role["processes"] += 1
        role["pss_megabytes"] += process.pss_megabytes
        role["cpu_percent"] += 100 * (process.cpu_seconds - cpu.get(pid, 0.0)) / took
    redis_commands = {name: round((count - commands.get(name, 0)) / took, 2) for name, count in commands_after.items()}
    return {
        "seconds": round(took, 1),
        "cores": os.cpu_count(),
        "statements_per_second": round(sum(statements.values()) / took, 2),
        "statements": {text: round(count / took, 3) for text, count in statements.most_common(20)},
        "broker_commands_per_second": {name: rate for name, rate in redis_commands.items() if rate},
        "pss_megabytes": round(sum(one["pss_megabytes"] for one in roles.values()), 1),
        "cpu_percent": round(sum(one["cpu_percent"] for one in roles.values()), 2),
        "roles": {name: {key: round(value, 2) for key, value in one.items()} for name, one in sorted(roles.items())},
    }


def _credentials(path: Path) -> dict[str, str]:
    lines = [line.split("=", 1) for line in path.read_text().splitlines() if "=" in line and not line.startswith("#")]
    return {name: value.strip("'\"") for name, value in lines}


def _statements(log: Path, *, begin: int) -> Counter[str]:
    """Count the statements logged from the offset `begin` on, by the first 160 characters of each."""
    with log.open("rb") as file:
        file.seek(begin)
        text = file.read().decode(errors="replace")
    found: Counter[str] = Counter()
    # The further lines of a statement are indented in the log.
    for line in re.sub(r"\n\s+", " ", text).splitlines():
        logged = _LOGGED.search(line)
        if logged is not None and not _UNCOUNTED.match(logged[1].strip()):
            found[" ".join(logged[1].split())[:160]] += 1
    return found


def _commands(broker: redis.Redis) -> dict[str, int]:
    stats: Any = broker.info("commandstats")
    return {name.removeprefix("cmdstat_"): int(one["calls"]) for name, one in stats.items() if "info" not in name}


def _processes(root: int) -> dict[int, Process]:
    """Return the root process and all its descendants, by pid."""
    everything = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            everything[int(entry.name)] = _process(entry)
        except OSError:
            continue
    mine = {root}
    grown = True
    while grown:
        below = {pid for pid, one in everything.items() if one.parent in mine}
        grown = not below <= mine
        mine |= below
    return {pid: one for pid, one in everything.items() if pid in mine}


def _process(entry: Path) -> Process:
    words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    stat = (entry / "stat").read_text().rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    pss = re.search(r"^Pss: +(\d+)", (entry / "smaps_rollup").read_text(), re.MULTILINE)
    return Process(
        pid=int(entry.name),
        parent=int(stat[1]),
        role=next((role for word, role in _ROLES if word in words), "other"),
        cpu_seconds=(int(stat[11]) + int(stat[12])) / ticks,
        pss_megabytes=int(pss[1]) / 1024 if pss else 0.0,
    )


if __name__ == "__main__":
    main()
