"""Actions of other packages: found by entry points, used like our own, and never in the way of others."""

from __future__ import annotations

import sys

import pytest

from actions import registry
from actions.base import Json
from tests.actions.contexts import perform
from tests.actions.packages import GOOD, Packages, packages

__all__ = ["packages"]

# What stands in the module of an action, and what is said about it.
BAD: dict[str, tuple[str, str]] = {
    "raises": ("raise OSError('no such device')", "cannot be loaded: OSError: no such device"),
    "no_syntax": ("class Other(:", "cannot be loaded: SyntaxError"),
    "exits": ("raise SystemExit(3)", "cannot be loaded: SystemExit: 3"),
    "needs": ("import package_that_is_missing", "cannot be loaded: ModuleNotFoundError"),
    "empty": ("", "cannot be loaded: AttributeError"),
    "no_class": ("Other = 3", "is int '', not a subclass of actions.base.Action"),
    "no_action": ("class Other: pass", "is type 'Other', not a subclass of actions.base.Action"),
    "no_perform": ("from actions.base import Action\nclass Other(Action): pass", "does not define perform"),
    "no_config": (GOOD.replace("config_class = OtherConfig", ""), "has no config_class"),
    "no_summary": (GOOD.replace('"Return a text"', '" "'), "has no summary; write one line"),
    "long": (GOOD.replace('"Return a text"', '"x" * 201'), "has a summary that is not one line of at most 200"),
    "no_output": (GOOD.replace("output = '", "told = '"), "has no output; write one line"),
    "misnamed": (GOOD.replace('name = "NAME"', 'name = "other"'), "is listed under this name, but says name = 'other'"),
    "Loud": (GOOD, "has a name that is not 1 to 100 small letters"),
    "both": (GOOD.replace("pure = True", "pure = transactional = True"), "is pure and transactional at once"),
    "parked": (GOOD.replace("pure = True", "pure = parks = True"), "is pure and parks at once"),
    "awaits": (GOOD.replace("def perform", "async def perform"), "has an async perform, which only an action may have"),
    "loose": (
        GOOD.replace('text: str = ""', 'model_config = {"extra": "allow"}\n    text: str = ""'),
        "has a config that takes unknown keys",
    ),
    "no_schema": (GOOD.replace('text: str = ""', "text: object = print\n    do: type(print) = print"), ""),
    "wordy": (GOOD.replace("pure = True", 'timeout_field = "limit"'), "names 'limit' in timeout_field, which is no"),
    "keyed": (GOOD.replace("pure = True", 'credential_kinds = ("bearer",)'), "names 'credential' in credential_kinds"),
    "odd_output": (
        GOOD.replace("output_class = OtherOutput", "output_class = OtherConfig"),
        "has an output_class that",
    ),
    "odd_example": (GOOD.replace("pure = True", 'examples = ("a",)'), "has examples that are no actions.base.Example"),
    "hasty": (GOOD.replace("pure = True", "timeout_seconds = 0"), "has timeout_seconds = 0"),
    "listing": (GOOD.replace("aliases = ()", "aliases = 'other'"), "has aliases that are no tuple"),
}


def test_an_action_of_another_package_is_used_like_our_own(packages: Packages) -> None:
    packages.install("shop-actions", shout=GOOD.replace("aliases = ()", "aliases = ('yell',)"))
    assert "shop_actions_shout" not in sys.modules
    assert "shout" in registry.names()
    assert "shop_actions_shout" not in sys.modules  # a name alone imports nothing
    assert registry.package_of("shout") == "shop-actions"
    assert registry.package_of("compute") == registry.package_of("nothing") == "stepwise"
    found: Json = perform("shout", {"text": "a"})  # type: ignore[assignment]  # neither Park nor Spawn
    assert found == {"text": "A"}
    assert registry.get("yell") is registry.get("shout")
    assert registry.canonical("yell") == "shout"
    assert not registry.faults()
    with pytest.raises(registry.UnknownAction, match="'shoutt'; did you mean 'shout'"):
        registry.get("shoutt")


def test_each_bad_declaration_is_told_with_its_package_and_stops_no_other(packages: Packages) -> None:
    packages.install("bad-actions", **{name: source for name, (source, _) in BAD.items()}, fine=GOOD)
    told = {fault.action: fault for fault in registry.faults()}
    assert set(told) == set(BAD)
    for name, (_, expected) in BAD.items():
        assert told[name].package == "bad-actions"
        assert expected in told[name].message, name
        assert registry.unusable(name) is told[name]
        with pytest.raises(registry.UnknownAction, match=r"that can be used: action .* of bad-actions: "):
            registry.get(name)
        with pytest.raises(registry.UnknownAction):
            registry.canonical(name)
    assert perform("fine", {"text": "b"}) == {"text": "B"}
    names = [action.name for action in registry.usable()]
    assert "fine" in names
    assert "compute" in names
    assert not set(names) & set(BAD)


def test_a_name_that_is_taken_keeps_its_meaning(packages: Packages) -> None:
    packages.install("a-first", mine=GOOD.replace("aliases = ()", "aliases = ('sleep', 'noop', 'ours', 'other')"))
    packages.install("b-second", compute=GOOD, noop=GOOD, mine=GOOD, ours=GOOD)
    told = [(fault.package, fault.action, fault.message) for fault in registry.faults()]
    taken = "the name is taken by {}, whose action is used"
    assert told == [
        ("b-second", "compute", taken.format("stepwise")),
        ("b-second", "mine", taken.format("a-first")),
        ("b-second", "noop", taken.format("stepwise")),
        *[("a-first", "mine", f"its alias {alias!r} is taken; use it by its own name") for alias in
          ("sleep", "noop", "ours")],
    ]  # fmt: skip
    assert registry.package_of("mine") == "a-first"
    assert type(registry.get("compute")).__module__ == "actions.catalogue.compute"
    assert registry.canonical("noop") == "default"
    assert registry.canonical("ours") == "ours"
    assert registry.canonical("other") == "mine"
