"""What stands in the way of a start is said in one line."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from project.env import BASE_DIR
from project.stack import home, plan, ports, postgres, valkey
from project.stack.children import end_leftovers
from project.stack.errors import StackError
from tests.waiting import wait_for


def _up(tmp_path: Path, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if key not in {"DATABASE_URL", "REDIS_URL"}}
    words = {"STEPWISE_HOME": str(tmp_path / "home"), "PORT": str(ports.free())}
    return subprocess.run(
        [sys.executable, "-m", "project.up"],
        check=False,
        cwd=BASE_DIR,
        env={**clean, **words, "FLOWER_PORT": str(ports.free()), **env},
        capture_output=True,
        text=True,
        timeout=180,
    )


def _one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("stepwise: ")
    return done.stderr


def test_a_taken_port_gets_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"port {port} is taken" in _one_line(_up(tmp_path, PORT=port))


def test_a_port_that_is_no_number_gets_one_line(tmp_path: Path) -> None:
    assert "PORT='http' is not a whole number" in _one_line(_up(tmp_path, PORT="http"))


def test_an_unwritable_home_gets_one_line(tmp_path: Path) -> None:
    # A file where a directory has to be is unwritable for root too.
    (tmp_path / "file").write_text("")
    assert "cannot be written" in _one_line(_up(tmp_path, STEPWISE_HOME=str(tmp_path / "file" / "home")))


def test_a_broker_that_is_away_gets_one_line(tmp_path: Path) -> None:
    urls = {"DATABASE_URL": os.environ["DATABASE_URL"], "REDIS_URL": "redis://127.0.0.1:1/0"}
    assert "the broker of REDIS_URL does not answer" in _one_line(_up(tmp_path, **urls))


def test_a_second_start_in_the_same_home_is_refused(tmp_path: Path) -> None:
    with home.held(tmp_path), pytest.raises(StackError, match="`make up` runs already"), home.held(tmp_path):
        pass


def test_the_same_port_twice_is_refused(tmp_path: Path) -> None:
    port = ports.free()
    sizes = {"workers": 1, "web_processes": 1}
    twice = plan.Plan(tmp_path, port=port, flower_port=port, **sizes, database_url=None, redis_url=None)
    with pytest.raises(StackError, match="PORT and FLOWER_PORT are both"):
        plan.check_ports(twice)


@pytest.mark.parametrize(
    "pid", ["999999999", str(os.getpid()), "not a number"], ids=["nobody's", "another's", "nonsense"]
)
def test_a_stale_pid_file_of_postgres_is_dropped(tmp_path: Path, pid: str) -> None:
    pid_file = tmp_path / "postmaster.pid"
    pid_file.write_text(f"{pid}\n{tmp_path}\n", encoding="utf-8")
    postgres.end_leftover(tmp_path)
    assert not pid_file.exists()


def test_data_of_another_major_version_gets_one_line(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("13\n", encoding="utf-8")
    with pytest.raises(StackError, match="was written by PostgreSQL 13"):
        postgres.prepare(tmp_path, password="x")


def test_a_long_path_puts_the_socket_where_it_fits(tmp_path: Path) -> None:
    deep = tmp_path / ("a" * 60) / ("b" * 60)
    deep.mkdir(parents=True)
    assert len(os.fsencode(postgres._socket_directory(deep))) < 80


@pytest.mark.parametrize("stopped", [False, True], ids=["never started", "stopped"])
def test_manage_py_says_that_make_up_does_not_run_in_the_home_that_it_looked_at(
    tmp_path: Path, *, stopped: bool
) -> None:
    clean = {key: value for key, value in os.environ.items() if key not in {"DATABASE_URL", "SECRET_KEY"}}
    if stopped:
        gone = f"postgresql://u:p@127.0.0.1:{ports.free()}/stepwise"
        (tmp_path / "credentials.env").write_text(f"SECRET_KEY={'x' * 50}\nDATABASE_URL={gone}\n")
    done = subprocess.run(
        [sys.executable, "manage.py", "showmigrations"],
        check=False,
        cwd=BASE_DIR,
        env={**clean, "STEPWISE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == (1 if stopped else 2)
    assert ("is not running with" if stopped else "`make up` has never run there") in done.stderr
    assert f"looked at {tmp_path} (STEPWISE_HOME in the environment)" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_broker_that_a_killed_supervisor_left_is_ended_though_it_lost_its_mark(tmp_path: Path) -> None:
    data = tmp_path / "valkey"
    broker = valkey.prepare(data, port=None)
    command = broker.command(log=tmp_path / "valkey.log", settings=valkey.FORGETTING)
    process = subprocess.Popen(command.argv, cwd=data, stdout=subprocess.DEVNULL)
    try:
        wait_for(broker.answers, what="the broker")
        end_leftovers(tmp_path)
        assert process.wait(30) != 0
    finally:
        process.kill()
