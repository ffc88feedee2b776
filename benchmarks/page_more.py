"""The sections of docs/performance.md behind the rates: other suites, the parts of a run, and the schema's price."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.tables import Report, number, spread, table

# Below this many bytes of WAL for a run, an index was never written to.
_UNTOUCHED_BYTES = 5.0
_INGEST = {
    "chain_publish": "publishing a bare Celery chain",
    "single": "`POST .../runs`, one run a request",
    "bulk_lines": "`POST .../runs/bulk`, a stream of lines",
    "bulk_array": "`POST .../runs/bulk`, an array",
}
_EFFECTS = {
    "celery_prefork_2": "bare Celery, prefork 2",
    "celery_threads_16": "bare Celery, 16 threads",
    "celery_threads_100": "bare Celery, 100 threads",
    "celery_gevent_100": "bare Celery, gevent 100",
    "stepwise_runs": "Stepwise, one run each",
    "stepwise_for_each": "Stepwise, one run with a for_each",
}


def _ingest(report: Report) -> str:
    rows = []
    for name, found in report["figures"].items():
        cpu = [number(found[f"{kind}_us"]) for kind in ("web", "postgresql", "client")]
        told = (number(found["per_second"]), number(min(found["all"])), number(max(found["all"])))
        rows.append([_INGEST.get(name, name), *told, number(report["ratios"][name]), *cpu])
    beside = report["single_with_workers_beside"]
    head = ("", "accepted/s", "smallest", "largest", "times publishing", "web, us", "PostgreSQL, us", "client, us")
    return "\n".join(
        [
            "## Starts over HTTP\n",
            "Accepted means committed and knocked for; no workers run, but in the last line of text. Processor time is"
            f" for one run; single requests come over {report['connections']} kept connections to"
            f" {report.get('web_processes', 1)} web processes, bulk ones have {report['bulk_runs_a_request']:,} runs"
            " each, with idempotency keys.\n",
            table(head, rows),
            f"Single starts with a worker beside them on the same cores: {number(beside['per_second'])} accepted/s.\n",
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
    head = ("", "requests/s", "most threads in a process", "most connections", "processor, s", "memory (PSS), MiB")
    return "\n".join(
        [
            "## Steps that ask a server\n",
            f"{report['requests']:,} requests to a server that answers after"
            f" {number(report['answer_seconds'] * 1000)} ms, by one worker with two children of up to"
            f" {report['io_threads']} threads. At most children times threads over the answer's time: 1,000/s here;"
            " below that, the processor and how soon a child gets its next message.\n",
            table(head, rows),
        ]
    )


def _shapes(report: Report) -> str:
    rows = []
    rounds = report["rounds"]
    told = "one pass" if rounds == 1 else f"medians of {rounds}"
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
        "us a step",
        "processor, us a step",
        "biggest message, KB",
        "r2 of the line",
    )
    return "\n".join(
        [
            "## Big runs\n",
            f"One run at a time, one worker, {told}; each run's rows were counted afterwards,"
            " one that succeeded for each step and item. What a step costs must not grow with their number: r2 is that"
            " of the line through the three sizes' seconds.\n",
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
            f"## Beside {report['runs']:,} finished runs\n",
            f"{len(found)} pieces of work (sweep, hot path, lists of the API, pages of the admin) by the plans and"
            " pages of their statements, with next to nothing stored and with that many: in"
            f" {faults} of them a plan grew. The slowest:\n",
            table(("", "pages, empty", "pages, full", "milliseconds, full"), rows),
            *([f"{report['note']}\n"] if "note" in report else []),
            *_beside(report["beside"]),
            f"Retention deleted {gone['runs_pruned']:,} of them at {number(gone['runs_per_second'])}/s, the longest"
            f" transaction {number(gone['longest_transaction_seconds'] * 1000)} ms; the latency of single runs"
            f" was p50 {number(beside['beside']['p50'] * 1000)} ms meanwhile, and"
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
        "W3 in that database and in an empty one of the same server, in turn; the ratio is that of one round (latencies"
        " in milliseconds):\n",
        table(("", "empty", "full", "full to empty"), rows),
    ]


def _idle(report: Report) -> str:
    rows = [
        [name, number(one["processes"]), number(one["pss_megabytes"]), number(one["cpu_percent"])]
        for name, one in report["roles"].items()
    ]
    all_of = ["in all", "", number(report["pss_megabytes"]), number(report["cpu_percent"])]
    return "\n".join(
        [
            "## With nothing to do\n",
            f"The whole installation of `make up` sends {number(report['statements_per_second'])} statements a second"
            " (BEGIN and COMMIT not counted).\n",
            table(("", "processes", "memory (PSS), MB", "processor, %"), [*rows, all_of]),
        ]
    )


def _backlog(report: Report) -> str:
    away, peak = report["without_workers"], report["broker_peak"]
    return "\n".join(
        [
            "## A backlog\n",
            f"{report['runs']:,} runs started with no worker, who came after {number(away['seconds'])} s: at most"
            f" {peak['messages']} messages and {number(peak['used_memory_bytes'] / 2**20)} MiB in the broker at any"
            f" time; {report['tickets_sent_twice_while_away']} tickets sent twice while the workers were away; then"
            f" worked off in {number(report['worked_off_seconds'])} s, {report['runs_not_done_once']} runs not done"
            " exactly once.\n",
        ]
    )


def _parts(report: Report) -> str:
    """Both ways beside each other; a part that one of them does not have is a dash there."""
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
            "## Where it ends\n",
            "W3 runs followed through the machine in one process, from the call to the recorded end:"
            f" {report['runs']['alone']:,} alone, one after the other, and {report['runs']['bulk']:,} started in bulk."
            " Microseconds of processor time for one run, each part without what it calls; PostgreSQL's is that of"
            " the backend. A worker adds its main process, which takes messages off the broker for its children (the"
            " table of costs above has it).\n",
            table(("", *both), rows),
            "The same by PostgreSQL's own count (pg_stat_statements), for one run:\n",
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
    """The largest part of each way, and PostgreSQL's share."""
    lines = []
    for way, parts in ways.items():
        in_all = sum(one["python_us"] + one["postgresql_us"] for one in parts.values())
        most = max(parts.values(), key=lambda one: one["python_us"] + one["postgresql_us"])
        share = sum(one["postgresql_us"] for one in parts.values()) / in_all
        told = (most["python_us"] + most["postgresql_us"]) / in_all
        lines.append(
            f"- **{way}**: {number(in_all)} microseconds of processor in all, {share:.0%} of them PostgreSQL's; the"
            f" largest part is {_named(most['part'])}, {told:.0%}."
        )
    return "\n".join(lines) + "\n"


