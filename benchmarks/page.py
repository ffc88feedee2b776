"""`python -m benchmarks.page`: generate docs/performance.md and its plots from the JSON in benchmarks/results/."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import aims, page_effects, page_more, page_words, plots
from benchmarks.tables import Report, number, quiet, spread, table
from benchmarks.telling import RESULTS, say

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
SYSTEMS = {
    "chain_prefork": "bare Celery chain, prefork 2",
    "chain_two_solo": "bare Celery chain, two solo workers",
    "naive_orm": "naive durable app, one ORM row per step",
    "stepwise_single": "Stepwise, single starts",
    "stepwise_bulk": "Stepwise, bulk starts",
    "stepwise": "Stepwise",
}
KINDS = {
    "callers": "callers",
    "worker_main": "worker, main",
    "worker_children": "worker, children",
    "postgresql": "PostgreSQL",
    "broker": "broker",
}
HISTORY = {"chain_prefork": "none", "chain_two_solo": "none"}


def main() -> None:
    """Write the page and its plots."""
    reports = read(RESULTS)
    PAGE.write_text(markdown(reports), encoding="utf-8")
    for name, drawn in drawings(reports).items():
        (RESULTS / f"{name}.svg").write_text(drawn, encoding="utf-8")
    say(f"written to {PAGE}")


def read(directory: Path) -> dict[str, Report]:
    """Return every result by its file name, without those of quick measurements."""
    paths = [path for path in sorted(directory.glob("*.json")) if not path.stem.endswith("-quick")]
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def markdown(reports: Mapping[str, Report]) -> str:
    """Return the whole page; sections whose results are missing are left out, or say that they were not measured."""
    parts = [page_words.HEAD, aims.section(reports)]
    for name, section in SECTIONS:
        if name in reports:
            text = section(reports[name])
            title, _, rest = text.partition("\n")
            parts.append(f"{title}\n\n{note}{rest}" if (note := quiet(reports[name])) else text)
        elif name in page_effects.ALWAYS:
            parts.append(section({}))
    machines = [page_words.machine(report) for report in reports.values() if "machine" in report and "suite" in report]
    parts += [page_words.FOOT, *machines[:1]]
    return "\n".join(part for part in parts if part)


def drawings(reports: Mapping[str, Report]) -> dict[str, str]:
    """Return every plot as SVG, by name."""
    found: dict[str, str] = {}
    for name, draw in (("w3", _draw_w3), ("concurrency", _draw_concurrency)):
        if name in reports:
            found |= draw(reports[name])
    return found


def _image(name: str, words: str) -> str:
    return f"![{words}](../benchmarks/results/{name}.svg)\n"


def _w3(report: Report) -> str:
    rates, ratios, costs = report["runs_per_second"], report["ratios"], report["costs"]
    rows = []
    for name, found in rates.items():
        over = [ratios.get(f"{name}/{base}") for base in ("chain_prefork", "chain_two_solo")]
        shown = [spread(one) if one else "-" for one in over]
        history = HISTORY.get(name, "every step")
        rows.append([SYSTEMS[name], spread(found), *shown, number(costs[name]["messages"]["median"]), history])
    head = ("", "runs/s", "ratio to prefork 2", "ratio to two solo", "messages per run", "history")
    return "\n".join(
        [
            "## Rates of W3\n",
            f"Medians of {report['rounds']} rounds; the smallest and the largest value are in brackets. Each ratio is"
            " between two systems in the same round.\n",
            table(head, rows),
            _image("w3-rates", "Runs per second of each system"),
            *_latency(report),
            *_costs(report),
            *_durability(report),
        ]
    )


def _latency(report: Report) -> list[str]:
    found = report["latency_seconds"]
    rows = [[SYSTEMS[name], *(spread(one[p], times=1000) for p in ("p50", "p95"))] for name, one in found.items()]
    if not rows:
        return []
    ratios = {p: report["ratios"].get(f"latency_{p}/chain_prefork") for p in ("p50", "p95")}
    compared = [f"{p} {spread(one)}" for p, one in ratios.items() if one]
    return [
        "## Latency of one W3 run when idle\n",
        "Milliseconds from the call to the recorded end, one run at a time. For Stepwise, the end is the database's"
        " time in the statement that records it, a moment before its commit. For the bare chain, it is the last task's"
        " clock. To leave the CPU to the run, the benchmark does not check for its end in the first 10 ms.\n",
        table(("", "p50, ms", "p95, ms"), rows),
        f"Ratio of Stepwise to the bare chain in the same round: {'; '.join(compared)}.\n" if compared else "",
    ]


def _costs(report: Report) -> list[str]:
    cores = report["machine"]["cores"]
    rows = []
    for name, found in report["costs"].items():
        kinds = [number(found[f"cpu_us_{kind}"]["median"]) for kind in KINDS]
        spent = found["cpu_us"]["median"]
        in_use = report["runs_per_second"][name]["median"] * spent / 1e6 / cores
        rows.append([SYSTEMS[name], *kinds, number(spent), f"{in_use:.0%}"])
    statements = [
        [SYSTEMS[name], *(number(found[key]) for key in ("statements", "plan_us", "exec_us", "wal_bytes"))]
        for name, found in report["statements"].items()
    ]
    return [
        "## What a W3 run costs\n",
        "Microseconds of CPU time per run, by kind of process, and the share of all cores that this is at the rate"
        " above. Near 100 %, the CPU is the limit, and saving CPU time raises the rate; far below, the system waits for"
        " something else.\n",
        table(("", *KINDS.values(), "in all", "cores in use"), rows),
        _image("w3-cpu", "CPU time of one run by kind of process"),
        "Statements per run, as PostgreSQL counts them in an extra round. PostgreSQL's own checks of foreign keys are"
        " left out.\n",
        table(("", "statements", "planning, us", "execution, us", "WAL, bytes"), statements) if statements else "",
    ]


def _durability(report: Report) -> list[str]:
    found = report["durability"]
    rows = [
        [SYSTEMS[name], number(one["runs"]), number(one["ended_when_killed"]), number(one["seconds"]), "0"]
        for name, one in found["killed"].items()
    ]
    return [
        "## Durability of what was measured\n",
        f"{found['runs_checked']:,} runs of the rounds above were checked afterwards: each exists once and has ended,"
        " its three steps are recorded once, with times and the right outputs, and no ticket is left. If a single run"
        " fails this check, the benchmark ends without a result. Each system was then measured once more, not for the"
        " medians, while a child of the worker was killed (`kill -9`):\n",
        table(("", "runs", "ended when the child was killed", "seconds in all", "missing, wrong or doubled"), rows),
    ]


def _concurrency(report: Report) -> str:
    def row(name: str, found: Report, keys: Sequence[tuple[str, float]]) -> list[str]:
        return [name, *(number(found[key]["median"] * times) for key, times in keys)]

    singles: list[tuple[str, float]] = [("runs_per_second", 1), ("p50_seconds", 1000), ("p95_seconds", 1000)]
    singles += [("runs_per_message", 1), ("messages", 1), ("broker_commands", 1), ("cpu_us", 1)]
    bulk: list[tuple[str, float]] = [("runs_per_second", 1), ("runs_per_message", 1)]
    bulk += [(f"cpu_us_{kind}", 1) for kind in KINDS]
    return "\n".join(
        [
            "## As the load grows\n",
            f"{report['runs']['single']:,} single starts by a number of concurrent callers, each of which starts the"
            f" next run as soon as the last is accepted; medians of {report['rounds']} rounds. Latency is from the"
            " call to the run's recorded end, including the time in the queue. The same mechanism serves every load:"
            " an idle system sends a run at once in a message of its own; a busy one finds many runs waiting and"
            " sends them together.\n",
            table(
                ("callers", "runs/s", "p50, ms", "p95, ms", "runs per message", "messages per run",
                 "broker commands per run", "CPU, us per run"),
                [row(name, found, singles) for name, found in report["callers"].items()],
            ),
            _image("concurrency-batching", "Runs per message against callers"),
            _image("concurrency-latency", "Rate and latency against callers"),
            "## More worker processes\n",
            f"{report['runs']['bulk']:,} runs started in bulk, by one worker with a number of children (`-c`). All"
            f" processes, also the callers, PostgreSQL and the broker, share {report['machine']['cores']} cores. The"
            " last columns are CPU time, in microseconds per run.\n",
            table(
                ("children", "runs/s", "runs per message", *KINDS.values()),
                [row(name, found, bulk) for name, found in report["children"].items()],
            ),
        ]
    )  # fmt: skip


def _draw_w3(report: Report) -> dict[str, str]:
    rates = {SYSTEMS[name]: found["median"] for name, found in report["runs_per_second"].items()}
    costs = report["costs"]
    series = {words: [found[f"cpu_us_{kind}"]["median"] for found in costs.values()] for kind, words in KINDS.items()}
    unit = "microseconds of CPU time per run"
    return {
        "w3-rates": plots.bars("Runs of three steps per second", rates, unit="runs per second"),
        "w3-cpu": plots.stacked("What a run costs", [SYSTEMS[name] for name in costs], series, unit=unit),
    }


def _draw_concurrency(report: Report) -> dict[str, str]:
    callers = report["callers"]

    def values(key: str, times: float = 1.0) -> list[float]:
        return [found[key]["median"] * times for found in callers.values()]

    messages = {"runs per message": values("runs_per_message"), "messages per run": values("messages")}
    latency = {
        "rate, runs per second": values("runs_per_second"),
        "latency p50, ms": values("p50_seconds", 1000),
        "latency p95, ms": values("p95_seconds", 1000),
    }
    return {
        "concurrency-batching": plots.lines(
            "Messages adapt to the load", list(callers), messages,
            axes=("callers at once", "number (logarithmic)"), logarithmic=True,
        ),
        "concurrency-latency": plots.lines(
            "Rate and latency of single starts", list(callers), latency,
            axes=("callers at once", "runs/s or ms (log.)"), logarithmic=True,
        ),
    }  # fmt: skip


SECTIONS: list[tuple[str, Callable[[Any], str]]] = [
    ("w3", _w3),
    ("concurrency", _concurrency),
    *page_effects.SECTIONS,
    *page_more.SECTIONS,
]


if __name__ == "__main__":
    main()
