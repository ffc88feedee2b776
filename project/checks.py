"""System checks for settings that are dangerous or contradict each other, each with an id (stepwise.E001)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 - Django's own name
from django.db import connections

from actions import registry
from workflows.credentials import store
from workflows.credentials.encryption import KeyMissing

OLDEST_POSTGRES = 15
_SHORTEST_SECRET = 50


@register(Tags.security)
def check_secrets(*, app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """With STEPWISE_HTTPS only. E001: DEBUG is on. E002: a weak SECRET_KEY. E003: any Host header is accepted."""
    if not settings.STEPWISE_HTTPS:
        return []
    found: list[CheckMessage] = []
    if settings.DEBUG:
        found.append(
            Error("DEBUG shows settings and source to every visitor.", hint="Unset DEBUG.", id="stepwise.E001")
        )
    if len(settings.SECRET_KEY) < _SHORTEST_SECRET or "insecure" in settings.SECRET_KEY:
        hint = "Set SECRET_KEY to 50 or more random characters."
        found.append(Error("SECRET_KEY is short or known.", hint=hint, id="stepwise.E002"))
    if "*" in settings.ALLOWED_HOSTS:
        hint = "Set ALLOWED_HOSTS to the names that the site is reached by."
        found.append(Error("ALLOWED_HOSTS accepts any Host header.", hint=hint, id="stepwise.E003"))
    return found


@register(Tags.security)
def check_logins(*, app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """W015: behind a proxy, but nothing says so. W016: one name locks an address."""
    found: list[CheckMessage] = []
    if settings.STEPWISE_HTTPS and not settings.TRUSTED_PROXIES:
        hint = "Set TRUSTED_PROXIES to how many proxies append to X-Forwarded-For, usually 1."
        text = "With STEPWISE_HTTPS a proxy stands in front, and all logins seem to come from its one address."
        found.append(Warning(f"{text} Failed logins of a stranger lock the admin out.", hint=hint, id="stepwise.W015"))
    if settings.LOGIN_ADDRESS_FAILURES <= settings.LOGIN_FAILURES:
        text = f"LOGIN_ADDRESS_FAILURES={settings.LOGIN_ADDRESS_FAILURES} is not above LOGIN_FAILURES="
        hint = "Several people may share an address: use about ten times as many."
        found.append(Warning(f"{text}{settings.LOGIN_FAILURES}.", hint=hint, id="stepwise.W016"))
    return found


@register()
def check_limits(*, app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """W004: a dispatch window too small for the workers. E005: INSTALLATION_ID cannot be the prefix of broker keys."""
    found: list[CheckMessage] = []
    if settings.DISPATCH_WINDOW_MESSAGES < settings.WORKERS:
        found.append(
            Warning(
                f"DISPATCH_WINDOW_MESSAGES={settings.DISPATCH_WINDOW_MESSAGES} leaves some of "
                f"WORKERS={settings.WORKERS} without work.",
                hint="Use about 4 messages for each worker child, or leave it unset.",
                id="stepwise.W004",
            )
        )
    if not settings.INSTALLATION_ID.replace("-", "").replace("_", "").isalnum():
        found.append(
            Error(
                f"INSTALLATION_ID={settings.INSTALLATION_ID!r} cannot be the prefix of a key.",
                hint="Use letters, digits, - and _.",
                id="stepwise.E005",
            )
        )
    return found


@register()
def check_actions(*, app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """W017: an action of another package cannot be used. A warning, so that it does not stop all the others."""
    return [
        Warning(
            f"Package {fault.package} lists the action {fault.action[:100]!r}, which cannot be used: {fault.message}",
            hint="Install a mended version of the package, or remove it. Steps with the action wait until then.",
            id="stepwise.W017",
        )
        for fault in registry.faults()
    ]


@register(Tags.database)
def check_credential_keys(*, databases: Sequence[str] | None, **_: Any) -> list[CheckMessage]:
    """E018: a key is none. W019: credentials that no key opens, by name. Runs in `check --database default`."""
    if not databases or "workflows_credential" not in connections["default"].introspection.table_names():
        return []
    try:
        names = store.locked()
    except KeyMissing as error:
        return [Error(str(error), hint="Mend CREDENTIAL_KEYS.", id="stepwise.E018")]
    if not names:
        return []
    text = f"No key of CREDENTIAL_KEYS opens these credentials: {', '.join(names)}."
    hint = "Add the lost key, or give them their values anew (manage.py set_credential)."
    return [Warning(text, hint=hint, id="stepwise.W019")]


@register(Tags.database)
def check_postgres(*, databases: Sequence[str] | None, **_: Any) -> list[CheckMessage]:
    """E006: PostgreSQL is too old. Runs in `migrate` and in `check --database default`."""
    found: list[CheckMessage] = []
    for alias in databases or ():
        with connections[alias].cursor() as cursor:
            cursor.execute("SHOW server_version_num")
            version = int(cursor.fetchone()[0]) // 10_000
        if version < OLDEST_POSTGRES:
            found.append(
                Error(
                    f"PostgreSQL {version} is too old.",
                    hint=f"Use PostgreSQL {OLDEST_POSTGRES} or newer.",
                    id="stepwise.E006",
                )
            )
    return found
