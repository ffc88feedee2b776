"""Dangerous or contradicting settings are said under an id before anything runs."""

from __future__ import annotations

import pytest
from django.core.checks import run_checks
from pytest_django import Settings


def _ids() -> set[str]:
    return {str(message.id) for message in run_checks() if str(message.id).startswith("stepwise.")}


def test_the_settings_of_the_tests_are_clean() -> None:
    assert _ids() == set()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("DEBUG", True, "stepwise.E001"),
        ("SECRET_KEY", "short", "stepwise.E002"),
        ("ALLOWED_HOSTS", ["*"], "stepwise.E003"),
    ],
)
def test_https_beside_a_dangerous_setting_is_an_error(
    settings: Settings, name: str, value: object, expected: str
) -> None:
    settings.STEPWISE_HTTPS = True
    setattr(settings, name, value)
    assert expected in _ids()


def test_a_window_smaller_than_the_workers_is_a_warning(settings: Settings) -> None:
    settings.WORKERS, settings.DISPATCH_WINDOW_MESSAGES = 8, 4
    assert _ids() == {"stepwise.W004"}


def test_an_installation_id_with_blanks_is_an_error(settings: Settings) -> None:
    settings.INSTALLATION_ID = "two words"
    assert _ids() == {"stepwise.E005"}


@pytest.mark.django_db
def test_the_database_is_new_enough() -> None:
    assert not [m for m in run_checks(databases=["default"]) if m.id == "stepwise.E006"]


def test_a_proxy_in_front_that_nothing_tells_of_is_a_warning(settings: Settings) -> None:
    settings.STEPWISE_HTTPS, settings.TRUSTED_PROXIES = True, 0
    assert "stepwise.W015" in _ids()
    settings.TRUSTED_PROXIES = 1
    assert "stepwise.W015" not in _ids()


def test_a_bound_of_an_address_that_one_name_reaches_is_a_warning(settings: Settings) -> None:
    settings.LOGIN_FAILURES, settings.LOGIN_ADDRESS_FAILURES = 10, 10
    assert _ids() == {"stepwise.W016"}
