"""What an installation writes can be read by its owner only."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from project.stack import private
from project.stack.children import Child, Command


def mode(path: Path) -> str:
    return oct(path.stat().st_mode & 0o777)


def test_log_of_a_child_and_the_files_that_it_makes_are_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        log, made = tmp_path / "log" / "web.log", tmp_path / "made"
        child = Child(Command("web", (sys.executable, "-c", f"open({str(made)!r}, 'w'); print('hello')"), log=log))
        assert child.process.wait(60) == 0
    finally:
        os.umask(before)
    assert log.read_text(encoding="utf-8") == "hello\n"
    assert (mode(log), mode(log.parent), mode(made)) == ("0o600", "0o700", "0o600")


def test_files_with_a_wider_mode_are_tightened_and_told_once(tmp_path: Path) -> None:
    for name in ("credentials.env", "log/web.log", "log/web.old.log", "valkey/appendonlydir/one.aof", "postgres/data"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x", encoding="utf-8")
        path.chmod(0o644)
    (tmp_path / "log" / "run.sh").touch(mode=0o600)
    (tmp_path / "log" / "run.sh").chmod(0o755)
    for directory in ("log", "valkey", "valkey/appendonlydir"):
        (tmp_path / directory).chmod(0o755)
    lines = private.tighten(tmp_path)
    assert lines == [f"8 files and directories in {tmp_path} could be read by other users; now only by their owner"]
    assert mode(tmp_path / "credentials.env") == mode(tmp_path / "log/web.old.log") == "0o600"
    assert mode(tmp_path / "valkey/appendonlydir/one.aof") == "0o600"
    assert mode(tmp_path / "log/run.sh") == mode(tmp_path / "log") == "0o700"
    assert mode(tmp_path / "postgres/data") == "0o644"
    assert private.tighten(tmp_path) == []


def test_link_to_a_file_elsewhere_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "home" / "log").mkdir(parents=True, mode=0o700)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.touch(mode=0o644)
    elsewhere.chmod(0o644)
    (tmp_path / "home" / "log" / "web.log").symlink_to(elsewhere)
    (tmp_path / "home" / "valkey").symlink_to(tmp_path)
    assert private.tighten(tmp_path / "home") == []
    assert mode(elsewhere) == "0o644"


def test_home_without_logs_needs_nothing(tmp_path: Path) -> None:
    assert private.tighten(tmp_path) == []
