"""The example in docs/writing-an-action.md works as it stands."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from actions import registry

DOC = Path(__file__).parents[2] / "docs" / "writing-an-action.md"


def test_example_of_the_documentation_works(monkeypatch: pytest.MonkeyPatch) -> None:
    source, entry, test = re.findall(r"```python\n(.*?)```", DOC.read_text(), re.DOTALL)
    module = ModuleType("actions.catalogue.discount")
    monkeypatch.setitem(sys.modules, "actions.catalogue.discount", module)
    exec(compile(source, "actions/catalogue/discount.py", "exec"), module.__dict__)
    [(name, path)] = re.findall(r'"(\w+)": "([\w.]+)"', entry)
    monkeypatch.setitem(registry.ACTIONS, name, path)
    found: dict[str, object] = {}
    exec(compile(test, "test_discount.py", "exec"), found)
    example = found["test_discount_is_taken_off"]
    assert callable(example)
    example()
