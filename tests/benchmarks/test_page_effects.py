"""The sections of docs/performance.md about requests say what their results say, and where there are none."""

from __future__ import annotations

from typing import Any

from benchmarks import page, page_effects

COSTS = ("callers", "worker_main", "worker_children", "postgresql", "broker")


def spread(median: float) -> dict[str, Any]:
    return {"median": median, "min": median / 2, "max": median * 2, "all": [median / 2, median, median * 2]}


def system(rate: float) -> dict[str, Any]:
    costs = {f"cpu_us_{kind}": spread(place) for place, kind in enumerate(COSTS, 11)}
    alone = {"alone_p50_ms": spread(6), "alone_p95_ms": spread(8)}
    return {"runs_per_second": spread(rate), **alone, **costs, "cpu_us": spread(65), "cpu_us_server": spread(77)}


def w4() -> dict[str, Any]:
    ratios = ("runs_per_second", "alone_p50_ms", "alone_p95_ms")
    one = {
        "systems": {"chain_prefork_2": system(100), "naive_orm": system(50), "stepwise": system(800)},
        "runs": {"chain_prefork_2": 500, "naive_orm": 500, "stepwise": 2000},
        "ratios": {f"{name}_of_best_bare_pool": spread(1.1) for name in ratios},
    }
    return {
        "runs": 2000,
        "latencies": 100,
        "fdatasync_milliseconds": {"median": 0.5},
        "by_answer_milliseconds": {"0": one},
    }


def neighbours() -> dict[str, Any]:
    window = {"runs": spread(150), "p50_ms": spread(3), "p95_ms": spread(4), "not_ended": spread(2)}
    conditions = {hung: {**window, "hung_running": spread(int(hung))} for hung in ("0", "8", "80")}
    ratios = {"pure_8": spread(1.2), "pure_80": spread(2.5)}
    return {"seconds": 30, "longest_seconds": 20, "conditions": {"pure": conditions}, "ratios": ratios}


def http_shapes() -> dict[str, Any]:
    ours = {"seconds": spread(4), "milliseconds_per_step": spread(0.4), "worker_cpu_seconds": spread(3)}
    case = {"size": 10_000, "requests": 10_000, "rounds": 3, "of_best_bare_pool": spread(0.3)}
    case["ways"] = {"group_threads_32": ours, "stepwise": {**ours, "postgres_cpu_seconds": spread(1)}}
    return {"cases": {"fan_out_10000": case}}


def rows(text: str) -> dict[str, list[str]]:
    """The cells of each row of the tables, by the first one; of rows with the same first cell, the last."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row[1:] for row in found}


def section(name: str, report: dict[str, Any]) -> str:
    return dict(page_effects.SECTIONS)[name](report)


def test_w4_shows_many_and_one_alone_and_each_part_of_the_cost() -> None:
    text = section("w4", w4())
    _, many, alone, costs = (part for part in text.split("\n\n") if part.startswith("|"))
    assert rows(many)["Stepwise"] == ["800 (400 to 1,600)", "every step"]
    assert rows(alone)["Stepwise"] == ["6 (3 to 12)", "8 (4 to 16)"]
    assert rows(costs)["Stepwise"] == ["11", "12", "13", "14", "15", "65", "77"]
    assert "A pool of two gets 500" in text
    assert "took 0.5 ms" in text


def test_w4_says_of_a_pool_that_is_not_installed_that_it_was_not_measured() -> None:
    assert rows(section("w4", w4()))["bare Celery chain, gevent 100"][0] == "not measured yet"


def test_neighbours_show_the_ratio_those_not_ended_and_how_many_hung() -> None:
    found = rows(section("neighbours", neighbours()))
    assert found["pure runs (W3), alone"] == ["3 (1.50 to 6)", "4 (2 to 8)", "1", "7 of 525", ""]
    assert found["pure runs (W3), beside 80"][2:] == ["2.50 (1.25 to 5)", "7 of 525", "40 of 80"]
    assert found["runs of one quick http_request, beside 8"][0] == "not measured yet"
    assert found["p95 of pure runs beside 80 hung ones / alone"][-1] == "bound"


def test_big_runs_show_each_way_and_the_ratio_of_ours() -> None:
    found = rows(section("http_shapes", http_shapes()))
    assert found["fan-out of 10,000: Stepwise"][2:6] == ["0.4 (0.2 to 0.8)", "0.3 (0.15 to 0.6)", "300", "100"]
    assert found["fan-out of 10,000: bare Celery group, 32 threads"][3:6] == ["", "300", ""]
    assert found["graph of 10,000, every second layer requests"][0] == "not measured yet"
    assert found["fan-out of 10,000 http_request branches, ms each"][-1] == "yes"


def test_the_page_of_no_results_says_what_was_not_measured() -> None:
    told = page.markdown({})
    for title in ("Aims", "Three requests in turn (W4)", "Slow neighbours", "Big runs that send requests"):
        [found] = [part for part in told.split("\n## ") if part.startswith(title)]
        assert "not measured yet" in found
    assert "## Rates of W3" not in told


def test_every_row_has_as_many_cells_as_its_head() -> None:
    for name, report in (("w4", w4()), ("neighbours", neighbours()), ("http_shapes", http_shapes())):
        for text in (section(name, report), section(name, {})):
            for part in text.split("\n\n"):
                widths = {line.count("|") for line in part.splitlines() if line.startswith("|")}
                assert len(widths) <= 1, part
