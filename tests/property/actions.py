"""Actions that do as their config says, and remember every attempt that was made of them."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from django.db import connection

from actions.base import Action, Config, Context, Json, Permanent, Retryable

ALWAYS = 99


class Made(NamedTuple):
    """One attempt that was made. `round` counts the retries of the run by hand."""

    run: str
    step: str
    item: int
    attempt: int
    round: int
    key: str


# Every effectful attempt, in order: none may be made twice.
made: list[Made] = []
# How often each run was retried by hand, and the runs whose steps do not fail any more.
rounds: dict[str, int] = {}
mended: set[str] = set()


class ScriptConfig(Config):
    """`fails` attempts fail before one succeeds; a permanent failure fails at once."""

    fails: int
    permanent: bool


class Scripted(Action[ScriptConfig]):
    name: ClassVar[str] = "scripted"
    config_class: ClassVar[type[Config]] = ScriptConfig

    def perform(self, config: ScriptConfig, context: Context) -> Json:
        if not self.pure:
            number = rounds.get(context.run_id, 0)
            made.append(
                Made(
                    context.run_id,
                    context.step,
                    context.item,
                    context.attempt,
                    number,
                    context.idempotency_key,
                )
            )
        if context.attempt <= config.fails and context.run_id not in mended:
            raise (Permanent if config.permanent else Retryable)("as the script says", kind="scripted")
        return {"step": context.step}


class ScriptedPure(Scripted):
    name: ClassVar[str] = "scripted_pure"
    pure: ClassVar[bool] = True


class ScriptedBooking(Scripted):
    """Books in the engine's own database, before it fails or not, and counts that under one of two keys of state.

    The keys take turns from step to step, and every other run begins with the second one: so runs take them in both
    orders.
    """

    name: ClassVar[str] = "scripted_booking"
    transactional: ClassVar[bool] = True

    def perform(self, config: ScriptConfig, context: Context) -> Json:
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO bookings VALUES (%s, %s)", [context.run_id, context.step])
        turn = int(context.step[1:]) + int(context.run_id[-1], 16)
        context.database.increment_state(f"k{turn % 2}", 1, ttl_seconds=None, own=False)
        return super().perform(config, context)


def forget() -> None:
    """Begin anew, with nothing made and nothing mended."""
    made.clear()
    rounds.clear()
    mended.clear()
