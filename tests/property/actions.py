"""Actions that do as their config says, and remember every attempt that was made of them."""

from __future__ import annotations

from typing import ClassVar

from actions.base import Action, Config, Context, Json, Permanent, Retryable

ALWAYS = 99

# (run, step, attempt) of every effectful attempt: none may be made twice.
performed: list[tuple[str, str, int]] = []


class ScriptConfig(Config):
    """`fails` attempts fail before one succeeds; a permanent failure fails at once."""

    fails: int
    permanent: bool


class Scripted(Action[ScriptConfig]):
    name: ClassVar[str] = "scripted"
    config_class: ClassVar[type[Config]] = ScriptConfig

    def perform(self, config: ScriptConfig, context: Context) -> Json:
        if not self.pure:
            performed.append((context.run_id, context.step, context.attempt))
        if context.attempt <= config.fails:
            raise (Permanent if config.permanent else Retryable)("as the script says", kind="scripted")
        return {"step": context.step}


class ScriptedPure(Scripted):
    name: ClassVar[str] = "scripted_pure"
    pure: ClassVar[bool] = True
