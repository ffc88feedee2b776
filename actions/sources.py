"""Where actions come from besides our own catalogue: installed apps, and packages with entry points.

A package lists its actions in one of two ways, and neither imports them before one is used:

- entry points of the group `stepwise.actions`: the name is the action's, the value `package.module:Class`;
- an installed Django app whose AppConfig has `stepwise_actions = {"name": "package.module.Class"}`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

GROUP = "stepwise.actions"


@dataclass(frozen=True)
class Listed:
    """An action that a package lists: its name, the dotted path of its class, and the package."""

    name: str
    path: str
    package: str


@dataclass(frozen=True)
class Fault:
    """Something that keeps an action, or one of its aliases, from being used, and the package that brought it."""

    package: str
    action: str
    message: str

    def __str__(self) -> str:
        return f"action {self.action[:100]!r} of {self.package}: {self.message}"


_sources: list[Callable[[], Iterable[Listed]]] = []


def add(source: Callable[[], Iterable[Listed]]) -> None:
    """Add a source, which is asked when an action is first looked for that is not our own."""
    if source not in _sources:
        _sources.append(source)


def listed() -> Iterator[Listed]:
    """Yield the actions of all sources: those of the added ones (apps) first, then entry points by package."""
    for source in _sources:
        yield from source()
    found = [_listed(point) for point in entry_points(group=GROUP)]
    yield from sorted(found, key=lambda one: (one.package, one.name))


def _listed(point: EntryPoint) -> Listed:
    package = point.dist.name if point.dist is not None else point.module
    return Listed(point.name, point.value.replace(":", "."), package)
