"""Find an action by its name. To add an action, write its file and list it here."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

from actions.base import Action
from actions.meanings import meant
from actions.nearest import nearest

ACTIONS: dict[str, str] = {
    "approval": "actions.catalogue.approval.Approval",
    "compute": "actions.catalogue.compute.Compute",
    "condition": "actions.catalogue.condition.Condition",
    "default": "actions.catalogue.default.Default",
    "email": "actions.catalogue.email.Email",
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


class UnknownAction(LookupError):
    """No action has this name; the message suggests the most similar name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no action {name[:100]!r}{suggestion(name)}")
        self.name = name


def suggestion(name: str) -> str:
    """Return a hint for a name that no action has: one that it misspells, or the action that does what it says."""
    return nearest(name, names(), similarity=0.8) or meant(name)


def names() -> list[str]:
    """Return the names of all actions, sorted, without aliases."""
    return sorted(ACTIONS)


def canonical(name: str) -> str:
    """Return an action's own name, given that name or an alias. Raises UnknownAction."""
    if name in ACTIONS:
        return name
    try:
        return _aliases()[name]
    except KeyError:
        raise UnknownAction(name) from None


def get(name: str) -> Action[Any]:
    """Return the action with this name or alias, imported on first use; one instance each. Raises UnknownAction."""
    return _instance(canonical(name))


@cache
def _instance(name: str) -> Action[Any]:
    module, _, attribute = ACTIONS[name].rpartition(".")
    action: Action[Any] = getattr(import_module(module), attribute)()
    return action


@cache
def _aliases() -> dict[str, str]:
    return {alias: name for name in ACTIONS for alias in _instance(name).aliases}
