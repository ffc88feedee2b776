"""Packages that are installed for one test: a module, and the metadata that lists its actions."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from actions import registry

# An action that may be used; tests write others by changing a line of it.
GOOD = """
from actions.base import ONCE, Action, Config, Output


class OtherConfig(Config):
    text: str = ""


class OtherOutput(Output):
    text: str


class Other(Action):
    name = "NAME"
    aliases = ()
    summary = "Return a text"
    output = '{"text": text}'
    output_class = OtherOutput
    pure = True
    retry = ONCE
    config_class = OtherConfig

    def perform(self, config, context):
        return {"text": config.text.upper()}
"""


class Packages:
    """A directory of installed packages, in front of all others."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.modules: list[str] = []

    def install(self, package: str, **actions: str) -> None:
        """Install a package with a module for each action: {name: source}. NAME in a source is the action's name."""
        meta = self._home / f"{package}-1.0.dist-info"
        meta.mkdir()
        (meta / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = ["[stepwise.actions]"]
        for name, source in actions.items():
            module = f"{package.replace('-', '_')}_{name}"
            (self._home / f"{module}.py").write_text(source.replace("NAME", name))
            lines.append(f"{name} = {module}:Other")
            self.modules.append(module)
        (meta / "entry_points.txt").write_text("\n".join(lines) + "\n")
        registry.forget()


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Packages]:
    monkeypatch.syspath_prepend(tmp_path)
    made = Packages(tmp_path)
    yield made
    for module in made.modules:
        sys.modules.pop(module, None)
    monkeypatch.undo()
    registry.forget()
