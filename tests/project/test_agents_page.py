"""AGENTS.md says what CONTRIBUTING.md says, and names rooms and commands that exist."""

from __future__ import annotations

import re

import pytest

from project.env import BASE_DIR
from tests.architecture.test_rooms import ROOMS

PAGES = {name: (BASE_DIR / name).read_text(encoding="utf-8") for name in ("AGENTS.md", "CONTRIBUTING.md")}


def _chapter(page: str, heading: str) -> str:
    """The text below `## heading`, up to the next heading."""
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGES[page], re.MULTILINE | re.DOTALL)
    assert found is not None, f"{page} has no chapter {heading!r}"
    return found[1]


def _bullets(page: str, heading: str) -> list[str]:
    return [line for line in _chapter(page, heading).splitlines() if line.startswith("- ")]


def _targets(text: str) -> set[str]:
    return set(re.findall(r"\bmake ([a-z0-9-]+)\b", "\n".join(re.findall(r"```\n.*?```|`[^`]+`", text, re.DOTALL))))


@pytest.mark.parametrize("heading", ["The house", "Rules"])
def test_both_pages_have_the_same_lines(heading: str) -> None:
    found = _bullets("AGENTS.md", heading)
    assert len(found) >= 5
    assert found == _bullets("CONTRIBUTING.md", heading)


@pytest.mark.parametrize("package", ROOMS)
def test_the_page_names_exactly_the_rooms_of_each_package(package: str) -> None:
    [line] = [line for line in _bullets("AGENTS.md", "The house") if line.startswith(f"- `{package}/`")]
    named = re.findall(r"`(\w+)/`", line)[1:]
    assert sorted(named) == sorted(ROOMS[package])
    assert [room for room in named if not (BASE_DIR / package / room).is_dir()] == []


def test_every_path_that_the_page_names_is_there() -> None:
    named = re.findall(r"`((?:actions|workflows|runs|project|tests|docs)/[\w./-]*)`", PAGES["AGENTS.md"])
    assert len(named) > 20
    assert [path for path in named if not (BASE_DIR / path).exists()] == []


def test_every_command_of_the_page_is_a_target_of_make_and_stands_in_contributing() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):.*##", (BASE_DIR / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = _targets(_chapter("AGENTS.md", "Commands"))
    assert {"up", "check", "test"} <= named
    assert named <= targets
    assert named <= _targets(PAGES["CONTRIBUTING.md"])
    for command in re.findall(r"^(\.venv/\S.*?)\s*(?:#|$)", _chapter("AGENTS.md", "Commands"), re.MULTILINE):
        assert command in PAGES["CONTRIBUTING.md"]
