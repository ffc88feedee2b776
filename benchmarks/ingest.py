"""`python -m benchmarks.ingest`: how many runs are accepted over HTTP, one by one and in bulk.

The baseline is the publishing of a bare Celery chain. All are measured in turn, without workers; then single starts
with a worker on the same cores. A run counts as accepted when it is committed and its message is sent. Every run is
looked up afterwards, and the runs of the last part are waited for.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

RESULT = Path(__file__).parent / "results" / "ingest.json"
CONNECTIONS = 16
WEB_PROCESSES = 2
END_SECONDS = 300.0
NDJSON = "application/x-ndjson"


class Web(NamedTuple):
    """The web server as `make up` starts it with WEB_PROCESSES=2, W3, and a token."""

    pid: int
    port: int
    path: str
    token: str


def main() -> None:
    """Measure, print the figures, and write JSON. Exit status 1 if an accepted run is missing, doubled or not done."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bulk", type=int, default=50_000, help="runs in one bulk request")
    parser.add_argument("--singles", type=int, default=10_000, help="single requests in a round")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()

    from benchmarks import servers

    home = servers.start()
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from benchmarks import machine

    before = machine.load_average()
    with _web(home) as web:
        found = _rounds(web, rounds=options.rounds, bulk=options.bulk, singles=options.singles)
        beside = _beside_workers(web, home=home, count=options.singles)
    report = {
        "suite": "ingest",
        "machine": machine.described(),
        "load_average_before": before,
        "connections": CONNECTIONS,
        "web_processes": WEB_PROCESSES,
        "bulk_runs_a_request": options.bulk,
        "figures": {name: _summed_up(values) for name, values in found.items()},
        "ratios": _ratios(found),
        "single_with_workers_beside": beside,
    }
    options.output.write_text(json.dumps(report, indent=2) + "\n")
    _say(f"written to {options.output}")


