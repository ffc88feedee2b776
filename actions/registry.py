"""Find an action by its name: our own, or one that an installed app or package brings (actions.sources).

To add one of our own, write its file and list it here. Ours go first: a name or an alias that one of ours has means
ours. An action of another package is imported when it is first used; where that fails, or its declaration is bad, it is
as good as unknown, the reason is in the message, and all others go on working.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from actions import declarations, sources
from actions.base import Action
from actions.meanings import meant
from actions.nearest import nearest
from actions.sources import Fault, Listed

ACTIONS: dict[str, str] = {
    "approval": "actions.catalogue.approval.Approval",
    "compute": "actions.catalogue.compute.Compute",
    "condition": "actions.catalogue.condition.Condition",
    "default": "actions.catalogue.default.Default",
    "fail": "actions.catalogue.fail.Fail",
    "flaky": "actions.catalogue.flaky.Flaky",
    "http_request": "actions.catalogue.http_request.HttpRequest",
    "notify": "actions.catalogue.notify.Notify",
    "sleep": "actions.catalogue.sleep.Sleep",
    "sub_workflow": "actions.catalogue.sub_workflow.SubWorkflow",
    "transform": "actions.catalogue.transform.Transform",
    "wait": "actions.catalogue.wait.Wait",
    "wait_for_signal": "actions.catalogue.wait_for_signal.WaitForSignal",
}
# Who brings an action of ours, for people.
OURS = "stepwise"


class UnknownAction(LookupError):
    """No action has this name, or it cannot be used; the message says why, or suggests the most similar name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no action {name[:100]!r}{suggestion(name)}")
        self.name = name


def suggestion(name: str) -> str:
    """Return why an action with this name cannot be used; else a hint for a name that no action has.

    The hint is a name that it misspells, or the action that does what it says.
    """
    if (fault := unusable(name)) is not None:
        return f" that can be used: {fault}"
    return nearest(name, names(), similarity=0.8) or meant(name)


def names() -> list[str]:
    """Return the names of all actions that are listed, sorted, without aliases. It imports none of other packages."""
    return sorted({*ACTIONS, *_others().listed})


def usable() -> list[Action[Any]]:
    """Import all actions, and return those that can be used, by name."""
    found = (_other(name) if name not in ACTIONS else _own(name) for name in names())
    return [action for action in found if isinstance(action, Action)]


def package_of(name: str) -> str:
    """Return the package that brings the action with this name: OURS for our own."""
    if name in ACTIONS or (listed := _others().listed.get(name)) is None:
        return OURS
    return listed.package


def faults() -> list[Fault]:
    """Import the actions of other packages, and return everything that keeps one, or an alias, from being used."""
    loaded = [_other(name) for name in _others().listed]
    return [*_others().faults, *(one for one in loaded if isinstance(one, Fault)), *_other_aliases().faults]


def unusable(name: str) -> Fault | None:
    """Return why an action that another package lists cannot be used; None if it can, or if none lists the name."""
    if name in ACTIONS or name not in _others().listed:
        return None
    found = _other(name)
    return found if isinstance(found, Fault) else None


def canonical(name: str) -> str:
    """Return an action's own name, given that name or an alias. Raises UnknownAction."""
    if name in ACTIONS:
        return name
    if name in (own := _own_aliases()):
        return own[name]
    if name in _others().listed:
        if isinstance(_other(name), Fault):
            raise UnknownAction(name)
        return name
    try:
        return _other_aliases().names[name]
    except KeyError:
        raise UnknownAction(name) from None


def get(name: str) -> Action[Any]:
    """Return the action with this name or alias, imported on first use; one instance each. Raises UnknownAction."""
    found = canonical(name)
    if found in ACTIONS:
        return _own(found)
    other = _other(found)
    if isinstance(other, Fault):
        raise UnknownAction(found)
    return other


def forget() -> None:
    """Forget what was found in other packages, so that they are asked again: for tests."""
    for kept in (_others, _other, _other_aliases):
        kept.cache_clear()


@cache
def _own(name: str) -> Action[Any]:
    action: Action[Any] = _attribute(ACTIONS[name])()
    return action


@cache
def _own_aliases() -> dict[str, str]:
    return {alias: name for name in ACTIONS for alias in _own(name).aliases}


class _Others(NamedTuple):
    """The actions of other packages, by name, and what is wrong with how they are listed."""

    listed: Mapping[str, Listed]
    faults: tuple[Fault, ...]


class _Aliases(NamedTuple):
    """The aliases of other packages' actions, with the action's name, and those that are taken."""

    names: Mapping[str, str]
    faults: tuple[Fault, ...]


@cache
def _others() -> _Others:
    found: dict[str, Listed] = {}
    refused: list[Fault] = []
    own = {**dict.fromkeys(ACTIONS, OURS), **dict.fromkeys(_own_aliases(), OURS)}
    for one in sources.listed():
        before = found.get(one.name)
        holder = own.get(one.name) or (before.package if before else None)
        if holder is None:
            found[one.name] = one
        elif one != before:
            refused.append(Fault(one.package, one.name, f"the name is taken by {holder}, whose action is used"))
    return _Others(found, tuple(refused))


@cache
def _other(name: str) -> Action[Any] | Fault:
    """Return the action of another package, or why it cannot be used. Not tried again before the next start."""
    listed = _others().listed[name]
    try:
        loaded = _attribute(listed.path)
        told = next(declarations.faults(loaded, name=name), None)
        if told is None:
            action: Action[Any] = loaded()
            return action
    except (Exception, SystemExit) as error:  # whatever another package does when it is imported
        told = f"{listed.path} cannot be loaded: {type(error).__name__}: {error}"
    return Fault(listed.package, name, told[:1000])


@cache
def _other_aliases() -> _Aliases:
    found: dict[str, str] = {}
    refused = []
    for alias, action in _aliases_of_others():
        if alias in ACTIONS or alias in _own_aliases() or alias in _others().listed or alias in found:
            package = package_of(action.name)
            refused.append(Fault(package, action.name, f"its alias {alias!r} is taken; use it by its own name"))
        else:
            found[alias] = action.name
    return _Aliases(found, tuple(refused))


def _aliases_of_others() -> Iterator[tuple[str, Action[Any]]]:
    for name in _others().listed:
        action = _other(name)
        if isinstance(action, Action):
            yield from ((alias, action) for alias in action.aliases)


def _attribute(path: str) -> Any:
    module, _, attribute = path.rpartition(".")
    return getattr(import_module(module), attribute)
