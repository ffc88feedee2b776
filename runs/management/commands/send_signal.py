"""Send a signal to runs that wait for it, by their ids or by a key."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from actions.catalogue.wait_for_signal import MAX_KEY, signal_name
from runs.control import preconditions, signals, verbs
from runs.control.keys import KeyTaken
from runs.control.preconditions import cannot_signal
from runs.control.signals import Message, Sent, TooMany
from runs.domain.actor import Actor
from runs.management.commands import _by_hand
from workflows.management.commands import _common


class Command(BaseCommand):
    help = (
        f"{verbs.SIGNAL.does} With --key it reaches every run that waits for it with that key. "
        "Exit status: 0 when at least one run took it or it is kept for the key, 1 when none did, 2 bad input."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME")
        parser.add_argument("ids", nargs="*", metavar="ID")
        parser.add_argument("--key", help="what the steps wait with, instead of ids")
        parser.add_argument("--payload", metavar="JSON|@FILE", default="null")
        parser.add_argument("--idempotency-key", metavar="KEY", help="sent twice under one key, it counts once")
        _by_hand.add_on_conflict(parser)
        _by_hand.add_by(parser)
        _common.add_workspace(parser)

    def handle(self, **options: Any) -> None:
        message = self._message(options)
        if (options["key"] is None) == (not options["ids"]):
            _common.leave(self, ["name the runs by their ids, or give --key; one of the two"])
        actor = Actor(user_id=_by_hand.user_id(self, options["by"]))
        try:
            if options["key"] is not None:
                self._by_key(options, message, actor=actor)
            else:
                self._by_ids(options, message, actor=actor)
        except KeyTaken as error:
            _common.leave(self, [f"--idempotency-key: {error}"])

    def _message(self, options: dict[str, Any]) -> Message:
        payload = _by_hand.read_json(self, options["payload"], name="--payload")
        once = options["idempotency_key"]
        if once is not None and not (0 < len(once) <= MAX_KEY and once.isprintable()):
            _common.leave(self, [f"--idempotency-key: must be 1 to {MAX_KEY} printable characters"])
        try:
            return Message(signal_name(options["name"]), payload, once, options["on_conflict"] == "refuse")
        except ValueError as error:
            _common.leave(self, [f"NAME: {error}"])

    def _by_ids(self, options: dict[str, Any], message: Message, *, actor: Actor) -> None:
        ids = _by_hand.run_ids(self, options["ids"])
        won = frozenset(one.run_id for one in signals.send(ids, message=message, actor=actor) if one.run_id)
        states = preconditions.run_states(ids)
        told = {
            run_id: cannot_signal(run_id, states[run_id], name=message.name)
            if run_id in states
            else preconditions.NO_RUN
            for run_id in ids
            if run_id not in won
        }
        _by_hand.tell(self, ids, won=won, verb="took the signal", why_not=told)

    def _by_key(self, options: dict[str, Any], message: Message, *, actor: Actor) -> None:
        if not (0 < len(options["key"]) <= MAX_KEY and options["key"].isprintable()):
            _common.leave(self, [f"--key: must be 1 to {MAX_KEY} printable characters"])
        workspace = _common.find_workspace(self, options["workspace"])
        try:
            sent = signals.send_by_key(options["key"], workspace_id=workspace.pk, message=message, actor=actor)
        except TooMany as refusal:
            self.stderr.write(str(refusal))
            raise SystemExit(_by_hand.NOTHING_WON) from None
        for one in sent:
            self.stdout.write(self._line(one))

    def _line(self, one: Sent) -> str:
        if one.run_id is None:
            return f"kept for {signals.KEEP_SECONDS / 86400:g} days: no run waits for it with this key yet"
        return f"{one.run_id}  took the signal"