def _schema(report: Report) -> str:
    things = report["things"]
    told = {name: one for name, one in things.items() if "saved" in one}
    together = {name: one for name, one in told.items() if name.startswith("every ")}
    alone = {name: one for name, one in told.items() if name not in together}
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
            f" backend and {number(whole['wal_bytes']['median'])} bytes of WAL. With and without each index, foreign"
            f" key and check of the hot tables, in turn, {report['rounds']} times {report['runs']:,} runs on empty"
            " tables: what is saved for one run when it is not there; far below zero, statements find rows by it. Of"
            " times the smallest of each side are compared, for whatever else the machine does only adds;"
            f"{_noise(told)}\n",
            table(("", "kind", "table", "PostgreSQL, us", "WAL, bytes"), rows),
            f"Indexes that a W3 run never enters: {', '.join(left_out)}.\n" if left_out else "",
            f"Not measured, for statements name them (ON CONFLICT): {', '.join(needed)}.\n" if needed else "",
        ]
    )


def _noise(told: Mapping[str, Report]) -> str:
    """How far measurements of one and the same lie apart: those with everything there are that."""
    same = [one["with"]["postgresql_us"]["min"] for one in told.values()]
    if len(same) < 3:
        return " how exact that is was not measured."
    # Of a difference of two, twice the standard deviation.
    return f" less than {number(2 * 2**0.5 * statistics.stdev(same))} microseconds is within the noise."


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
