"""credentials.env is private, complete, and survives a second start."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from project import env
from project.stack import credentials

_VALUES = {
    "URL": "postgresql://u:p@localhost/db?host=/tmp&port=5432",
    "SPACES": "a  b ",
    "QUOTES": """it's "quoted" ''twice''""",
    "DOLLARS": "$HOME ${HOME} $(id) `id`",
    "SIGNS": "a;b|c&d>e<f*g?h[i]!j#k~l%m^n(o)",
    "BACKSLASH": "a\\b\\",
    "EMPTY": "",
    "EQUALS": "a=b=c",
    "LETTERS": "äöü ✓",
}


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    credentials.update(tmp_path, {"A": "1"})
    assert (tmp_path / "credentials.env").stat().st_mode & 0o777 == 0o600


def test_writing_again_keeps_what_is_not_named(tmp_path: Path) -> None:
    credentials.update(tmp_path, {"A": "1", "B": "2"})
    credentials.update(tmp_path, {"B": "3"})
    assert credentials.read(tmp_path) == {"A": "1", "B": "3", "STEPWISE_HOME": str(tmp_path)}


def test_nothing_known_is_generated_again() -> None:
    assert "SECRET_KEY" not in credentials.generated({"SECRET_KEY": "kept"})


def test_a_new_installation_gets_secrets_of_its_own() -> None:
    first, second = credentials.generated({}), credentials.generated({})
    assert first["STEPWISE_ADMIN_PASSWORD"] != second["STEPWISE_ADMIN_PASSWORD"]
    assert first["POSTGRES_PASSWORD"] != second["POSTGRES_PASSWORD"]


def test_every_value_is_read_as_it_was_written(tmp_path: Path) -> None:
    credentials.update(tmp_path, _VALUES)
    assert credentials.read(tmp_path) == {**_VALUES, "STEPWISE_HOME": str(tmp_path)}
    credentials.update(tmp_path, {"MORE": "1"})
    assert credentials.read(tmp_path) == {**_VALUES, "MORE": "1", "STEPWISE_HOME": str(tmp_path)}


@pytest.mark.parametrize("shell", ["bash", "dash", "sh", "zsh"])
def test_a_shell_that_reads_the_file_gets_the_values_and_runs_nothing(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    credentials.update(tmp_path, _VALUES)
    told = subprocess.run(
        [shell, "-c", "set -a; . ./credentials.env; set +a; env -0"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = dict(line.partition("=")[::2] for line in told.stdout.split("\0") if line)
    assert {key: found.get(key) for key in _VALUES} == _VALUES
    assert found["STEPWISE_HOME"] == str(tmp_path)
    assert told.stderr == ""
    assert "port" not in found


@pytest.mark.parametrize("value", ["a\nb", "a\n", "a\rb", "a\u2028b"])
def test_a_value_with_a_line_end_is_refused(value: str, tmp_path: Path) -> None:
    credentials.update(tmp_path, {"A": "1"})
    with pytest.raises(env.SettingError, match="B has a line end in it"):
        credentials.update(tmp_path, {"B": value})
    assert credentials.read(tmp_path)["A"] == "1"


@pytest.mark.parametrize(
    ("line", "value"),
    [("A=1", "1"), ('A="a b"', "a b"), ("A='a'", "a"), ("export A = x ", "x"), ("A=a'b", "a'b"), ('A="it\'s"', "it's")],
)
def test_files_written_by_hand_are_read_as_before(line: str, value: str) -> None:
    assert env.parse(line, source="x") == {"A": value}
