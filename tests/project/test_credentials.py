"""credentials.env is private, complete, and survives a second start."""

from __future__ import annotations

from pathlib import Path

from project.stack import credentials


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    credentials.update(tmp_path, {"A": "1"})
    assert (tmp_path / "credentials.env").stat().st_mode & 0o777 == 0o600


def test_writing_again_keeps_what_is_not_named(tmp_path: Path) -> None:
    credentials.update(tmp_path, {"A": "1", "B": "2"})
    credentials.update(tmp_path, {"B": "3"})
    assert credentials.read(tmp_path) == {"A": "1", "B": "3"}


def test_nothing_known_is_generated_again() -> None:
    assert "SECRET_KEY" not in credentials.generated({"SECRET_KEY": "kept"})


def test_a_new_installation_gets_secrets_of_its_own() -> None:
    first, second = credentials.generated({}), credentials.generated({})
    assert first["STEPWISE_ADMIN_PASSWORD"] != second["STEPWISE_ADMIN_PASSWORD"]
    assert first["POSTGRES_PASSWORD"] != second["POSTGRES_PASSWORD"]
