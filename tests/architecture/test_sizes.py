"""A file or a function that outgrows a reader's head is split."""

from __future__ import annotations

import ast

from tests.architecture.source import PACKAGES, files, place, tree

_FILE_LINES = 400
_FUNCTION_LINES = 60


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files(*PACKAGES, "tests")}
    assert not [f"{place(path, count)}" for path, count in lengths.items() if count > _FILE_LINES]


def test_no_function_is_longer_than_60_lines() -> None:
    wrong = [
        f"{place(path, node.lineno)} {node.name} has {length} lines"
        for path in files(*PACKAGES, "tests")
        for node in ast.walk(tree(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > _FUNCTION_LINES
    ]
    assert not wrong


def test_nine_functions_in_ten_are_under_30_lines() -> None:
    lengths = [
        (node.end_lineno or node.lineno) - node.lineno + 1
        for path in files(*PACKAGES)
        for node in ast.walk(tree(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    assert sum(length < 30 for length in lengths) >= 0.9 * len(lengths)
