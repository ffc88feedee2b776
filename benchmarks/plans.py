"""Collect the plan, and the pages read, of every statement that a piece of work sends.

`auto_explain` sends the plans as notices, so that prepared statements and those of the ORM are included unchanged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

_SETTINGS = """
    LOAD 'auto_explain';
    SET auto_explain.log_min_duration = 0;
    SET auto_explain.log_analyze = on;
    SET auto_explain.log_buffers = on;
    SET auto_explain.log_timing = off;
    SET auto_explain.log_format = json;
    SET auto_explain.log_level = notice;
    SET client_min_messages = notice
"""
BIG_TABLES = ("runs_run", "runs_steprun", "runs_deadletter")
# A sequential scan or sort that reads at most this many rows, for example because a LIMIT stopped it, is no fault.
FEW_ROWS = 20_000


@dataclass
class Plan:
    """One statement: the work it belongs to, its milliseconds, pages of 8 KB touched, and the faults of its plan."""

    work: str
    sql: str
    ms: float
    pages: int
    faults: list[str] = field(default_factory=list)
    tree: dict[str, Any] = field(default_factory=dict)


class Watch:
    """Collects plans; `work` names the piece of work that the next statements belong to."""

    def __init__(self) -> None:
        self.work = ""
        self.plans: list[Plan] = []

    def heed(self, notice: Any) -> None:
        """Handle a notice: collect auto_explain's plan, ignore any other notice."""
        found = re.search(r"plan:\s*(\{.*)", notice.message_primary or "", re.DOTALL)
        if found is None:
            return
        explained = json.loads(found[1])
        top = explained["Plan"]
        pages = int(top.get("Shared Hit Blocks", 0)) + int(top.get("Shared Read Blocks", 0))
        ms = float(re.search(r"duration: ([0-9.]+) ms", notice.message_primary)[1])  # type: ignore[index]  # always there
        sql = " ".join(str(explained["Query Text"]).split())
        self.plans.append(Plan(self.work, sql, ms, pages, [*_faults(top)], top))


@contextmanager
def watched() -> Iterator[Watch]:
    """Collect the plans of this thread's Django connection. The database role must be a superuser, because of LOAD."""
    from django.db import connection

    watch = Watch()
    with connection.cursor() as cursor:
        cursor.execute(_SETTINGS)
    raw: Any = connection.connection
    raw.add_notice_handler(watch.heed)
    try:
        yield watch
    finally:
        raw.remove_notice_handler(watch.heed)
        connection.close()


def _faults(node: dict[str, Any]) -> Iterator[str]:
    """Yield sequential scans of big tables, index scans that discard very many rows, and sorts of very many rows."""
    loops = int(node.get("Actual Loops", 0))
    rows = int(node.get("Actual Rows", 0) * loops)
    dropped = int(node.get("Rows Removed by Filter", 0) * loops)
    table = node.get("Relation Name", "")
    kind = str(node.get("Node Type", ""))
    if loops and table in BIG_TABLES and rows + dropped > FEW_ROWS:
        if kind == "Seq Scan":
            yield f"sequential scan of {table}: {rows + dropped} rows"
        elif dropped > FEW_ROWS:
            yield f"scan of {node.get('Index Name') or table} drops {dropped} rows"
    if kind in ("Sort", "Incremental Sort"):
        below = sum(int(one.get("Actual Rows", 0) * one.get("Actual Loops", 0)) for one in node.get("Plans", ()))
        if below > FEW_ROWS:
            yield f"sort of {below} rows"
    for below_node in node.get("Plans", ()):
        yield from _faults(below_node)
