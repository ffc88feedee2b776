"""The later sections of docs/performance.md: the other suites, the parts of a run, and the costs of the schema."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.tables import Report, number, spread, table

# If a run saves less WAL than this without an index, it never wrote to the index.
_UNTOUCHED_BYTES = 5.0
_INGEST = {
    "chain_publish": "publishing a bare Celery chain",
    "single": "`POST .../runs`, one run per request",
    "bulk_lines": "`POST .../runs/bulk`, a stream of lines",
    "bulk_array": "`POST .../runs/bulk`, an array",
}
_EFFECTS = {
    "celery_prefork_2": "bare Celery, prefork 2",
    "celery_threads_16": "bare Celery, 16 threads",
    "celery_threads_100": "bare Celery, 100 threads",
    "stepwise_runs": "Stepwise, one run each",
    "stepwise_for_each": "Stepwise, one run with a for_each",
}


def _ingest(report: Report) -> str:
    rows = []
    for name, found in report["figures"].items():
        cpu = [number(found[f"{kind}_us"]) for kind in ("web", "postgresql", "client")]
        rates = (number(found["per_second"]), number(min(found["all"])), number(max(found["all"])))
        rows.append([_INGEST.get(name, name), *rates, number(report["ratios"][name]), *cpu])
    beside = report["single_with_workers_beside"]
    head = ("", "accepted/s", "smallest", "largest", "ratio to chain", "web, us", "PostgreSQL, us", "client, us")
    return "\n".join(
        [
            "## Starts over HTTP\n",
            "A run is accepted when it is committed and its message is sent. No worker runs, except for the figure"
            " below the table. The last three columns are CPU time per run. Single requests come over"
            f" {report['connections']} persistent connections to {report.get('web_processes', 1)} web processes; a bulk"
            f" request has {report['bulk_runs_a_request']:,} runs, with idempotency keys.\n",
            table(head, rows),
            f"Single starts with a worker on the same cores: {number(beside['per_second'])} accepted/s.\n",
        ]
    )


def _effects(report: Report) -> str:
    rows = [
        [
            _EFFECTS.get(name, name),
            spread(found["requests_per_second"]),
            *(number(found[key]["median"]) for key in ("threads", "connections", "cpu_seconds", "memory_mib")),
        ]
        for name, found in report["systems"].items()
    ]
    head = ("", "requests/s", "most threads in a process", "most connections", "CPU, s", "memory (PSS), MiB")
    return "\n".join(
        [
            "## Steps that send HTTP requests\n",
            f"{report['requests']:,} requests to a server that answers after"
            f" {number(report['answer_seconds'] * 1000)} ms, by one worker with two children of up to"
            f" {report['io_threads']} threads each. The upper bound is children x threads / response time, here"
            " 1,000/s. Below it, the limits are the CPU, and how soon a child gets its next message.\n",
            table(head, rows),
        ]
    )


def _shapes(report: Report) -> str:
    rows = []
    rounds = report["rounds"]
    passes = "one round" if rounds == 1 else f"medians of {rounds} rounds"
    for name, found in report["shapes"].items():
        fit = found["fit_seconds"]
        for point in found["points"]:
            each = (point["worker_cpu_seconds"] + point["postgres_cpu_seconds"]) / point["size"]
            row = [name.replace("_", " "), f"{point['size']:,}", number(point["seconds"])]
            row += [number(1e6 * point["seconds"] / point["size"]), number(1e6 * each)]
            rows.append([*row, number(point["biggest_message_bytes"] / 1024), f"{fit['r_squared']:.4f}"])
    head = (
        "",
        "steps or items",
        "seconds",
        "us per step",
        "CPU, us per step",
        "biggest message, KB",
        "r2",
    )
    return "\n".join(
        [
            "## Big runs\n",
            f"One run at a time, one worker, {passes}. Each run was checked afterwards: it has one succeeded row for"
            " each step and item. The cost per step must not grow with their number; r2 tells how well the seconds of"
            " the three sizes lie on a straight line (1 is perfect).\n",
            table(head, rows),
        ]
    )


def _volume(report: Report) -> str:
    found = report["work"]
    worst = sorted(found.items(), key=lambda one: one[1]["milliseconds"], reverse=True)[:8]
    rows = [
        [f"`{name}`", f"{one['pages_empty']:,}", f"{one['pages']:,}", number(one["milliseconds"])]
        for name, one in worst
    ]
    faults = sum(bool(one["faults"]) for one in found.values())
    gone = report["retention"]
    beside = gone["latency_seconds"]
    return "\n".join(
        [
            f"## With {report['runs']:,} finished runs in the database\n",
            f"{len(found)} pieces of work (sweep, hot path, lists of the API, pages of the admin) were done in an"
            " almost empty database and in the full one. Compared were the plans of their statements and the pages of"
            f" 8 KB that these read: in {faults} of them the cost of a plan grows with the number of runs. The"
            " slowest:\n",
            table(("", "pages, empty", "pages, full", "milliseconds, full"), rows),
            *([f"{report['note']}\n"] if "note" in report else []),
            *_beside(report["beside"]),
            f"Retention deleted {gone['runs_pruned']:,} runs at {number(gone['runs_per_second'])}/s; the longest"
            f" transaction took {number(gone['longest_transaction_seconds'] * 1000)} ms. The latency of single runs"
            f" (p50) was {number(beside['beside']['p50'] * 1000)} ms meanwhile, and"
            f" {number(beside['without']['p50'] * 1000)} ms without it.\n",
        ]
    )


def _beside(found: Report) -> list[str]:
    if not found:
        return []
    rows = [
        [name.replace("_", " "), *(spread(one[side], times=times) for side in ("empty", "full")), spread(one["ratio"])]
        for name, one in found.items()
        for times in (1000 if name.endswith("seconds") else 1,)
    ]
    return [
        "W3 in the full database and in an empty one of the same server, measured in turn; each ratio is of one round,"
        " latencies are in milliseconds:\n",
        table(("", "empty", "full", "full / empty"), rows),
    ]


def _idle(report: Report) -> str:
    rows = [
        [name, number(one["processes"]), number(one["pss_megabytes"]), number(one["cpu_percent"])]
        for name, one in report["roles"].items()
    ]
    all_of = ["in all", "", number(report["pss_megabytes"]), number(report["cpu_percent"])]
    return "\n".join(
        [
            "## When idle\n",
            f"An idle installation of `make up` sends {number(report['statements_per_second'])} statements per second"
            " (without BEGIN and COMMIT).\n",
            table(("", "processes", "memory (PSS), MB", "CPU, %"), [*rows, all_of]),
        ]
    )


def _backlog(report: Report) -> str:
    away, peak = report["without_workers"], report["broker_peak"]
    return "\n".join(
        [
            "## A backlog\n",
            f"{report['runs']:,} runs were started without a worker; one was started {number(away['seconds'])} s later."
            f" The broker never held more than {peak['messages']} messages and"
            f" {number(peak['used_memory_bytes'] / 2**20)} MiB. While there was no worker,"
            f" {report['tickets_sent_twice_while_away']} tickets were sent twice. The worker did all runs in"
            f" {number(report['worked_off_seconds'])} s; {report['runs_not_done_once']} runs were not done exactly"
            " once.\n",
        ]
    )


def _parts(report: Report) -> str:
    """The section with the parts of a run, alone and in bulk side by side; a dash if one way does not have the part."""
    ways = {way: {part["part"]: part for part in parts} for way, parts in report["parts"].items()}
    names = list(dict.fromkeys(name for parts in ways.values() for name in parts))
    keys = ("calls", "python_us", "postgresql_us")
    rows = [[_named(name), *_figures(ways, name, keys)] for name in names]
    rows.append(["in all", *_sums(ways, keys)])
    asked = [
        [f"`{one['statement'][:60].replace('|', '/')}`", way]
        + [number(one[key]) for key in ("calls", "plan_us", "exec_us", "rows", "wal_bytes")]
        for way, found in report["statements"].items()
        for one in found
        if not one["foreign_key"] and one["calls"] * report["runs"][way] >= 2
    ]
    both = [f"{figure}, {way}" for way in ways for figure in ("calls", "Python, us", "PostgreSQL, us")]
    return "\n".join(
        [
            "## The parts of a run\n",
            "W3 runs, from the call to the recorded end, all in one process:"
            f" {report['runs']['alone']:,} alone, one after the other, and {report['runs']['bulk']:,} started in bulk."
            " Microseconds of CPU time per run; a part does not include the parts that it calls. PostgreSQL's time is"
            " that of the database backend. A real worker also has a main process, which takes messages off the broker"
            " for its children (see the table of costs above).\n",
            table(("", *both), rows),
            "The statements as PostgreSQL counts them (pg_stat_statements), per run:\n",
            table(("statement", "", "calls", "planning, us", "execution, us", "rows", "WAL, bytes"), asked),
            _limits(ways),
        ]
    )


def _named(name: str) -> str:
    return f"`{name.removeprefix('statement ')}` (statement)" if name.startswith("statement ") else name


def _figures(ways: Mapping[str, Mapping[str, Any]], name: str, keys: Sequence[str]) -> list[str]:
    return [number(parts[name][key]) if name in parts else "-" for parts in ways.values() for key in keys]


def _sums(ways: Mapping[str, Mapping[str, Any]], keys: Sequence[str]) -> list[str]:
    return [
        "" if key == "calls" else number(sum(one[key] for one in parts.values()))
        for parts in ways.values()
        for key in keys
    ]


def _limits(ways: Mapping[str, Mapping[str, Any]]) -> str:
    """Return, for runs alone and in bulk, the largest part, and PostgreSQL's share."""
    lines = []
    for way, parts in ways.items():
        in_all = sum(one["python_us"] + one["postgresql_us"] for one in parts.values())
        most = max(parts.values(), key=lambda one: one["python_us"] + one["postgresql_us"])
        share = sum(one["postgresql_us"] for one in parts.values()) / in_all
        largest = (most["python_us"] + most["postgresql_us"]) / in_all
        lines.append(
            f"- **{way}**: {number(in_all)} microseconds of CPU time in all, {share:.0%} of them PostgreSQL's; the"
            f" largest part is {_named(most['part'])}, {largest:.0%}."
        )
    return "\n".join(lines) + "\n"


