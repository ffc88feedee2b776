"""`make up`: start a whole installation, supervise it, and stop it on Ctrl-C. The functions are in order of use."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping

from project.env import BASE_DIR, SettingError
from project.stack import apps, credentials, ports, postgres, private, valkey
from project.stack import plan as plans
from project.stack.children import MARK, Child, Command, end_leftovers, stop_together
from project.stack.errors import StackError
from project.stack.home import held
from project.stack.plan import Plan

_EXAMPLE = "order-intake"
_EXAMPLE_SECONDS = 30.0
_START_SECONDS = 60.0
# Migrations of big tables may take hours.
_MIGRATION_SECONDS = 24 * 3600.0
# A server that replays its log after a crash may take minutes.
_RECOVERY_SECONDS = 300.0


class StopRequestedError(Exception):
    """The user asked to stop, by Ctrl-C, SIGTERM or a closed terminal."""


class Stack:
    """The started processes. Servers are started first and stopped last."""

    def __init__(self) -> None:
        self.servers: list[Child] = []
        self.apps: list[Child] = []
        self.stopping = threading.Event()

    def heed_signals(self) -> None:
        """Stop in order on Ctrl-C, SIGTERM or a closed terminal; a second Ctrl-C has no further effect."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: self.stopping.set())

    def wait_until(self, condition: Callable[[], bool], *, child: Child | None, seconds: float) -> None:
        """Wait until the condition holds.

        Raises StackError if the child dies or the time is over, StopRequestedError if a stop was requested.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            if self.stopping.wait(0.05):
                raise StopRequestedError
            if child and (ended := child.died()):
                raise StackError(f"{child.command.name} did not start ({ended}): {_last_line(child.command)}")
            if time.monotonic() > deadline:
                name = child.command.name if child else "the web server"
                raise StackError(f"{name} did not answer within {seconds:.0f} s; see the log directory")

    def serve(self) -> None:
        """Restart children that die, until a stop is requested."""
        while not self.stopping.wait(0.2):
            for child in (*self.servers, *self.apps):
                if line := child.tend():
                    say(line)

    def stop(self) -> None:
        """Stop our own processes together, then the servers."""
        stop_together(self.apps)
        stop_together(self.servers)


def main() -> int:
    """Run the stack. Return exit status 0 after a requested stop, 1 after an error, which is printed in one line."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    stack = Stack()
    stack.heed_signals()
    try:
        up(stack)
    except StopRequestedError:
        say("stopped")
    except (StackError, SettingError) as error:
        print(f"stepwise: {error}", file=sys.stderr)
        return 1
    return 0


def up(stack: Stack) -> None:
    """Start everything, supervise it until a stop is requested, and stop it."""
    plan = plans.read()
    with held(plan.home):
        end_leftovers(plan.home)
        for line in private.tighten(plan.home):
            say(line)
        plans.check_ports(plan)
        secrets = write_credentials(plan)
        try:
            # What follows prints nothing for a while; times are those of two cores.
            if servers := " and ".join(_own_servers(plan)):
                say(f"starting {servers}: a few seconds, the first time about 15")
            start_servers(stack, plan, secrets)
            say("preparing the database, its tables and the examples: a few seconds, the first time about 30")
            prepare_database(stack)
            say("starting worker and web, and running an example: about 15 seconds")
            start_apps(stack, apps.worker(plan), apps.web(plan))
            show_example(stack)
            start_apps(stack, flower_of(plan, secrets), apps.beat(plan))
            wait_for_apps(stack, plan)
            announce(plan)
            stack.serve()
        finally:
            say("stopping")
            stack.stop()
    say("stopped")


def write_credentials(plan: Plan) -> dict[str, str]:
    """Write the values that are known before a server runs to credentials.env; set the environment of the children."""
    known = credentials.read(plan.home)
    secrets = credentials.update(plan.home, {**credentials.generated(known), "STEPWISE_URL": plan.url})
    os.environ.update(
        {
            MARK: str(plan.home),
            "STEPWISE_HOME": str(plan.home),
            "WORKERS": str(plan.workers),
            "DJANGO_SETTINGS_MODULE": "project.settings",
            "PYTHONUNBUFFERED": "1",
        }
    )
    return secrets


def start_servers(stack: Stack, plan: Plan, secrets: dict[str, str]) -> None:
    """Start the embedded servers at the same time; of a server that the user gave, only check that it answers."""
    urls: dict[str, str] = {}
    started: list[tuple[Child, Callable[[], bool]]] = []
    if plan.database_url is None:
        directory = plan.home / "postgres"
        directory.mkdir(exist_ok=True)
        database = postgres.prepare(directory, password=secrets["POSTGRES_PASSWORD"])
        started.append((_server(stack, database.command(log=plan.log("postgres"))), database.answers))
    if plan.redis_url is None:
        broker = valkey.prepare(
            plan.home / "valkey", port=_port_of(secrets.get("REDIS_URL")), password=secrets["VALKEY_PASSWORD"]
        )
        started.append((_server(stack, broker.command(log=plan.log("valkey"))), broker.answers))
    for child, answers in started:
        stack.wait_until(answers, child=child, seconds=_RECOVERY_SECONDS)
    if plan.database_url is None:
        database.create_database()
        urls["DATABASE_URL"] = database.url()
    urls["REDIS_URL"] = plan.redis_url or broker.url
    urls["DATABASE_URL"] = plan.database_url or urls["DATABASE_URL"]
    check_given_broker(plan)
    credentials.update(plan.home, urls)


