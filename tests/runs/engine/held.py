"""An action that does not end before it may, and flows of it: for tests of what is performed at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import pytest
from django.db import connection
from django.test import override_settings

from actions import registry
from actions.base import Action, Config, Context, Json
from runs.engine import recorder, thread_pool
from tests.engine import settle

FLOW = """
name: held
steps:
  - {id: a, action: held, with: {hold: "{{ input.hold }}"}, timeout: 20s}
  - {id: b, action: held}
"""
SHORT = FLOW.replace("timeout: 20s", "timeout: 300ms, retry: {max_attempts: 1}")
GRAPH = """
name: graph
steps:
  - {id: root, action: default}
  - {id: b, needs: [root], action: held}
  - {id: c, needs: [root], action: held}
  - {id: d, needs: [root], action: held}
  - {id: join, needs: [b, c, d], action: held}
  - {id: end, needs: [join], action: default}
"""


class HeldConfig(Config):
    hold: bool = False


class Held(Action[HeldConfig]):
    """Counts how many are performed at once; with `hold` it does not end before `let_go`."""

    name: ClassVar[str] = "held"
    config_class: ClassVar[type[Config]] = HeldConfig
    let_go: ClassVar[threading.Event] = threading.Event()
    together: ClassVar[threading.Condition] = threading.Condition()
    performed: ClassVar[list[str]] = []
    now: ClassVar[int] = 0
    most: ClassVar[int] = 0

    def perform(self, config: HeldConfig, context: Context) -> Json:
        with self.together:
            Held.now += 1
            Held.most = max(Held.most, Held.now)
            self.performed.append(context.run_id)
        if config.hold:
            self.let_go.wait(30)
        with self.together:
            Held.now -= 1
        return {"attempt": context.attempt}


class Told(Action[Config]):
    """Says whether it holds a database connection while its effect is made."""

    name: ClassVar[str] = "told"
    config_class: ClassVar[type[Config]] = Config

    def perform(self, config: Config, context: Context) -> Json:
        return context.once("effect", lambda: {"held": connection.connection is not None})


@contextmanager
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Register the actions, inside the block, in a process that has nothing under way and soon leaves steps behind."""
    for action in (Held, Told):
        monkeypatch.setitem(registry.ACTIONS, action.name, f"{__name__}.{action.__name__}")
    Held.performed.clear()
    Held.now = Held.most = 0
    Held.let_go.clear()
    as_in_another_process()
    with override_settings(QUICK_STEP_MILLISECONDS=50):
        yield
        Held.let_go.set()
        settle()
    as_in_another_process()


@contextmanager
def patient() -> Iterator[None]:
    """Inside the block, only what is held is left behind: a test looks at once at what became of the other steps."""
    with override_settings(QUICK_STEP_MILLISECONDS=1000):
        yield


def as_in_another_process() -> None:
    """From here on, as in another process, with threads of its own."""
    thread_pool._forget()
    recorder._forget()
