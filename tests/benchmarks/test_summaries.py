"""What the suites about real work make of the figures of their rounds."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from benchmarks import http_shapes, machine, neighbours, shapes, w4, w4_systems
from benchmarks.neighbours import Times
from benchmarks.systems import Took


def rounds(**columns: list[float]) -> dict[str, list[float]]:
    return columns


def test_w4_is_compared_with_the_better_bare_pool_of_the_same_round() -> None:
    figures = {
        "chain_prefork_2": rounds(runs_per_second=[100, 300], alone_p50_ms=[4, 9], alone_p95_ms=[8, 8]),
        "chain_threads_32": rounds(runs_per_second=[200, 150], alone_p50_ms=[5, 6], alone_p95_ms=[9, 7]),
        "chain_gevent_100": rounds(runs_per_second=[999, 999], alone_p50_ms=[1, 1], alone_p95_ms=[1, 1]),
        "stepwise": rounds(runs_per_second=[800, 600], alone_p50_ms=[4, 3], alone_p95_ms=[16, 14]),
    }
    found = w4.compared(figures)
    assert found["runs_per_second_of_best_bare_pool"] == {"median": 3, "min": 2, "max": 4, "all": [4, 2]}
    assert found["alone_p50_ms_of_best_bare_pool"]["all"] == [1, 0.5]
    assert found["alone_p95_ms_of_best_bare_pool"]["all"] == [2, 2]


def test_w4_without_ours_or_without_a_bare_pool_compares_nothing() -> None:
    one = rounds(runs_per_second=[1.0], alone_p50_ms=[1.0], alone_p95_ms=[1.0])
    assert w4.compared({"stepwise": one, "naive_orm": one}) == {}
    assert w4.compared({"chain_prefork_2": one}) == {}


def test_a_slow_pool_is_given_fewer_runs_only_if_the_answers_are_late() -> None:
    def system(width: int) -> w4_systems.System:
        return w4_systems.System("some", lambda _: nullcontext(), lambda _: Took(1, 1), lambda _: [], width=width)

    assert system(2).runs(2000, delay=0.0) == 2000
    assert system(2).runs(2000, delay=0.02) == 500
    assert system(32).runs(2000, delay=0.02) == 2000


def test_w4_names_the_delays_whose_requests_were_not_what_they_should_be() -> None:
    def report(*wrong: int) -> dict[str, Any]:
        return {"by_answer_milliseconds": {str(20 * n): {"wrong": count} for n, count in enumerate(wrong)}}

    assert w4.wrong(report(0, 0)) == ""
    assert "after 20 ms" in w4.wrong(report(0, 1))


def test_the_p95_of_a_window_counts_runs_that_have_not_ended() -> None:
    seconds = [0.001 * n for n in range(1, 95)] + [20.0] * 6
    found = neighbours.figures(Times(seconds, not_ended=6, failed=0), {"hung_running": 8})
    assert found["p95_ms"] == 20_000
    assert found["p50_ms"] == pytest.approx(50.5)
    assert (found["runs"], found["not_ended"], found["hung_running"]) == (100, 6, 8)


def test_neighbours_are_compared_with_the_same_round_alone() -> None:
    found = {
        "pure": {"0": [{"p95_ms": 2.0}, {"p95_ms": 4.0}], "8": [{"p95_ms": 3.0}, {"p95_ms": 4.0}]},
        "quick": {"0": [{"p95_ms": 5.0}], "8": [{"p95_ms": 5.0}], "80": [{"p95_ms": 20_000.0}]},
    }
    ratios = neighbours.compared(found)
    assert ratios["pure_8"]["all"] == [1.5, 1]
    assert ratios["quick_80"]["median"] == 4000
    assert set(ratios) == {"pure_8", "quick_8", "quick_80"}


@pytest.mark.parametrize(
    ("failed", "short", "word"), [([0, 0], [0, 0], ""), ([0, 1], [0, 0], "failed"), ([0, 0], [0, 3], "3 runs")]
)
def test_neighbours_say_what_makes_their_figures_worthless(failed: list[int], short: list[int], word: str) -> None:
    one = {"failed": {"all": failed}, "hung_too_short": {"all": short}}
    told = neighbours.wrong({"conditions": {"pure": {"8": one}}})
    assert word in told
    assert bool(told) == bool(word)


def test_a_fan_out_is_compared_with_the_faster_group_of_the_same_round() -> None:
    found = {
        "group_prefork_2": rounds(seconds=[10, 10]),
        "group_threads_32": rounds(seconds=[5, 20]),
        "stepwise": rounds(seconds=[5, 5]),
    }
    ratio = http_shapes.compared(found)
    assert ratio is not None
    assert ratio["all"] == [1, 0.5]
    assert http_shapes.compared({"stepwise": rounds(seconds=[5])}) is None


@pytest.mark.parametrize("scale", [1.0, 0.1, 0.001])
def test_a_shape_makes_as_many_requests_as_it_says(scale: float) -> None:
    for case in http_shapes.cases(scale=scale).values():
        steps = case.definition(case.size)["steps"]
        assert sum(step["action"] == "http_request" for step in steps) == case.requests


def test_every_second_layer_of_the_graph_sends_requests_and_the_rest_is_unchanged() -> None:
    pure, mixed = (make(300)["steps"] for make in (shapes.graph, http_shapes.graph))
    assert [step["needs"] for step in mixed] == [step["needs"] for step in pure]
    assert {step["action"] for step in mixed[100:200]} == {"http_request"}
    assert mixed[:100] + mixed[200:] == pure[:100] + pure[200:]


def test_the_disk_is_asked_as_often_as_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(os, "fdatasync", calls.append)
    found = machine.fdatasync_milliseconds(tmp_path, times=5)
    assert len(calls) == 5
    assert found["median"] <= found["max"]
    assert list(tmp_path.iterdir()) == []
