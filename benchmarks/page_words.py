"""The introduction and the end of docs/performance.md. Every figure on the page comes from the results."""

from __future__ import annotations

from benchmarks.tables import Report

HEAD = """# Performance

Generated from `benchmarks/results/*.json` by `make docs`; a test compares the two. `make bench` measures again (about
an hour) and writes both. `make bench-quick` prints the main figures in five minutes, less exactly, and does not change
this page.

**What is measured.** Two kinds of common work. W3 is a workflow of three pure steps: select a field, compute one hash,
merge both. W4 is a workflow of three `http_request` steps, one after the other: work that reaches outside. Every system
does the same work on the same machine in the same session. The systems are measured in turn (ABAB), in W3 each for
three to six seconds, so that what counts is the ratio between two systems, not the speed of one machine. PostgreSQL has
its default durability (fsync and synchronous_commit on). The broker is Valkey with an append-only file that is written
each second, as in `make up`. Before the clock starts, every system is warmed up, so that connections, plans and
prepared statements exist. Stepwise records the output, state and times of every step, and the input of every run; a
step's input and a config without expressions are not stored, because they follow from these.

**The baselines.**

- A *bare Celery chain* of three tasks, without any history, with its best fair settings: early acknowledgement, results
  ignored, no events, no log lines per task, publishing over one persistent connection. (Stepwise's own messages, whose
  loss is harmless, are not acknowledged at all.) For W3 it is measured with a prefork pool of two, and with its
  fastest pool on two cores: two solo workers. For W4 it is measured with a prefork pool of two, with 32 threads, and
  with 100 greenlets of gevent.
- The *naive durable app*: Celery with Django, and one ORM row per step that is saved twice, over a persistent database
  connection; in W4, before and after the request.
"""

FOOT = """## How to reproduce

```
make bench                                  # W3, W4, slow neighbours, load, schema, parts, and this page
make bench-all                              # everything: `make bench` and the lines from `ingest` on
.venv/bin/python -m benchmarks.w4           # three requests in turn
.venv/bin/python -m benchmarks.neighbours   # slow neighbours
.venv/bin/python -m benchmarks.ingest       # starts over HTTP
.venv/bin/python -m benchmarks.effects      # steps that send HTTP requests
.venv/bin/python -m benchmarks.http_shapes  # big runs that send requests
.venv/bin/python -m benchmarks.shapes       # big runs
.venv/bin/python -m benchmarks.volume       # a database with very many finished runs
.venv/bin/python -m benchmarks.idle         # an idle installation
.venv/bin/python -m benchmarks.backlog      # 100,000 queued runs
make docs                                   # only this page, from what is in benchmarks/results/
```

Each starts its own PostgreSQL and broker on free ports, and stops them at the end; no other installation is touched.
Linux only, because CPU times are read from /proc.

## How to add another engine

1. Write a module in `benchmarks/baselines/` that does the work of `benchmarks/work.py` in the engine's own way. It
   needs a function that publishes a number of runs, and one that returns how many have ended.
2. In `benchmarks/systems.py`, add a context manager that starts its workers, and a function that performs a number of
   runs and returns how long they took.
3. Add a line to `_systems` in `benchmarks/w3.py`, so that it is measured in turn with the others, and one to `SYSTEMS`
   in `benchmarks/page.py`, with its name for this page. For W4, both are in `benchmarks/w4_systems.py` and
   `benchmarks/page_effects.py`.

Give the engine its best fair settings, and document them. If it keeps a history, check that afterwards, as
`benchmarks/durability.py` does.
"""


def machine(report: Report) -> str:
    """Return a description of the machine in general terms."""
    facts = report["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    return (
        f"Machine: {facts['cores']} cores, {facts['memory_gib']} GiB, {facts['system']}; everything runs on it,"
        f" connected by loopback and Unix sockets. Python {facts['python']}, PostgreSQL"
        f" {facts['postgresql']['server_version']} (fsync {facts['postgresql']['fsync']}, synchronous_commit"
        f" {facts['postgresql']['synchronous_commit']}, shared_buffers {facts['postgresql']['shared_buffers']}),"
        f" {versions}.\n"
    )
