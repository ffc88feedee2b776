"""What one start of the stack is to do, read from the settings before anything is touched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from project import env
from project.stack import ports
from project.stack.errors import StackError


@dataclass(frozen=True)
class Plan:
    """Ports, sizes, and the servers that are given (None: embedded)."""

    home: Path
    port: int
    flower_port: int
    workers: int
    web_processes: int
    database_url: str | None
    redis_url: str | None

    @property
    def url(self) -> str:
        """Where the web server is reached."""
        return f"http://{ports.HOST}:{self.port}"

    @property
    def flower_url(self) -> str:
        """Where Flower is reached."""
        return f"http://{ports.HOST}:{self.flower_port}"

    def log(self, name: str) -> Path:
        """Where a child writes its lines."""
        return self.home / "log" / f"{name}.log"


def read() -> Plan:
    """Raises SettingError for a setting that is wrong."""
    return Plan(
        home=env.home(),
        port=env.env_int("PORT", default=8000, minimum=1, maximum=65535),
        flower_port=env.env_int("FLOWER_PORT", default=5555, minimum=1, maximum=65535),
        workers=env.env_int("WORKERS", default=2, minimum=1, maximum=256),
        web_processes=env.env_int("WEB_PROCESSES", default=1, minimum=1, maximum=64),
        database_url=env.told("DATABASE_URL"),
        redis_url=env.told("REDIS_URL"),
    )


def check_ports(plan: Plan) -> None:
    """Raises StackError when a port is taken, naming the setting that chooses another."""
    if plan.port == plan.flower_port:
        raise StackError(f"PORT and FLOWER_PORT are both {plan.port}; choose two")
    for name, port in (("PORT", plan.port), ("FLOWER_PORT", plan.flower_port)):
        if not ports.is_free(port):
            raise StackError(f"port {port} is taken; stop what listens there, or set {name} to another")
