"""The commands of our own processes: web, worker, beat and Flower."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from project.env import BASE_DIR
from project.stack import ports
from project.stack.children import Command
from project.stack.plan import Plan

_BIN = Path(sys.executable).parent
# Celery warns of any worker that root runs, for the sake of pickle; we accept JSON only.
_NO_ROOT_WARNING = {"PYTHONWARNINGS": "ignore:You're running the worker with superuser privileges"}


def web(plan: Plan) -> Command:
    """Granian serves Django, from one process where nothing else is said: only starts within one share a commit.

    A request is short, because work is the worker's. Threads begin when they are needed, and end when they are idle.
    """
    words = ["--interface", "wsgi", "--host", ports.HOST, "--port", str(plan.port), "--no-ws"]
    sizes = ["--workers", str(plan.web_processes), "--blocking-threads", "16", "--backlog", "1024"]
    sizes += ["--respawn-failed-workers"]
    return _command(plan, "web", "granian", *words, *sizes, "project.wsgi:application")


def worker(plan: Plan) -> Command:
    """SIGTERM lets the running steps finish; what is not done in time is handed back by the sweep."""
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    pool = ["--pool", "prefork", "--concurrency", str(plan.workers)]
    return _command(plan, "worker", "celery", "-A", "project", "worker", *pool, *quiet, env=_NO_ROOT_WARNING)


def beat(plan: Plan) -> Command:
    """Fires schedules; it keeps nothing on disk."""
    return _command(plan, "beat", "celery", "-A", "project", "beat", "--pidfile=")


def flower(plan: Plan, *, user: str, password: str) -> Command:
    """Celery's own view of the worker. The password goes by environment: arguments show in `ps`."""
    words = [f"--address={ports.HOST}", f"--port={plan.flower_port}"]
    login = {"FLOWER_BASIC_AUTH": f"{user}:{password}"}
    return _command(plan, "flower", "celery", "-A", "project.flower", "flower", *words, env=login)


def manage(*words: str) -> list[str]:
    """A manage.py command."""
    return [sys.executable, str(BASE_DIR / "manage.py"), *words]


def _command(plan: Plan, name: str, program: str, *words: str, env: dict[str, str] | None = None) -> Command:
    return Command(
        name=name,
        argv=(str(_BIN / program), *words),
        log=plan.log(name),
        env=env or {},
        cwd=BASE_DIR,
        stop=signal.SIGTERM,
        patience_seconds=25,
    )