def check_given_broker(plan: Plan) -> None:
    """Check a broker that the user gave: raise StackError if it does not answer, warn if it may evict messages."""
    if plan.redis_url is None:
        return
    if not valkey.answers(plan.redis_url):
        raise StackError("the broker of REDIS_URL does not answer; start it, or unset REDIS_URL")
    if valkey.evicts(plan.redis_url):
        say("warning: the broker of REDIS_URL may evict messages; set its maxmemory-policy to noeviction")


def prepare_database(stack: Stack) -> None:
    """Run migrations, and create workspace, admin, token and examples; one process, as each start costs a second."""
    argv = apps.manage("bootstrap", "--examples", str(BASE_DIR / "examples"))
    _finish(stack, argv, seconds=_MIGRATION_SECONDS, env={"DATABASE_STATEMENT_TIMEOUT_SECONDS": "0"})


def start_apps(stack: Stack, *commands: Command) -> None:
    """Start processes. Each start takes a second of CPU time, so those that the example needs are started first."""
    stack.apps.extend(Child(command) for command in commands)


def flower_of(plan: Plan, secrets: dict[str, str]) -> Command:
    """Return Flower's command; its login is the admin's name, with a password of its own: Flower counts no failures."""
    return apps.flower(plan, user=secrets["STEPWISE_ADMIN_USER"], password=secrets["STEPWISE_FLOWER_PASSWORD"])


def show_example(stack: Stack) -> None:
    """Run one example workflow to its end through the worker, and print its timeline.

    It may time out behind a backlog, or fail because a user edited it. Both only print a warning.
    """
    inputs = BASE_DIR / "examples" / "inputs" / f"{_EXAMPLE}.json"
    try:
        _finish(stack, apps.manage("run_workflow", _EXAMPLE, "--input", f"@{inputs}"), seconds=_EXAMPLE_SECONDS)
    except StackError as error:
        say(f"warning: the example did not run to its end: {error}; the worker's log may say why")


def wait_for_apps(stack: Stack, plan: Plan) -> None:
    """Wait until the web server reports healthy, Flower listens, and the worker is running."""
    worker, web, flower, _ = stack.apps
    stack.wait_until(lambda: _healthy(plan), child=web, seconds=_START_SECONDS)
    stack.wait_until(lambda: ports.answers(plan.flower_port), child=flower, seconds=_START_SECONDS)
    stack.wait_until(lambda: worker.died() is None, child=worker, seconds=_START_SECONDS)


def announce(plan: Plan) -> None:
    """Print the URLs and the directory of the logs; the last line begins with `ready`."""
    say(f"admin    {plan.url}/admin/")
    say(f"API      {plan.url}/api/v1/   (schema: {plan.url}/api/v1/schema)")
    say(f"Flower   {plan.flower_url}")
    say(f"logs     {plan.home / 'log'}")
    say(f"ready    {plan.url}  user, password and token are in {plan.home / 'credentials.env'}; Ctrl-C stops")


def say(line: str) -> None:
    """Print one line; if the terminal is closed, discard this and all further output."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _own_servers(plan: Plan) -> list[str]:
    """Return the names of the servers that are started, and not given by the user."""
    given = {"PostgreSQL": plan.database_url, "Valkey": plan.redis_url}
    return [name for name, url in given.items() if url is None]


def _server(stack: Stack, command: Command) -> Child:
    child = Child(command)
    stack.servers.append(child)
    return child


def _finish(stack: Stack, argv: list[str], *, seconds: float, env: Mapping[str, str] | None = None) -> None:
    """Run a command to its end; its output goes to ours. Raises StackError if it fails or takes longer."""
    name, deadline = f"manage.py {argv[2]}", time.monotonic() + seconds
    process = subprocess.Popen(
        argv, cwd=BASE_DIR, stdin=subprocess.DEVNULL, start_new_session=True, env={**os.environ, **(env or {})}
    )
    try:
        while process.poll() is None:
            if stack.stopping.wait(0.02):
                raise StopRequestedError
            if time.monotonic() > deadline:
                raise StackError(f"{name} did not end within {seconds:.0f} s")
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)
    if process.returncode != 0:
        raise StackError(f"{name} ended with exit status {process.returncode}")


def _healthy(plan: Plan) -> bool:
    try:
        with urllib.request.urlopen(f"{plan.url}/health", timeout=5) as answer:  # noqa: S310 - our own URL
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _last_line(command: Command) -> str:
    lines = command.log.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[-1] if lines else f"see {command.log}"


def _port_of(url: str | None) -> int | None:
    return urllib.parse.urlsplit(url).port if url else None


if __name__ == "__main__":
    sys.exit(main())
