"""What may stand in one place only stands there: SQL, writing of state, reading of the environment."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.source import PACKAGES, ROOT, files, place, tree

# The hot path's SQL, and the small driver below it.
_SQL_FILES = re.compile(r"runs/queries/\w+\.py")
_RAW_CALLS = {"raw", "cursor", "RawSQL", "extra"}
_STATE_WORDS = re.compile(r"\b(UPDATE|INSERT INTO|DELETE FROM)\s+(runs_|\{)", re.IGNORECASE)


def _calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Attribute):
                yield function.attr, node
            elif isinstance(function, ast.Name):
                yield function.id, node


def test_sql_of_runs_stands_in_its_query_files_only() -> None:
    others = [p for p in files("runs") if not _SQL_FILES.fullmatch(p.relative_to(ROOT).as_posix())]
    wrong = [
        f"{place(path, call.lineno)} calls {name}"
        for path in others
        for name, call in _calls(path)
        if name in _RAW_CALLS
    ]
    wrong += [
        f"{place(path, node.lineno)} holds SQL that writes"
        for path in others
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _STATE_WORDS.search(node.value)
    ]
    assert not wrong


def test_nobody_assigns_a_state() -> None:
    wrong = [
        place(path, node.lineno)
        for path in files("runs", "workflows")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Attribute)
        and target.attr == "state"
        # A class's own field is a declaration, `self.state` of a plain object is no row.
        and not (isinstance(target.value, ast.Name) and target.value.id == "self")
    ]
    assert not wrong


def test_the_environment_is_read_in_project_only() -> None:
    wrong = [
        place(path, node.lineno)
        for path in files(*PACKAGES[:3])
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
    ]
    assert not wrong


def test_html_is_never_marked_safe_by_hand() -> None:
    assert not [
        place(path, call.lineno) for path in files(*PACKAGES) for name, call in _calls(path) if name == "mark_safe"
    ]
