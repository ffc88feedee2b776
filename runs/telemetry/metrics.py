"""Prometheus metrics of one workspace, counted in the database at each scrape."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from runs.queries.database import run
from runs.queries.metrics import FIGURES

LIVE = ("queued", "running", "waiting", "compensating")


def exposition(workspace_id: UUID, *, name: str) -> bytes:
    """Return the workspace's metrics in Prometheus' text format; one statement reads them all."""
    registry = CollectorRegistry()
    registry.register(_Figures(workspace_id, name))
    return generate_latest(registry)


class _Figures(Collector):
    def __init__(self, workspace_id: UUID, name: str) -> None:
        self.workspace_id = workspace_id
        self.name = name

    def describe(self) -> Iterable[Metric]:
        """Return no metrics: the registry asks when the collector registers, and that must not query the database."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Return the gauges. A state without runs is reported as 0, so that its series does not break off."""
        found = run(FIGURES, workspace=self.workspace_id)
        runs = GaugeMetricFamily("stepwise_runs", "Runs that have not ended.", labels=("workspace", "state"))
        counts = {row[1]: row[3] for row in found if row[0] == "runs"}
        for state in LIVE:
            runs.add_metric((self.name, state), counts.get(state, 0))
        letters = GaugeMetricFamily(
            "stepwise_dead_letters_open",
            "Dead letters that nobody has retried or discarded.",
            labels=("workspace", "workflow", "reason"),
        )
        for _, reason, workflow, count in (row for row in found if row[0] == "dead_letters"):
            letters.add_metric((self.name, workflow, reason), count)
        return [runs, letters]
