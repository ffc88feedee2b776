"""The sections of docs/performance.md about steps that send HTTP requests. Each can be written without its results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks import aims
from benchmarks.tables import NOT_YET, Report, number, spread, table

_W4 = {
    "chain_prefork_2": "bare Celery chain, prefork 2",
    "chain_threads_32": "bare Celery chain, 32 threads",
    "chain_gevent_100": "bare Celery chain, gevent 100",
    "naive_orm": "naive durable app, prefork 2",
    "stepwise": "Stepwise",
}
_HISTORY = {"naive_orm": "every step", "stepwise": "every step"}
_KINDS = {
    "callers": "callers",
    "worker_main": "worker, main",
    "worker_children": "worker, children",
    "postgresql": "PostgreSQL",
    "broker": "broker",
}
_NEIGHBOURS = {"pure": "pure runs (W3)", "quick": "runs of one quick http_request"}
_SHAPES = {
    "fan_out_300": "fan-out of 300",
    "fan_out_10000": "fan-out of 10,000",
    "chain_2000": "chain of 2,000",
    "graph_10000": "graph of 10,000, every second layer requests",
}
_COSTS = {
    "worker_cpu_seconds": "worker's CPU, us each",
    "postgres_cpu_seconds": "PostgreSQL's CPU, us each",
}
_WAYS = {
    "group_prefork_2": "bare Celery group, prefork 2",
    "group_threads_32": "bare Celery group, 32 threads",
    "stepwise": "Stepwise",
}
_EFFECTS = {
    "celery_prefork_2": "bare Celery, prefork 2",
    "celery_threads_16": "bare Celery, 16 threads",
    "celery_threads_100": "bare Celery, 100 threads",
    "celery_gevent_100": "bare Celery, gevent 100",
    "stepwise_runs": "Stepwise, one run each",
    "stepwise_for_each": "Stepwise, one run with a for_each",
}


def _w4(report: Report) -> str:
    answers = report.get("by_answer_milliseconds", {"0": {}, "20": {}})
    return "\n".join(
        [
            "## Three requests in turn (W4)\n",
            "W4 is a run of three `http_request` steps to a server on the same machine, in a process of its own, that"
            " answers at once or after 20 ms. The baselines make the same requests over kept connections. Stepwise is"
            " compared with the better of the bare pools of two processes and of 32 threads, in the same round. The"
            f" pool of 100 greenlets has an HTTP client of its own.{_disk(report)}\n",
            aims.of_suite("w4", {"w4": report}),
            *_w4_many(report, answers),
            *_w4_alone(report, answers),
            *_w4_costs(answers),
        ]
    )


def _w4_many(report: Report, answers: Mapping[str, Report]) -> list[str]:
    rows = [
        [words, *(_median(one, name, "runs_per_second") for one in answers.values()), _HISTORY.get(name, "none")]
        for name, words in _W4.items()
    ]
    fewer = sorted({runs for one in answers.values() for runs in one.get("runs", {}).values()} - {report.get("runs")})
    note = f" A pool of two gets {number(fewer[0])} if each answer takes 20 ms; its rate is the same." if fewer else ""
    return [
        f"Many: {number(report.get('runs', 2000))} runs started together, runs per second.{note}\n",
        table(("", *(f"runs/s, {_after(answer)}" for answer in answers), "history"), rows),
    ]


def _w4_alone(report: Report, answers: Mapping[str, Report]) -> list[str]:
    rows = [
        [words, *(_median(one, name, f"alone_{p}_ms") for one in answers.values() for p in ("p50", "p95"))]
        for name, words in _W4.items()
    ]
    return [
        f"One alone: {number(report.get('latencies', 100))} runs one after the other, milliseconds from the call that"
        " starts a run to its recorded end.\n",
        table(("", *(f"{p}, ms, {_after(answer)}" for answer in answers for p in ("p50", "p95"))), rows),
    ]


def _w4_costs(answers: Mapping[str, Report]) -> list[str]:
    parts = []
    columns = [*(f"cpu_us_{kind}" for kind in _KINDS), "cpu_us", "cpu_us_server"]
    for answer, one in answers.items():
        rows = [
            [words, *(_median(one, name, column, spread_=False) for column in columns)] for name, words in _W4.items()
        ]
        parts += [
            f"CPU time of a step of the many, in microseconds, {_after(answer)}; `in all` does not contain the server"
            " that answers the requests.\n",
            table(("", *(f"{words}, us" for words in _KINDS.values()), "in all, us", "answering server, us"), rows),
        ]
    return parts


def _median(one: Report, name: str, column: str, *, spread_: bool = True) -> str:
    found = one.get("systems", {}).get(name)
    if found is None:
        return NOT_YET
    return spread(found[column]) if spread_ else number(found[column]["median"])


def _after(answer: str) -> str:
    return "answers at once" if answer == "0" else f"answers after {answer} ms"


def _disk(report: Report) -> str:
    """Return a sentence about the disk, because a record waits for it."""
    found = report.get("fdatasync_milliseconds")
    if found is None:
        return ""
    return f" Before, an fdatasync of 8 KB took {number(found['median'])} ms (median of 200)."


def _neighbours(report: Report) -> str:
    rows = [
        [f"{words}, {'alone' if hung == '0' else f'beside {hung}'}", *_neighbour(report, kind, hung)]
        for kind, words in _NEIGHBOURS.items()
        for hung in ("0", "8", "80")
    ]
    longest = number(report.get("longest_seconds", 20))
    head = ("", "p50, ms", "p95, ms", "p95 / p95 alone", f"not ended in {longest} s", "fewest hung under way")
    return "\n".join(
        [
            "## Slow neighbours\n",
            "One worker with the default settings (two children). Runs are started five times a second, for"
            f" {number(report.get('seconds', 30))} s: alone, and beside 8 and 80 other runs, each of which waits for a"
            " server that accepts its request and never answers, until the action's timeout of 30 s; then another"
            " takes its place. A run's time is from before the call that starts it to its recorded end. A run that"
            f" has not ended after {longest} s counts as {longest} s."
            " Each ratio is of one round. The last column shows how many of the hung steps were under way at the least,"
            " in all rounds; the others waited for a worker.\n",
            aims.of_suite("neighbours", {"neighbours": report}),
            table(head, rows),
        ]
    )


def _neighbour(report: Report, kind: str, hung: str) -> list[str]:
    found = report.get("conditions", {}).get(kind, {}).get(hung)
    if found is None:
        return [NOT_YET, "", "", "", ""]
    ratio = report["ratios"].get(f"{kind}_{hung}")
    late, runs = (number(sum(found[name]["all"])) for name in ("not_ended", "runs"))
    fewest = "" if hung == "0" else f"{number(found['hung_running']['min'])} of {hung}"
    return [
        *(spread(found[name]) for name in ("p50_ms", "p95_ms")),
        spread(ratio) if ratio else "1",
        f"{late} of {runs}",
        fewest,
    ]


def _http_shapes(report: Report) -> str:
    found = report.get("cases", {})
    rows = []
    for name, words in _SHAPES.items():
        if name not in found:
            rows.append([words, NOT_YET, *[""] * 6])
            continue
        one = found[name]
        for way, figures in one["ways"].items():
            ratio = one["of_best_bare_pool"] if way == "stepwise" else None
            rows.append(
                [
                    f"{words}: {_WAYS[way]}",
                    number(one["requests"]),
                    spread(figures["seconds"]),
                    spread(figures["milliseconds_per_step"]),
                    spread(ratio) if ratio else "",
                    *(number(1e6 * figures[key]["median"] / one["size"]) if key in figures else "" for key in _COSTS),
                    number(one["rounds"]),
                ]
            )
    head = ("", "requests", "seconds", "ms each", "seconds / best bare group", *_COSTS.values(), "rounds")
    return "\n".join(
        [
            "## Big runs that send requests\n",
            "One run at a time, one worker, a server on the same machine that answers at once. The fan-out is one step"
            " and the branches behind it; `each` is a branch, or a step of the chain or graph. The bare groups send as"
            " many requests over a kept client, in turn with it, and keep no history. Each run was checked afterwards:"
            " every step has one succeeded row, and the server got one request for each.\n",
            aims.of_suite("http_shapes", {"http_shapes": report}),
            table(head, rows),
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
            aims.of_suite("effects", {"effects": report}),
            table(head, rows),
        ]
    )


SECTIONS: list[tuple[str, Callable[[Any], str]]] = [
    ("w4", _w4),
    ("neighbours", _neighbours),
    ("effects", _effects),
    ("http_shapes", _http_shapes),
]
# Those that also say what was not measured yet, if there are no results at all.
ALWAYS = frozenset({"w4", "neighbours", "http_shapes"})
