"""What the documents name is there: files, commands and their options, tests, addresses of the API."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class
from django.urls import URLPattern

from project.env import BASE_DIR
from runs.api.urls import urlpatterns

PAGES = sorted([*BASE_DIR.glob("*.md"), *(BASE_DIR / "docs").rglob("*.md"), *(BASE_DIR / "deploy").glob("*.md")])
TESTS = {
    name
    for path in (BASE_DIR / "tests").rglob("test_*.py")
    for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
}
# Made by whoever follows the page.
_MADE = {BASE_DIR / "actions/catalogue/discount.py"}
_ROOTS = ("actions/", "workflows/", "runs/", "project/", "tests/", "examples/", "benchmarks/", "docs/", "deploy/")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [page.parent / link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]
    named = [BASE_DIR / name for name in re.findall(r"`([\w./-]+\.\w+)`", text) if name.startswith(_ROOTS)]
    named += [BASE_DIR / name for name in re.findall(r"@(examples/[\w./-]+)", text)]
    named += [BASE_DIR / "examples" / f"{name}.yaml" for name in re.findall(r"run_workflow (\w[\w-]*)", text)]
    assert [str(path) for path in links + named if not path.exists() and path not in _MADE] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_a_page_names_is_there(page: Path) -> None:
    named = re.findall(r"`(test_\w+)`", page.read_text(encoding="utf-8"))
    assert [name for name in named if name not in TESTS] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_a_page_names_is_there_and_takes_what_it_says(page: Path) -> None:
    wrong = []
    for name, rest in re.findall(r"manage\.py (\w+)([^`\n#|;]*)", page.read_text(encoding="utf-8")):
        if name not in get_commands():
            wrong.append(name)
            continue
        parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
        known = {option for action in parser._actions for option in action.option_strings}
        wrong += [f"{name} {option}" for option in re.findall(r"(?<!\S)--[a-z-]+", rest) if option not in known]
    assert wrong == []


def test_every_address_that_operating_names_is_there() -> None:
    known = {
        re.sub(r"<(?:\w+:)?\w+>", "{}", str(pattern.pattern))
        for pattern in urlpatterns
        if isinstance(pattern, URLPattern)
    }
    text = (BASE_DIR / "docs" / "operating.md").read_text(encoding="utf-8")
    kinds = "runs|workflows|dead-letters|jobs|signals|approvals"
    named = re.findall(rf"`(?:(?:GET|POST) )?(?:/api/v1/)?((?:{kinds})/[^`?\n]*)", text)
    found = {re.sub(r"\{[^}]*\}", "{}", name) for name in named}
    assert len(found) > 15
    assert sorted(name for name in found if name not in known) == []
