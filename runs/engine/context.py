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
from actions.credentials import Credential
from runs.domain.outcomes import RunFacts
from runs.engine import checkpoints, credentials, effects, journal, redaction, step_logs
from runs.engine.database_effects import DatabaseEffects
from runs.engine.lease import Held
from runs.engine.scope import item_names, names, read_by
from runs.engine.work import Work, stopped
from runs.planning.steps import Kind, PlannedStep


class AttemptContext:
    """The context of one attempt, actions.base.Context. `given` is the step's input; the rest is computed on demand."""

    def __init__(self, step: PlannedStep, work: Work, given: Json) -> None:
        self.input = given
        self._step = step
        self._work = work
        self._names: dict[str, Json] | None = None
        # The credentials that the attempt has opened. Their secrets are taken out of all that is recorded of it.
        self.opened: tuple[Credential, ...] = ()

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

        See runs.engine.effects. The kept result has no secrets in it.
        """
        return effects.once(
            self._work.run.id, step=self._step.id, item=self._work.item, name=name, effect=lambda: self.hidden(effect())
        )

    def credential(self, name: str, /) -> Credential:
        """Open a credential that the step's config names as written. Raises Permanent for any other."""
        found = self.opened_for_config(name)
        credentials.bind(found)
        return found

    def opened_for_config(self, name: str) -> Credential:
        """Open a credential; whoever sends its values binds it."""
        found = credentials.opened(self._step, name)
        if found not in self.opened:
            credentials.wait_for_use(found, cancelled=self.cancelled, seconds=self.timeout_seconds / 2)
            self.opened = (*self.opened, found)
        return found

    def hidden(self, value: Json) -> Json:
        """Return a value of this attempt as it may be recorded: without the secrets that the attempt has opened."""
        return redaction.of(self.opened).json(value) if self.opened else value

    def checkpoint(
        self, data: Json, *, done: int | None = None, failed: int | None = None, total: int | None = None
    ) -> None:
        """Keep how far the attempt got, without its secrets, for the next attempt and for people.

        See runs.engine.checkpoints.
        """
        if self._step.kind(self._work.item) is not Kind.EFFECTFUL:
            raise Permanent(
                f"step {self._step.id!r}: only an effectful action can make checkpoints, and {self._step.action.name} "
                "is pure, waits, or is performed in the transaction of its record",
                kind="checkpoint",
            )
        shown = self.hidden(checkpoints.cleaned(self._step.id, data))
        kept = checkpoints.checked(self._step.id, shown, done=done, failed=failed, total=total)
        if checkpoints.save(self._held, self._work, kept):
            journal.begin()

    @cached_property
    def resume(self) -> Json:
        """The data of the last checkpoint of an earlier attempt; None if there is none."""
        return checkpoints.resume(self._held, self._work)

    def log(self, message: str, /, *, level: str = "info", **fields: object) -> None:
        """Add a line to the log of the step, without the attempt's secrets. See runs.engine.step_logs."""
        work, key = self._work, (self._work.run.id, self._step.id, self._work.item)
        step_logs.add(key, step_logs.Line(work.clock.now(), work.attempt, level, message, fields), hide=self.hidden)
        journal.begin()

    @property
    def _held(self) -> Held:
        return self._work.run.id, self._work.item, self._step.id, self._work.attempt

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
