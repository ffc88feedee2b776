"""Settings come from the environment, then `.env`, then credentials.env; what is wrong gets one line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from project import dburl, env


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with an empty `.env` and an empty home of its own."""
    monkeypatch.setenv("STEPWISE_ENV_FILE", str(tmp_path / ".env"))
    monkeypatch.setenv("STEPWISE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("REDIS_URL")
    (tmp_path / "home").mkdir()
    env.forget()
    yield tmp_path
    env.forget()


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    env.forget()


def test_the_environment_wins_over_dotenv_and_dotenv_over_credentials(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(places / "home" / "credentials.env", "REDIS_URL=from-credentials\n")
    assert env.env_str("REDIS_URL") == "from-credentials"
    _write(places / ".env", "# mine\nexport REDIS_URL='from-dotenv'\n")
    assert env.env_str("REDIS_URL") == "from-dotenv"
    monkeypatch.setenv("REDIS_URL", "from-environment")
    assert env.env_str("REDIS_URL") == "from-environment"


def test_a_missing_secret_says_that_make_up_has_never_run_there(places: Path) -> None:
    with pytest.raises(env.SettingError, match="`make up` has never run there"):
        env.env_str("REDIS_URL")


def test_a_command_that_finds_no_installation_says_where_it_looked_and_why_there(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert f"looked at {places / 'home'} (STEPWISE_HOME in the environment)" in env.home_hint()
    monkeypatch.delenv("STEPWISE_HOME")
    assert f"looked at {env.BASE_DIR / '.stepwise'} (the default, as STEPWISE_HOME is not set here)" in env.home_hint()
    _write(places / ".env", f"STEPWISE_HOME={places / 'other'}\n")
    assert f"looked at {places / 'other'} (STEPWISE_HOME in {places / '.env'})" in env.home_hint()
    assert "export STEPWISE_HOME=DIRECTORY" in env.home_hint()
    with pytest.raises(env.SettingError, match="export STEPWISE_HOME=DIRECTORY"):
        env.env_str("REDIS_URL")


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("many", "WORKERS='many' is not a whole number; give one from 1 to 256"),
        ("0", "WORKERS=0 is out of bounds; give a whole number from 1 to 256"),
        ("257", "WORKERS=257 is out of bounds; give a whole number from 1 to 256"),
    ],
)
def test_a_number_out_of_bounds_names_the_bounds(value: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKERS", value)
    with pytest.raises(env.SettingError) as caught:
        env.env_int("WORKERS", default=2, minimum=1, maximum=256)
    assert str(caught.value) == message


@pytest.mark.usefixtures("places")
def test_a_word_that_is_neither_true_nor_false_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBUG", "perhaps")
    with pytest.raises(env.SettingError, match="neither true nor false"):
        env.env_bool("DEBUG", default=False)


def test_a_broken_line_is_named_by_file_and_number(places: Path) -> None:
    _write(places / ".env", "PORT=1\nnonsense\n")
    with pytest.raises(env.SettingError, match=r"\.env line 2: expected KEY=value"):
        env.lookup("PORT")


def test_a_list_drops_blanks() -> None:
    assert env.parse("A = b \n", source="x") == {"A": "b"}


def test_a_database_may_be_a_unix_socket() -> None:
    url = dburl.parse("postgresql://me:p%40ss@/name?host=/run/postgres&port=5433&sslmode=disable")
    assert (url.host, url.port, url.name, url.user, url.password) == (
        "/run/postgres",
        "5433",
        "name",
        "me",
        "p@ss",
    )
    assert url.options == {"sslmode": "disable"}


@pytest.mark.parametrize("url", ["mysql://x/y", "postgresql://h", "postgresql://h:port/name"])
def test_a_wrong_database_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(env.SettingError) as caught:
        dburl.parse(url)
    assert "DATABASE_URL" in str(caught.value)
    assert "postgresql:///name?host=/socket/directory" in str(caught.value)
    assert url not in str(caught.value)
