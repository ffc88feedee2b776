"""The prose of docs/performance.md; every figure on the page comes from the results."""

from __future__ import annotations

from benchmarks.tables import Report

HEAD = """# Performance

Generated from `benchmarks/results/*.json` by `make docs`; a test compares the two. `make bench` measures again (about
fifteen minutes) and writes both; `make bench-quick` prints its main figures in two minutes, less exactly, and publishes
none.

**What is measured.** The common work, W3, is three steps: select a field, compute something tiny, merge both. Every
system does the same work on the same machine in the same run, in turn, A B A B, each for three to six seconds, so that
the measure is a ratio and not a number of one machine. PostgreSQL has its default durability (fsync and
synchronous_commit on), the broker is Valkey with its append-only file, written each second, as `make up` has it. What
starts cold (connections, plans, prepared statements) is done before the clock runs. Stepwise records every step's
output, state and times and every run's input; a step's input and its config without expressions are worked out from
these.

**Beside us**: a bare Celery chain of three tasks without any history at its best fair setting (acknowledged early,
results ignored, no events, no log line for a task, publishing over one kept connection; our own messages, which may be
lost without harm, are not acknowledged at all), with a prefork pool of two and with its fastest pool on two cores, two
solo workers; and the everyday durable way, Celery with Django and one ORM row saved twice for each step, its connection
kept.
"""

FOOT = """## How to reproduce

```
make bench                                # rates, latency, costs, load, schema, parts, and this page
make bench-all                            # all of it, with what the next lines do one by one
.venv/bin/python -m benchmarks.ingest     # starts over HTTP
.venv/bin/python -m benchmarks.effects    # steps that ask a server
.venv/bin/python -m benchmarks.shapes     # big runs
.venv/bin/python -m benchmarks.volume     # beside very many finished runs
.venv/bin/python -m benchmarks.idle       # what it costs to have nothing to do
.venv/bin/python -m benchmarks.backlog    # 100,000 queued runs
make docs                                 # this page again, of what is in benchmarks/results/
```

Each starts a PostgreSQL and a broker of its own on free ports and takes them away again; no other installation is
touched. Linux only, for processor times are read from /proc.

## How to add another engine

A baseline is a module in `benchmarks/baselines/` with the work of `benchmarks/work.py` in the engine's own way, a
function that publishes so many runs, and one that says how many have ended. In `benchmarks/systems.py` it gets a
context that starts its workers, and a function that takes a number of runs and answers how long they took; one line in
`_systems` of `benchmarks/w3.py` puts it in turn with the others, and one in `SYSTEMS` of `benchmarks/page.py` names it
here. Give it its best fair settings, and say which they are. Where it keeps a history, look that up afterwards as
`benchmarks/durability.py` does.
"""


def machine(report: Report) -> str:
    """In general terms."""
    facts = report["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    return (
        f"Machine: {facts['cores']} cores, {facts['memory_gib']} GiB, {facts['system']}; everything on it, loopback and"
        f" sockets only. Python {facts['python']}, PostgreSQL {facts['postgresql']['server_version']} (fsync"
        f" {facts['postgresql']['fsync']}, synchronous_commit {facts['postgresql']['synchronous_commit']},"
        f" shared_buffers {facts['postgresql']['shared_buffers']}), {versions}.\n"
    )
