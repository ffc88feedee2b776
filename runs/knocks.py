"""Write compiled chains as Celery writes them, and send many with one command.

Celery takes a third of a millisecond of the processor for a message, four times that where it finds the caches cold,
for what is nearly the same text each time. So Celery itself writes the first message of each link, on paper; of it the
text is kept, and what differs from message to message (the keys, and ids) is put in its place.
"""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from celery import Signature, current_app, signals
from kombu import Connection
from kombu.utils import json

from runs import window
from runs.compiler import compile_chain, encode, links
from runs.outcomes import Key
from runs.plan import Plan

# Stands in a pattern where a message has its keys.
_NOBODY = UUID("ffffffff-ffff-4fff-8fff-ffffffffffff")
_BODY = "<body>"
# Of each plan. A graph of thousands of links does not keep the text of each.
_MOST_PATTERNS = 500
_paper = threading.Lock()


def _new_paper() -> None:
    global _paper  # noqa: PLW0603 - a fork may have come while another thread wrote
    _paper = threading.Lock()


os.register_at_fork(after_in_child=_new_paper)


@dataclass(frozen=True)
class Pattern:
    """A message as it lies in the broker, and its body before that is written in base64; `ids` stand in both."""

    envelope: str
    body: str
    ids: tuple[str, ...]

    def text(self, keys: Sequence[Key]) -> str:
        """The message for these keys, with ids of its own."""
        envelope, body = self.envelope, self.body
        for old in self.ids:
            new = str(uuid4())
            envelope, body = envelope.replace(old, new), body.replace(old, new)
        texts = encode(keys)
        body = body.replace(f'"{_written(keys[0][1])}"', '"' + '", "'.join(texts) + '"')
        # What Flower shows.
        envelope = envelope.replace(f"(1 runs, first {_NOBODY})", f"({len(texts)} runs, first {keys[0][0]})")
        return envelope.replace(_BODY, base64.b64encode(body.encode()).decode())


class Knock(NamedTuple):
    """What a message says: there may be work for these keys at this head."""

    plan: Plan
    head: str
    keys: Sequence[Key]


def send(knocks: Sequence[Knock]) -> None:
    """Send a message for each. Raises what the broker raises; then some may be on their way all the same."""
    if _watched():
        for knock in knocks:
            compile_chain(knock.keys, plan=knock.plan, head=knock.head).apply_async()
    else:
        window.push([_pattern(knock).text(knock.keys) for knock in knocks])


def _watched() -> bool:
    """Whether somebody listens to what Celery says when it publishes, or it would not: then it is left to itself."""
    conf = current_app.conf
    listened = (signals.before_task_publish, signals.after_task_publish, signals.task_sent)
    return conf.task_send_sent_event or conf.task_always_eager or any(signal.receivers for signal in listened)


def _pattern(knock: Knock) -> Pattern:
    plan, head, keys = knock
    heads = links(keys, plan=plan, head=head)
    place = (head, item := min(keys[0][1], 0), len(heads))
    found: Pattern | None = plan.patterns.get(place)
    if found is None:
        found = _on_paper(compile_chain([(_NOBODY, item)], plan=plan, head=head, heads=heads))
        if len(plan.patterns) < _MOST_PATTERNS:
            plan.patterns[place] = found
    return found


def _on_paper(chain: Signature) -> Pattern:
    """What Celery writes for it, to a broker in memory instead of ours."""
    queue = current_app.conf.task_default_queue
    with _paper, Connection("memory://") as connection:
        channel: Any = connection.default_channel
        channel._purge(queue)  # its queues are the process's
        chain.apply_async(connection=connection)
        # Before it is delivered: a received message has lost its envelope.
        message: dict[str, Any] = channel._get(queue)
    headers = message["headers"]
    # In a worker Celery would write whose child the first message was.
    headers |= {"root_id": headers["id"], "parent_id": None}
    body = base64.b64decode(message["body"]).decode()
    ids = [headers["id"], message["properties"]["delivery_tag"]]
    ids += [task["options"]["task_id"] for task in json.loads(body)[2]["chain"] or ()]
    return Pattern(envelope=json.dumps({**message, "body": _BODY}), body=body, ids=tuple(ids))


def _written(item: int) -> str:
    return encode([(_NOBODY, min(item, 0))])[0]
