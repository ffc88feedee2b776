"""Imports go one way: actions <- workflows <- runs <- project."""

from __future__ import annotations

import pytest

from tests.architecture.source import PACKAGES, files, imported, place


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_packages_to_its_left(package: str) -> None:
    forbidden = set(PACKAGES[PACKAGES.index(package) + 1 :])
    wrong = [
        f"{place(path, line)} imports {module}"
        for path in files(package)
        for module, line in imported(path)
        if module.split(".")[0] in forbidden
    ]
    assert not wrong


def test_actions_know_neither_database_nor_broker() -> None:
    wrong = [
        f"{place(path, line)} imports {module}"
        for path in files("actions")
        for module, line in imported(path)
        if module.split(".")[0] in {"django", "celery", "kombu", "psycopg", "redis", "rest_framework"}
    ]
    assert not wrong


def test_the_stack_runs_before_there_are_settings() -> None:
    wrong = [
        f"{place(path, line)} imports {module}"
        for path in [*files("project/stack"), *files("project/up.py"), *files("project/env.py")]
        for module, line in imported(path)
        if module.split(".")[0] in {"django", "celery", *PACKAGES[:3]}
    ]
    assert not wrong


def test_nobody_uses_django_signals() -> None:
    wrong = [
        f"{place(path, line)} imports {module}"
        for path in files(*PACKAGES)
        for module, line in imported(path)
        if module.startswith("django") and module.endswith((".signals", ".dispatch"))
    ]
    assert not wrong
