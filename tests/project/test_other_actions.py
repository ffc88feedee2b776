"""Actions that apps and packages bring: installed apps list theirs; what cannot be used is told, and stops nothing."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest
from django.core.checks import run_checks
from django.test import override_settings

from actions import registry
from project.settings import INSTALLED_APPS
from runs.planning import plan
from runs.worker import other_actions
from tests.actions.packages import GOOD, Packages, packages
from tests.engine import drain
from tests.flows import begun, published, states, steps, the_run
from workflows.definitions.errors import DefinitionError
from workflows.publishing.validate import validate

__all__ = ["packages"]

_APP = """
from django.apps import AppConfig


class ShopConfig(AppConfig):
    name = "shop_app"
    stepwise_actions = {"shout": "shop_app.shouting.Other", "broken": "shop_app.nothing.Other"}
"""
_FLOW = "name: other\nsteps:\n  - {id: a, action: shout, with: {text: '{{ input.text }}'}}"


def test_an_installed_app_lists_actions_and_faults_are_warnings_and_log_lines(
    packages: Packages, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home = tmp_path / "shop_app"
    home.mkdir()
    (home / "__init__.py").write_text("")
    (home / "apps.py").write_text(_APP)
    (home / "shouting.py").write_text(GOOD.replace("NAME", "shout"))
    packages.install("late-package", shout=GOOD)
    with override_settings(INSTALLED_APPS=[*INSTALLED_APPS, "shop_app.apps.ShopConfig"]):
        registry.forget()
        assert "shop_app.shouting" not in sys.modules
        assert registry.package_of("shout") == "shop_app"
        found = [one for one in run_checks() if one.id == "stepwise.W017"]
        assert [(one.level, one.msg.partition(":")[0]) for one in found] == [
            (logging.WARNING, "Package late-package lists the action 'shout', which cannot be used"),
            (logging.WARNING, "Package shop_app lists the action 'broken', which cannot be used"),
        ]
        assert "No module named 'shop_app.nothing'" in found[1].msg
        with caplog.at_level(logging.ERROR):
            other_actions.log_faults()
        told = [(one.message, vars(one)["package"], vars(one)["action"]) for one in caplog.records]
        assert told == [("action_unusable", "late-package", "shout"), ("action_unusable", "shop_app", "broken")]
        with pytest.raises(DefinitionError, match=r"there is no action 'broken' that can be used: .* of shop_app: "):
            validate({"name": "x", "steps": [{"id": "a", "action": "broken"}]})
        assert validate({"name": "x", "steps": [{"id": "a", "action": "shout"}]}).definition.steps[0].action == "shout"


@pytest.mark.django_db(transaction=True)
def test_a_step_whose_package_broke_waits_and_says_why(packages: Packages, monkeypatch: pytest.MonkeyPatch) -> None:
    packages.install("frail", shout=GOOD)
    flow = published(_FLOW)
    [first] = begun(flow, {"text": "a"})
    drain()
    assert steps(first)["a"].output == {"text": "A"}
    [module] = packages.modules
    sys.modules[module].Other.config_class = None  # as a bad release would have it
    registry.forget()
    plan.load.cache_clear()
    [second] = begun(flow, {"text": "b"})
    drain()
    assert states(second) == {"a": "waiting"}
    told = steps(second)["a"].error
    assert isinstance(told, dict)
    assert "is not known to this worker (action 'shout' of frail: has no config_class" in str(told["message"])
    assert the_run(second).state == "waiting"
    plan.load.cache_clear()
