"""`make up`: everything starts, serves, comes back when killed, and is gone when it is told to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from project.env import BASE_DIR
from tests.e2e.installation import Installation
from tests.waiting import wait_for

pytestmark = pytest.mark.e2e


def test_it_shows_one_example_that_ran_to_its_end(running: Installation) -> None:
    said = running.said()
    assert "succeeded" in said
    assert "order-intake" in said
    assert said.index("order-intake") < said.index("\nready")


def test_it_says_before_each_long_silence_what_happens_and_for_how_long(running: Installation) -> None:
    lines = running.said().splitlines()
    for begin in ("starting PostgreSQL and Valkey: ", "preparing the database", "starting worker and web"):
        [line] = [line for line in lines if line.startswith(begin)]
        assert "seconds" in line


def test_the_addresses_that_it_prints_answer(running: Installation) -> None:
    assert f"http://127.0.0.1:{running.port}/api/v1/ " in running.said()
    for path in ("/api/v1/", "/api/v1", "/admin", "/favicon.ico"):
        assert running.status(path) == 200


def test_health_is_ok(running: Installation) -> None:
    assert running.status("/health") == 200


def test_flower_wants_a_password_of_its_own(running: Installation) -> None:
    known = running.credentials()
    login = f"{known['STEPWISE_ADMIN_USER']}:{known['STEPWISE_FLOWER_PASSWORD']}"
    admins = f"{known['STEPWISE_ADMIN_USER']}:{known['STEPWISE_ADMIN_PASSWORD']}"
    assert running.status("/", flower=True) == 401
    assert running.status("/", flower=True, login=login) == 200
    assert running.status("/", flower=True, login=admins) == 401
    assert running.status("/api/workers", flower=True) == 401
    assert running.status("/metrics", flower=True) == 404
    assert running.status("/metrics", flower=True, login=login) == 404


def test_the_broker_wants_a_password_that_no_list_of_processes_shows(running: Installation) -> None:
    import redis

    url, password = running.credentials()["REDIS_URL"], running.credentials()["VALKEY_PASSWORD"]
    assert f":{password}@" in url
    stranger = redis.Redis.from_url(url.replace(f":{password}@", ""))
    with pytest.raises(redis.AuthenticationError):
        stranger.ping()
    stranger.close()
    assert not [command for command in running.processes().values() if password in command]
    assert (running.home / "valkey" / "valkey.conf").stat().st_mode & 0o777 == 0o600


def test_credentials_hold_what_a_client_needs(running: Installation) -> None:
    known = running.credentials()
    assert {
        "STEPWISE_URL",
        "STEPWISE_ADMIN_USER",
        "STEPWISE_ADMIN_PASSWORD",
        "STEPWISE_TOKEN",
        "DATABASE_URL",
        "REDIS_URL",
        "SECRET_KEY",
    } <= set(known)
    assert known["STEPWISE_URL"] == f"http://127.0.0.1:{running.port}"
    assert (running.home / "credentials.env").stat().st_mode & 0o777 == 0o600


def test_the_token_opens_the_api_and_nothing_else_does(running: Installation) -> None:
    assert running.status("/api/v1/runs") == 401
    assert running.status("/api/v1/runs", bearer=running.credentials()["STEPWISE_TOKEN"]) == 200


def test_the_admin_s_style_sheets_come_from_the_installed_packages(running: Installation) -> None:
    assert running.status("/admin/login/") == 200
    assert running.status("/static/unfold/css/styles.css") == 200


def test_logs_are_private_and_hold_no_link_and_no_query(running: Installation) -> None:
    log = running.home / "log" / "web.log"
    for path in ("/approve/s3cretWord", "/api/v1/nowhere?token=s3cretWord", "/%61pprove/s3cretWord"):
        assert running.status(path) in (400, 401, 403, 404)
    running.status("/the-last-one")
    wait_for(lambda: "GET /the-last-one HTTP" in log.read_text(), what="the last line of the access log")
    wait_for(lambda: "Not Found: /the-last-one" in log.read_text(), what="Django's warning")
    assert "[redacted]" in log.read_text()
    assert not [path.name for path in log.parent.iterdir() if "s3cretWord" in path.read_text(errors="replace")]
    assert {oct(path.stat().st_mode & 0o777) for path in log.parent.iterdir()} == {"0o600"}


def test_manage_py_works_in_a_second_terminal_with_nothing_exported(running: Installation) -> None:
    keep = ("PATH", "HOME", "STEPWISE_ENV_FILE")
    bare = {key: os.environ[key] for key in keep if key in os.environ}
    done = subprocess.run(
        [sys.executable, "manage.py", "run_workflow", "select-email", "--input", '{"email": "a@b.c", "age": 2}'],
        check=False,
        cwd=BASE_DIR,
        env={**bare, "STEPWISE_HOME": str(running.home)},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    assert "a@b.c" in done.stdout


def test_every_key_in_the_broker_bears_the_installation_s_prefix(running: Installation) -> None:
    import redis

    known = running.credentials()
    client = redis.Redis.from_url(known["REDIS_URL"], decode_responses=True)
    keys = list(client.scan_iter())
    client.close()
    assert keys
    assert not [key for key in keys if not key.startswith(f"{known['INSTALLATION_ID']}:")]


@pytest.mark.parametrize("name", ["project.rsgi", "project worker", "flower", "project beat", "valkey-server"])
def test_a_killed_child_is_started_again(running: Installation, name: str) -> None:
    before = _named(running, name)
    # The oldest process of that name is the parent of the others.
    os.kill(min(before), signal.SIGKILL)
    wait_for(lambda: "(killed by SIGKILL)" in running.said(), what="the line of the death")
    wait_for(lambda: _named(running, name) - before, what=f"{name} to come back", timeout_seconds=120)
    wait_for(lambda: running.status("/health") == 200, what="health", timeout_seconds=120)


def _named(installation: Installation, name: str) -> set[int]:
    return {pid for pid, command in installation.processes().items() if name in command}


def test_sigterm_stops_everything_and_a_second_start_keeps_the_data(running: Installation) -> None:
    installation = running
    first = installation.credentials()
    assert installation.stop(signal.SIGTERM) == 0
    assert installation.processes() == {}
    installation.start()
    second = installation.credentials()
    assert {**first, "REDIS_URL": ""} == {**second, "REDIS_URL": ""}
    assert installation.status("/api/v1/runs", bearer=first["STEPWISE_TOKEN"]) == 200
    # Examples are loaded once: they may have been edited since.
    assert "created" not in installation.said()
    # What a kill -9 of the supervisor leaves behind is gone, or is found by the next start.
    installation.stop(signal.SIGKILL)
    installation.start()
    assert installation.stop(signal.SIGINT) == 0
    assert installation.processes() == {}
