"""What an attempt may know, worked out when its action asks: most ask for little, and there are many attempts."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime
from functools import cached_property

from django.conf import settings

from actions.base import Json
from runs.domain.outcomes import RunFacts
from runs.engine import effects
from runs.engine.scope import item_names, names, read_by
from runs.engine.work import Work, stopped
from runs.planning.steps import PlannedStep


class AttemptContext:
    """The context of one attempt. Its `input` is `given`; the rest it looks up itself."""

    def __init__(self, step: PlannedStep, work: Work, given: Json) -> None:
        self.input = given
        self._step = step
        self._work = work
        self._names: dict[str, Json] | None = None

    @property
    def step(self) -> str:
        """The step's id."""
        return self._step.id

    @property
    def attempt(self) -> int:
        """Counted from 1."""
        return self._work.attempt

    @property
    def timeout_seconds(self) -> float:
        """How long this attempt may take."""
        return self._step.timeout_seconds

    @property
    def item(self) -> int:
        """The item's number in a for_each, else -1."""
        return self._work.item

    @property
    def names(self) -> dict[str, Json]:
        """The names for the step's expressions."""
        # No cached_property: it takes a lock, and costs more than the rest of an attempt.
        if self._names is None:
            work = self._work
            if work.item >= 0:
                self._names = item_names(work.run, work.steps, item=work.value, index=work.item)
            else:
                self._names = names(self._step, work.run, work.steps, given=self.input)
        return self._names

    @property
    def scope(self) -> dict[str, Json]:
        """The names that the step's config needs: all of them, or those that are quickly made where they will do."""
        if self._names is None and self._work.item < 0 and self._step.asks_steps_only:
            return {"steps": dict(read_by(self._step, self._work.steps))}
        return self.names

    @cached_property
    def run_id(self) -> str:
        """The run's id."""
        return str(self._work.run.id)

    @cached_property
    def idempotency_key(self) -> str:
        """The same for every attempt of this step, item and generation."""
        return idempotency_key(self._work.run, step=self._step.id, item=self._work.item)

    @cached_property
    def now(self) -> datetime:
        """The database's time."""
        return self._work.clock.now()

    def once(self, name: str, effect: Callable[[], Json], /) -> Json:
        """Make a named effect, or answer what it came to in an earlier attempt (runs.engine.effects)."""
        return effects.once(self._work.run.id, step=self._step.id, item=self._work.item, name=name, effect=effect)

    def cancelled(self) -> bool:
        """Whether the run was stopped meanwhile."""
        return stopped(self._step, self._work)


def idempotency_key(run: RunFacts, *, step: str, item: int) -> str:
    """The same for every attempt of this step, item and generation; HMAC-SHA256 under the installation's key."""
    said = f"{run.id}|{step}|{item}|{run.generation}".encode()
    return (
        base64.urlsafe_b64encode(hmac.digest(settings.SECRET_KEY.encode(), said, hashlib.sha256)).decode().rstrip("=")
    )
