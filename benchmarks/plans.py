"""Every statement that a piece of work sends, with the plan that PostgreSQL chose and the pages that it read.

`auto_explain` sends the plans along as notices, so that prepared statements and those of the ORM are seen as they are.
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
# A sequential scan that reads no more rows than this, for a LIMIT stopped it, is none; nor is such a sort.
FEW_ROWS = 20_000


@dataclass
class Plan:
    """One statement: what it was for, its milliseconds, pages of 8 KB touched, and what is wrong with its plan."""

    work: str
    sql: str
    ms: float
    pages: int
    faults: list[str] = field(default_factory=list)
    tree: dict[str, Any] = field(default_factory=dict)


class Watch:
    """Collects plans; `work` is what the statements from now on are for."""

    def __init__(self) -> None:
        self.work = ""
        self.plans: list[Plan] = []

    def heed(self, notice: Any) -> None:
        """A notice of auto_explain; any other is nothing."""
        found = re.search(r"plan:\s*(\{.*)", notice.message_primary or "", re.DOTALL)
        if found is None:
            return
        told = json.loads(found[1])
        top = told["Plan"]
        pages = int(top.get("Shared Hit Blocks", 0)) + int(top.get("Shared Read Blocks", 0))
        ms = float(re.search(r"duration: ([0-9.]+) ms", notice.message_primary)[1])  # type: ignore[index]  # always there
        sql = " ".join(str(told["Query Text"]).split())
        self.plans.append(Plan(self.work, sql, ms, pages, [*_faults(top)], top))


@contextmanager
def watched() -> Iterator[Watch]:
    """Watch Django's connection of this thread. The role must be a superuser, for LOAD."""
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
    """Sequential scans of big tables, index scans that throw very many rows away, and sorts of very many."""
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