def _schema(report: Report) -> str:
    things = report["things"]
    measured = {name: one for name, one in things.items() if "saved" in one}
    together = {name: one for name, one in measured.items() if name.startswith("every ")}
    alone = {name: one for name, one in measured.items() if name not in together}
    touched = {
        name: one
        for name, one in alone.items()
        if "index" not in one["kind"] or one["saved"]["wal_bytes"]["median"] >= _UNTOUCHED_BYTES
    }
    left_out = [f"`{name}`" for name in alone if name not in touched]
    needed = [f"`{name}`" for name, one in things.items() if "needed" in one]
    rows = [
        [name if name in together else f"`{name}`", one["kind"], "" if name in together else one["table"], *_saved(one)]
        for name, one in (touched | together).items()
    ]
    whole = report["whole"]
    return "\n".join(
        [
            "## What the schema costs\n",
            f"A run started in bulk takes {number(whole['postgresql_us']['median'])} microseconds of the database"
            f" backend's CPU time, and {number(whole['wal_bytes']['median'])} bytes of WAL. The table shows what a run"
            " saves if an index, foreign key or check of the hot tables is dropped. Runs with and without it were"
            f" measured in turn, {report['rounds']} times {report['runs']:,} runs on empty tables. A value far below"
            " zero means that statements use the index, and are slower without it. The smallest times of both sides are"
            f" compared, because other load on the machine only adds time;{_noise(measured)}\n",
            table(("", "kind", "table", "PostgreSQL, us", "WAL, bytes"), rows),
            f"Indexes that a W3 run never writes to: {', '.join(left_out)}.\n" if left_out else "",
            f"Not measured, because statements name them (ON CONFLICT): {', '.join(needed)}.\n" if needed else "",
        ]
    )


def _noise(measured: Mapping[str, Report]) -> str:
    """Return the measurement noise: how far the measurements with the whole schema, which should be equal, differ."""
    same = [one["with"]["postgresql_us"]["min"] for one in measured.values()]
    if len(same) < 3:
        return " the measurement noise is not known."
    # Twice the standard deviation of a difference of two measurements.
    return f" differences below {number(2 * 2**0.5 * statistics.stdev(same))} microseconds are within the noise."


def _saved(one: Report) -> list[str]:
    return [number(one["saved"]["postgresql_us"]["least"]), number(one["saved"]["wal_bytes"]["median"])]


SECTIONS: list[tuple[str, Callable[[Any], str]]] = [
    ("ingest", _ingest),
    ("effects", _effects),
    ("shapes", _shapes),
    ("volume", _volume),
    ("idle", _idle),
    ("backlog", _backlog),
    ("parts", _parts),
    ("schema_costs", _schema),
]
