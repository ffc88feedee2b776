"""The plan of one `make up`, read from the settings before anything is started or written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from project import env
from project.stack import ports
from project.stack.errors import StackError


@dataclass(frozen=True)
class Plan:
    """Ports, numbers of processes, and the URLs of the user's own servers (None: the embedded one is started)."""

    home: Path
    port: int
    flower_port: int
    workers: int
    web_processes: int
    database_url: str | None
    redis_url: str | None
    # For how long a connection to the web server may be without a whole head of a request.
    header_seconds: int = 20

    @property
    def url(self) -> str:
        """The URL of the web server."""
        return f"http://{ports.HOST}:{self.port}"

    @property
    def flower_url(self) -> str:
        """The URL of Flower."""
        return f"http://{ports.HOST}:{self.flower_port}"

    def log(self, name: str) -> Path:
        """Return the log file of a child process."""
        return self.home / "log" / f"{name}.log"


def read() -> Plan:
    """Read the plan from the settings. Raises SettingError for a setting that is wrong."""
    return Plan(
        home=env.home(),
        port=env.env_int("PORT", default=8000, minimum=1, maximum=65535),
        flower_port=env.env_int("FLOWER_PORT", default=5555, minimum=1, maximum=65535),
        workers=env.env_int("WORKERS", default=2, minimum=1, maximum=256),
        web_processes=env.env_int("WEB_PROCESSES", default=1, minimum=1, maximum=64),
        database_url=env.told("DATABASE_URL"),
        redis_url=env.told("REDIS_URL"),
        header_seconds=env.env_int("REQUEST_HEADER_SECONDS", default=20, minimum=1, maximum=60),
    )


def check_ports(plan: Plan) -> None:
    """Raise StackError if a port is taken; the message names the setting that chooses another."""
    if plan.port == plan.flower_port:
        raise StackError(f"PORT and FLOWER_PORT are both {plan.port}; choose two")
    for name, port in (("PORT", plan.port), ("FLOWER_PORT", plan.flower_port)):
        if not ports.is_free(port):
            raise StackError(f"port {port} is taken; stop what listens there, or set {name} to another")
