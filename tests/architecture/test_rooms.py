"""Rooms: the table of who may import whom inside the packages, and the longest chain of imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.architecture.source import PACKAGES, ROOT, files, place, tree

# A room of runs/, and the rooms that it may import, from the lowest floor to the doors.
RUNS: dict[str, tuple[str, ...]] = {
    "domain": (),
    "models": ("domain",),
    "queries": ("domain",),
    "planning": ("domain",),
    "telemetry": ("domain", "queries"),
    "engine": ("domain", "queries", "planning", "telemetry"),
    "dispatch": ("domain", "queries", "planning", "engine", "telemetry"),
    "control": ("domain", "models", "queries", "planning", "engine", "dispatch", "telemetry"),
    "history": ("domain", "models", "queries", "planning", "engine", "control"),
    "maintenance": ("domain", "models", "queries", "planning", "engine", "dispatch", "control", "telemetry"),
    "schemas": ("domain", "models", "planning", "control", "history"),
    "worker": ("domain", "planning", "engine", "dispatch", "control", "maintenance", "telemetry"),
    "api": ("domain", "models", "planning", "control", "history", "schemas", "telemetry"),
    "admin": ("domain", "models", "planning", "control", "history", "schemas"),
    "pages": ("domain", "models", "control"),
    "management": ("domain", "models", "control", "history", "schemas", "maintenance", "worker"),
}
# The same of workflows/ and actions/. A room's `__init__.py` is part of it.
WORKFLOWS: dict[str, tuple[str, ...]] = {
    "models": (),
    "definitions": (),
    "formats": ("definitions",),
    "workspaces": ("models",),
    "credentials": ("models", "definitions", "workspaces"),
    "publishing": ("models", "definitions", "formats", "workspaces", "credentials"),
    "admin": ("models", "definitions", "formats", "workspaces", "credentials", "publishing"),
    "management": ("models", "definitions", "formats", "workspaces", "credentials", "publishing"),
}
ACTIONS: dict[str, tuple[str, ...]] = {
    "expressions": (),
    "network": (),
    "catalogue": ("expressions", "network"),
}
ROOMS = {"runs": RUNS, "workflows": WORKFLOWS, "actions": ACTIONS}
# Files beside the rooms: Django's app configs, and the contract and words of actions, which every room of it may use.
BESIDE = {
    "runs": {"apps"},
    "workflows": {"apps"},
    "actions": {
        "base",
        "credentials",
        "declarations",
        "described",
        "durations",
        "meanings",
        "moments",
        "nearest",
        "paths",
        "payload",
        "registry",
        "sources",
        "texts",
        "timezones",
    },
}
# The only faces: an `__init__.py` that is more than a docstring.
FACES = {
    "runs/models",
    "runs/admin",
    "workflows/models",
    "workflows/admin",
    "actions/expressions",
    "actions/network",
}
# What runs/ may know of single actions: the classes and words that are defined for it there.
CATALOGUE_FOR_RUNS = {"actions.catalogue.approval", "actions.catalogue.wait_for_signal"}
LONGEST_CHAIN = 21


@cache
def _modules() -> dict[str, Path]:
    """Every file of the packages by its dotted name."""
    found = {}
    for path in files(*PACKAGES):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _imported(path: Path) -> Iterator[tuple[str, int]]:
    """(dotted name of one of our modules, line) of each import, also of those inside functions."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in _modules() else name.rpartition(".")[0] for name in names]
        else:
            continue
        yield from ((name, node.lineno) for name in names if name in _modules())


def _room(module: str) -> tuple[str, str]:
    package, _, rest = module.partition(".")
    return package, rest.partition(".")[0]


@pytest.mark.parametrize("package", ROOMS)
def test_every_file_stands_in_a_room(package: str) -> None:
    rooms = {room for name in _modules() if (room := _room(name)[1]) and _room(name)[0] == package}
    assert rooms - BESIDE[package] == set(ROOMS[package])


@pytest.mark.parametrize(("package", "room"), [(package, room) for package, rooms in ROOMS.items() for room in rooms])
def test_a_room_imports_only_the_rooms_that_the_table_gives_it(package: str, room: str) -> None:
    allowed = {room, *ROOMS[package][room], *BESIDE[package]}
    wrong = [
        f"{place(path, line)} imports {module}"
        for path in files(f"{package}/{room}")
        for module, line in _imported(path)
        if _room(module)[0] == package and _room(module)[1] and _room(module)[1] not in allowed
    ]
    assert not wrong


def test_actions_are_found_by_the_registry_and_imported_by_nobody() -> None:
    wrong = [
        f"{place(path, line)} imports {module}"
        for path in files(*PACKAGES)
        if not path.is_relative_to(ROOT / "actions" / "catalogue")
        for module, line in _imported(path)
        if module.startswith("actions.catalogue.")
        and not (path.is_relative_to(ROOT / "runs") and module in CATALOGUE_FOR_RUNS)
    ]
    assert not wrong


def test_an_init_file_holds_a_docstring_and_nothing_else() -> None:
    wrong = [
        place(path, 1)
        for path in files("runs", "workflows", "actions")
        if path.name == "__init__.py" and path.parent.relative_to(ROOT).as_posix() not in FACES
        for statement in tree(path).body
        if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
    ]
    assert not wrong


def test_only_the_record_is_called_from_where_outcomes_are_written() -> None:
    """Outcomes are written by engine/record.py; only control, maintenance and the engine itself may call it."""
    wrong = [
        f"{place(path, line)} imports {module}"
        for path in files("runs")
        for module, line in _imported(path)
        if module == "runs.engine.record" and _room(_dotted(path))[1] not in {"engine", "control", "maintenance"}
    ]
    assert not wrong


def test_no_chain_of_imports_is_longer_than_21_files() -> None:
    chain = _longest_chain()
    assert len(chain) <= LONGEST_CHAIN, " -> ".join(chain)


def _dotted(path: Path) -> str:
    return next(name for name, known in _modules().items() if known == path)


def _longest_chain() -> list[str]:
    """The longest way down from file to file along imports at the top of files, each file once."""
    longest: dict[str, list[str]] = {}

    def down(module: str, above: tuple[str, ...]) -> list[str]:
        if module in longest:
            return longest[module]
        best: list[str] = []
        for name in _imported_at_top(module):
            if name in above or name == module:
                continue
            found = down(name, (*above, module))
            best = max(best, found, key=len)
        longest[module] = [module, *best]
        return longest[module]

    return max((down(module, ()) for module in _modules()), key=len)


@cache
def _imported_at_top(module: str) -> frozenset[str]:
    top = {node.lineno for node in tree(_modules()[module]).body if isinstance(node, (ast.Import, ast.ImportFrom))}
    return frozenset(name for name, line in _imported(_modules()[module]) if line in top)
