"""The files that people start with are sound."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from project import env
from project.env import BASE_DIR
from project.stack import ports, valkey
from tests.waiting import wait_for


def test_compose_file_names_every_process() -> None:
    compose = yaml.safe_load((BASE_DIR / "docker-compose.yml").read_text(encoding="utf-8"))
    assert set(compose["services"]) >= {"postgres", "valkey", "web", "worker", "beat", "flower"}


def test_compose_hands_on_every_setting_of_dotenv_and_lets_migrations_take_their_time() -> None:
    services = yaml.safe_load((BASE_DIR / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    for name in ("bootstrap", "web", "worker", "beat", "flower"):
        assert services[name]["env_file"] == [{"path": ".env", "required": False}]
        assert services[name]["environment"]["DATABASE_URL"]
    timeouts = {
        name: one.get("environment", {}).get("DATABASE_STATEMENT_TIMEOUT_SECONDS") for name, one in services.items()
    }
    assert {name: told for name, told in timeouts.items() if told is not None} == {"bootstrap": "0"}


def test_the_broker_of_compose_starts_with_a_password_that_no_argument_shows(tmp_path: Path) -> None:
    services = yaml.safe_load((BASE_DIR / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    assert services["worker"]["environment"]["REDIS_URL"].startswith("redis://:${VALKEY_PASSWORD:?")
    # Compose makes $ of $$. The server's program, and the image's entry point, are found on the path.
    [shell, option, script] = services["valkey"]["command"]
    (tmp_path / "valkey-server").symlink_to(valkey.binary())
    (tmp_path / "docker-entrypoint.sh").write_text('#!/bin/sh\nexec "$@"\n')
    (tmp_path / "docker-entrypoint.sh").chmod(0o755)
    port = ports.free()
    script = script.replace("$$", "$").replace("/data", str(tmp_path)) + f" --port {port} --dir {tmp_path}"
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "REDISCLI_AUTH": "its-own_password"}
    with subprocess.Popen([shell, option, script], env=environment, stdout=subprocess.DEVNULL) as server:
        url = f"redis://:its-own_password@127.0.0.1:{port}/0"
        wait_for(lambda: valkey.answers(url), what="the broker")
        assert not valkey.answers(f"redis://127.0.0.1:{port}/0")
        assert b"its-own_password" not in Path(f"/proc/{server.pid}/cmdline").read_bytes()
        server.terminate()
    assert (tmp_path / "password.conf").stat().st_mode & 0o077 == 0


def test_units_take_the_number_of_their_processes_from_the_settings() -> None:
    worker, web = ((BASE_DIR / f"deploy/systemd/stepwise-{name}.service").read_text() for name in ("worker", "web"))
    for unit, default, option in (
        (worker, "Environment=WORKERS=2", "--concurrency ${WORKERS}"),
        (web, "Environment=WEB_PROCESSES=1", "--workers ${WEB_PROCESSES}"),
    ):
        # What stands later wins.
        assert unit.index(default) < unit.index("EnvironmentFile=")
        assert option in unit


def test_the_example_of_dotenv_can_be_read() -> None:
    assert env.read_file(BASE_DIR / ".env.example") == {}


def test_the_example_of_dotenv_names_every_setting() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in sorted((BASE_DIR / "project").rglob("*.py")))
    names = {*re.findall(r'\b(?:env_\w+|told)\(\s*"([A-Z_]+)"', sources)}
    assert len(names) > 20
    text = (BASE_DIR / ".env.example").read_text(encoding="utf-8")
    assert not [name for name in sorted(names) if f"# {name}=" not in text]


def test_make_help_lists_every_target() -> None:
    listed = subprocess.run(["make", "help"], cwd=BASE_DIR, check=True, capture_output=True, text=True).stdout
    names = {line.split()[0] for line in listed.splitlines() if line.strip()}
    assert {"help", "up", "test", "check", "e2e", "chaos", "bench", "bench-quick", "migrate", "docs"} <= names


def test_every_direct_requirement_is_pinned_as_the_constraints_say() -> None:
    pins = set((BASE_DIR / "constraints.txt").read_text(encoding="utf-8").lower().replace("_", "-").split())
    for name in ("requirements.txt", "requirements-dev.txt"):
        lines = (BASE_DIR / name).read_text(encoding="utf-8").split("\n")
        wanted = [line.replace("[binary,pool]", "") for line in lines if "==" in line]
        assert not [line for line in wanted if line not in pins]


def _name(pin: str) -> str:
    return re.split(r"[=\[ ]", pin)[0].lower().replace("_", "-").replace(".", "-")


def _pins(text: str) -> dict[str, str]:
    """The versions of a file of requirements, by name."""
    pins = [
        line.partition(";")[0].strip(" \\") for line in text.splitlines() if re.match(r"[\w.-]+(\[[\w,]+\])?==", line)
    ]
    return {_name(pin): pin.partition("==")[2] for pin in pins}


@pytest.mark.parametrize("name", ["requirements", "requirements-dev"])
def test_the_lock_files_agree_with_the_requirements_and_name_no_address(name: str) -> None:
    lock = (BASE_DIR / f"{name}.lock").read_text(encoding="utf-8")
    locked, known = _pins(lock), _pins((BASE_DIR / "constraints.txt").read_text(encoding="utf-8"))
    asked = _pins((BASE_DIR / f"{name}.txt").read_text(encoding="utf-8"))
    # Run `make lock` where this fails.
    assert {one: version for one, version in asked.items() if locked.get(one) != version} == {}
    assert {one: version for one, version in locked.items() if known.get(one, version) != version} == {}
    assert "://" not in lock
    assert "--index" not in lock


@pytest.mark.parametrize("name", ["requirements", "requirements-dev"])
def test_every_package_of_a_lock_file_has_hashes(name: str) -> None:
    packages = re.split(r"\n(?=\S)", (BASE_DIR / f"{name}.lock").read_text(encoding="utf-8").strip())
    assert len(packages) > 50
    assert [one.split()[0] for one in packages if not re.search(r"--hash=sha256:[0-9a-f]{64}\b", one)] == []


def test_nothing_is_installed_without_its_hash() -> None:
    for file in ("Makefile", "deploy/Dockerfile"):
        text = (BASE_DIR / file).read_text(encoding="utf-8")
        installs = [line for line in text.splitlines() if re.search(r"\$\(PIP\) |pip install .*-r", line)]
        assert installs
        assert [line for line in installs if "--require-hashes" not in line] == []


def test_the_image_s_files_belong_to_root() -> None:
    assert "--chown" not in (BASE_DIR / "deploy/Dockerfile").read_text(encoding="utf-8")
