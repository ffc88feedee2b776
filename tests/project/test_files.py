"""The files that people start with are sound."""

from __future__ import annotations

import re
import subprocess

import yaml

from project import env
from project.env import BASE_DIR


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
