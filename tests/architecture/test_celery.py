"""What of Celery is not used, because it loses or doubles work; docs/operating.md says why, line by line."""

from __future__ import annotations

import ast

from project.celery import app
from tests.architecture.source import PACKAGES, files, place, tree

_WORDS = {"countdown", "eta", "expires", "rate_limit", "soft_time_limit", "priority", "link", "link_error"}
_SENDS = {"apply_async", "delay", "send_task", "shared_task", "task"}


def test_no_chord_delay_rate_limit_or_error_callback_is_sent() -> None:
    wrong = []
    for package in PACKAGES:
        for path in files(package):
            for node in ast.walk(tree(path)):
                if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("celery"):
                    used = {"chord", "group", "chunks", "xmap", "xstarmap"} & {alias.name for alias in node.names}
                    wrong += [f"{place(path, node.lineno)} imports {name}" for name in used]
                if isinstance(node, ast.Call) and _name(node.func) in _SENDS:
                    said = _WORDS & {keyword.arg for keyword in node.keywords}
                    wrong += [f"{place(path, node.lineno)} says {word}" for word in said]
                if (
                    isinstance(node, ast.Call)
                    and _name(node.func) == "replace"
                    and _owner(node.func) in ("self", "task")
                ):
                    wrong.append(f"{place(path, node.lineno)} replaces a task")
    assert wrong == []


def test_celery_keeps_no_state_and_has_no_limit_that_raises_in_the_middle_of_a_commit() -> None:
    said = app.conf
    assert said.result_backend is None
    assert (said.task_ignore_result, said.task_track_started) == (True, False)
    assert said.task_soft_time_limit is None
    assert said.task_reject_on_worker_lost is False
    assert said.worker_cancel_long_running_tasks_on_connection_loss is False
    assert said.broker_transport_options["visibility_timeout"] > said.task_time_limit
    assert said.broker_transport_options["socket_timeout"] < 10


def _name(function: ast.expr) -> str:
    return (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )


def _owner(function: ast.expr) -> str:
    return function.value.id if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) else ""