def _rounds(web: Web, *, rounds: int, bulk: int, singles: int) -> dict[str, list[dict[str, float]]]:
    from benchmarks.baselines import chain

    def publish(count: int) -> float:
        began = time.perf_counter()
        chain.publish(range(count))
        seconds = time.perf_counter() - began
        chain.app.control.purge()
        return seconds

    measured: list[tuple[str, Callable[[int], float], int]] = [
        ("chain_publish", publish, singles),
        ("bulk_lines", lambda count: _bulk(web, _lines(count), kind=NDJSON, count=count), bulk),
        ("bulk_array", lambda count: _bulk(web, _array(count), kind="application/json", count=count), bulk),
        ("single", lambda count: _singles(web, count), singles),
    ]
    found: dict[str, list[dict[str, float]]] = {name: [] for name, _, _ in measured}
    for number in range(rounds):
        for name, work, count in measured:
            work(max(100, count // 50))
            known = _runs()
            figures = _measured(web, work, count)
            if name != "chain_publish" and _runs() - known != count:
                raise SystemExit(f"{name}: {_runs() - known} new runs of {count} that were accepted")
            found[name].append(figures)
            _say(f"round {number + 1}/{rounds}  {name:14} {_in_words(figures)}")
    return found


def _measured(web: Web, work: Callable[[int], float], count: int) -> dict[str, float]:
    """Return the runs accepted per second, and the CPU microseconds per run of web, PostgreSQL and client."""
    from benchmarks import processes

    postgres = _postmaster()
    before = (processes.cpu_seconds(web.pid), processes.cpu_seconds(postgres), _own_cpu())
    seconds = work(count)
    after = (processes.cpu_seconds(web.pid), processes.cpu_seconds(postgres), _own_cpu())
    spent = [(b - a) * 1e6 / count for a, b in zip(before, after, strict=True)]
    return {"per_second": count / seconds, "web_us": spent[0], "postgresql_us": spent[1], "client_us": spent[2]}


def _beside_workers(web: Web, *, home: Path, count: int) -> dict[str, Any]:
    """Measure single starts while two worker children perform the runs; count the runs left at the last acceptance."""
    from benchmarks import systems
    from benchmarks.servers import until
    from runs.models import Run, StepRun

    open_runs = Run.objects.filter(finished_at__isnull=True)
    with systems.stepwise_worker(home / "ingest.log"):
        until(lambda: not open_runs.exists(), what="the backlog", seconds=END_SECONDS)
        _singles(web, count // 10)
        figures = _measured(web, lambda wanted: _singles(web, wanted), count)
        left = open_runs.count()
        until(lambda: not open_runs.exists(), what="the runs", seconds=END_SECONDS)
    bad = Run.objects.exclude(state="succeeded").count() + abs(StepRun.objects.count() - 3 * _runs())
    _say(f"with workers beside   {_in_words(figures)}; {left} not ended when the last was accepted")
    if bad:
        raise SystemExit(f"{bad} runs or steps were not done exactly once")
    return {**figures, "not_ended_when_the_last_was_accepted": left}


def _singles(web: Web, count: int) -> float:
    words = [sys.executable, "-W", "ignore", "-m", "benchmarks.load", str(web.port), str(CONNECTIONS), str(count)]
    with subprocess.Popen(  # noqa: S603 - our own words
        [*words, web.path],
        env={**os.environ, "LOAD_TOKEN": web.token},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as tester:
        if tester.stdout is None or tester.stdin is None or tester.stdout.readline() != "ready\n":
            raise SystemExit("the load tester did not come up")
        tester.stdin.write("go\n")
        tester.stdin.flush()
        told = json.loads(tester.stdout.readline())
    if told["statuses"] != {"201": count}:
        raise SystemExit(f"{count} single starts were answered {told['statuses']}")
    return float(told["seconds"])


def _bulk(web: Web, body: bytes, *, kind: str, count: int) -> float:
    client = http.client.HTTPConnection("127.0.0.1", web.port, timeout=END_SECONDS)
    began = time.perf_counter()
    client.request("POST", f"{web.path}/bulk", body, {"Authorization": f"Bearer {web.token}", "Content-Type": kind})
    told = json.loads(client.getresponse().read())
    seconds = time.perf_counter() - began
    client.close()
    if told.get("created") != count:
        raise SystemExit(f"of {count} runs in bulk: {told}")
    return seconds


def _objects(count: int) -> list[bytes]:
    from benchmarks import work

    mine = time.time_ns()
    return [json.dumps({"input": work.given(n), "idempotency_key": f"{mine}-{n}"}).encode() for n in range(count)]


def _lines(count: int) -> bytes:
    return b"\n".join(_objects(count))


def _array(count: int) -> bytes:
    return b"[" + b",".join(_objects(count)) + b"]"


@contextmanager
def _web(home: Path) -> Iterator[Web]:
    from django.contrib.auth import get_user_model

    from benchmarks import servers, systems
    from project.stack import apps, ports
    from project.stack.children import Child, stop_together
    from project.stack.plan import Plan
    from workflows.workspaces import tokens

    workflow, _ = systems.prepare()
    user = get_user_model().objects.get(username="bench")
    _, token = tokens.issue(workflow.workspace, user, "bench")
    port = ports.free()
    sizes = {"workers": 2, "web_processes": WEB_PROCESSES}
    child = Child(apps.web(Plan(home, port, flower_port=port, **sizes, database_url=None, redis_url=None)))
    try:
        servers.until(lambda: _answers(port), what=f"the web server (see {child.command.log})")
        yield Web(child.process.pid, port, f"/api/v1/workflows/{workflow.name}/runs", token)
    finally:
        stop_together([child])


def _answers(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def _runs() -> int:
    from runs.models import Run

    return Run.objects.count()


def _postmaster() -> int:
    """Return the pid of PostgreSQL's main process, of which all its others are children."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        status = Path(f"/proc/{cursor.fetchone()[0]}/stat").read_text()
    return int(status.rpartition(")")[2].split()[1])


def _own_cpu() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _summed_up(values: list[dict[str, float]]) -> dict[str, Any]:
    """Return the medians, and the rates of all rounds."""
    medians = {name: round(statistics.median(one[name] for one in values), 1) for name in values[0]}
    return {**medians, "all": [round(one["per_second"]) for one in values]}


def _ratios(found: dict[str, list[dict[str, float]]]) -> dict[str, float]:
    """Return the ratios of accepted runs to published chains, as medians over the rounds."""
    base = found["chain_publish"]
    ratios = {}
    for name, values in found.items():
        pairs = zip(values, base, strict=True)
        ratios[name] = round(statistics.median(one["per_second"] / other["per_second"] for one, other in pairs), 2)
    return ratios


def _in_words(figures: dict[str, float]) -> str:
    parts = "  ".join(f"{name.removesuffix('_us')} {figures[name]:5.0f}" for name in figures if name.endswith("_us"))
    return f"{figures['per_second']:8.0f}/s   CPU us each: {parts}"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
