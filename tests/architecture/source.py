"""The project's Python source as syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# From left to right: a package may import only those before it.
PACKAGES = ("actions", "workflows", "runs", "project")


@cache
def tree(path: Path) -> ast.Module:
    """The parsed file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def files(*packages: str) -> list[Path]:
    """Every Python file of these packages or paths; migrations are written by a machine and left out."""
    roots = [ROOT / package for package in packages]
    found = (path for root in roots for path in ([root] if root.is_file() else root.rglob("*.py")))
    return sorted(path for path in found if "migrations" not in path.parts)


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """(dotted module, line) of each import, also those inside functions."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, node.lineno


def place(path: Path, line: int) -> str:
    """`runs/queries/records.py:12`."""
    return f"{path.relative_to(ROOT)}:{line}"
