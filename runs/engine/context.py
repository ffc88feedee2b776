"""The context that an action gets for an attempt. It computes its values on demand: most actions read few of them."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime

from django.conf import settings
from django.utils.functional import cached_property

from actions.base import Json, Permanent
from runs.domain.outcomes import RunFacts
from runs.engine import effects
from runs.engine.database_effects import DatabaseEffects
from runs.engine.scope import item_names, names, read_by
from runs.engine.work import Work, stopped
from runs.planning.steps import PlannedStep


class AttemptContext:
    """The context of one attempt, actions.base.Context. `given` is the step's input; the rest is computed on demand."""

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
        """The number of this attempt, from 1."""
        return self._work.attempt

    @property
    def timeout_seconds(self) -> float:
        """The timeout of this attempt, unless its config gives another time to what the action does."""
        return self._step.usual_seconds

    @property
    def item(self) -> int:
        """The item's number in a for_each, else -1."""
        return self._work.item

    @property
    def has_compensation(self) -> bool:
        """Whether the definition says how to undo this step."""
        return self._step.definition.compensate is not None

    @property
    def database(self) -> DatabaseEffects:
        """What the action may do in the transaction that records the step. Raises Permanent if there is none."""
        if not self._step.action.transactional:
            raise Permanent(f"action {self._step.action.name!r} is not transactional, and has no transaction")
        return DatabaseEffects(self._work.run.id)

    @property
    def names(self) -> dict[str, Json]:
        """The names that the step's expressions can use."""
        if self._names is None:
            work = self._work
            if work.item >= 0:
                self._names = item_names(
                    work.run, work.steps, item=work.value, index=work.item, variables=work.variables
                )
            else:
                self._names = names(self._step, work.run, work.steps, given=self.input, variables=work.variables)
        return self._names

    @property
    def scope(self) -> dict[str, Json]:
        """The names that the step's config uses: only `steps`, if that is enough, because it is cheap; else all."""
        if self._names is None and self._work.item < 0 and self._step.config.asks_steps_only:
            return {"steps": dict(read_by(self._step, self._work.steps))}
        return self.names

    @cached_property
    def run_id(self) -> str:
        """The run's id."""
        return str(self._work.run.id)

    @cached_property
    def idempotency_key(self) -> str:
        """The idempotency key of this step, item and generation; the same for each of its attempts."""
        return idempotency_key(self._work.run, step=self._step.id, item=self._work.item)

    @cached_property
    def now(self) -> datetime:
        """The database's time."""
        return self._work.clock.now()

    def once(self, name: str, effect: Callable[[], Json], /) -> Json:
        """Call `effect` and return its result, or return the result that an earlier attempt kept under this name.

        See runs.engine.effects.
        """
        return effects.once(self._work.run.id, step=self._step.id, item=self._work.item, name=name, effect=effect)

    def cancelled(self) -> bool:
        """Whether the run was cancelled, or timed out, since the attempt began."""
        return stopped(self._step, self._work)


def idempotency_key(run: RunFacts, *, step: str, item: int) -> str:
    """Return the idempotency key of all attempts at a step: an HMAC-SHA256 of run, step, item and generation.

    It is keyed with the installation's SECRET_KEY, so that nobody outside can guess it.
    """
    message = f"{run.id}|{step}|{item}|{run.generation}".encode()
    digest = hmac.digest(settings.SECRET_KEY.encode(), message, hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
