"""Write compiled chains as Celery writes them, and send many with one command.

Celery takes a third of a millisecond of the processor for a message, four times that where it finds the caches cold,
for what is nearly the same text each time. So Celery itself writes the first message of each kind, on paper; of it the
text is kept, and what differs from message to message is put in its place: keys and ids, and where it is of one link
only, as most are, the link itself.
"""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from celery import Signature, current_app, signals
from kombu import Connection
from kombu.utils import json

from runs.dispatch import window
from runs.dispatch.compiler import compile_chain, encode, hard_limit, links
from runs.domain.outcomes import Key
from runs.planning.plan import Plan

# Stands in a pattern where a message has its keys.
_NOBODY = UUID("ffffffff-ffff-4fff-8fff-ffffffffffff")
_BODY, _VERSION, _HEAD, _LIMIT = "<body>", "<version>", "<head>", "<limit>"
# Stands behind the kwargs of a pattern's first link.
_FRESH = ', "fresh": null'
# Chains of each plan; those beyond are left to Celery.
_MOST_PATTERNS = 100
_of_one_link: dict[Any, Pattern] = {}
_template_lock = threading.Lock()


def _new_template_lock() -> None:
    global _template_lock  # noqa: PLW0603 - a fork may have come while another thread wrote
    _template_lock = threading.Lock()


os.register_at_fork(after_in_child=_new_template_lock)


@dataclass(frozen=True)
class Pattern:
    """A message as it lies in the broker, and its body before that is written in base64; `ids` stand in both.

    One of a single link has marks for the version, the link's head, and its hard limit.
    """

    envelope: str
    body: str
    ids: tuple[str, ...]

    def text(self, knock: Knock) -> str:
        """The message for this knock, with ids of its own."""
        plan, head, keys, preloaded = knock
        envelope = self.envelope.replace(_HEAD, head).replace(f'"{_LIMIT}"', str(hard_limit(plan, head)))
        body = self.body.replace(_HEAD, head).replace(_VERSION, str(plan.version_id))
        for old in self.ids:
            new = str(uuid4())
            envelope, body = envelope.replace(old, new), body.replace(old, new)
        texts = encode(keys)
        body = body.replace(f'"{_written(keys[0][1])}"', '"' + '", "'.join(texts) + '"')
        # Last, for it holds what users wrote.
        body = body.replace(_FRESH, f', "fresh": {preloaded}' if preloaded else "", 1)
        # What Flower shows.
        envelope = envelope.replace(f"(1 runs, first {_NOBODY})", f"({len(texts)} runs, first {keys[0][0]})")
        return envelope.replace(_BODY, base64.b64encode(body.encode()).decode())


class Knock(NamedTuple):
    """What a message says: there may be work for these keys at this head; `preloaded` is by
    runs.engine.preload.pack.
    """

    plan: Plan
    head: str
    keys: Sequence[Key]
    preloaded: str = ""


def send(knocks: Sequence[Knock]) -> None:
    """Send a message for each. Raises what the broker raises; then some may be on their way all the same."""
    texts = []
    for knock in knocks:
        pattern = None if _watched() else _pattern(knock)
        if pattern is None:
            compile_chain(knock.keys, plan=knock.plan, head=knock.head).apply_async()
        else:
            texts.append(pattern.text(knock))
    window.push(texts)


def _watched() -> bool:
    """Whether somebody listens to what Celery says when it publishes, or it would not: then it is left to itself."""
    listened = (signals.before_task_publish, signals.after_task_publish, signals.task_sent)
    return _left_to_celery() or any(signal.receivers for signal in listened)


@lru_cache(maxsize=1)
def _left_to_celery() -> bool:
    """By its settings, which are looked up slowly."""
    return bool(current_app.conf.task_send_sent_event or current_app.conf.task_always_eager)


def _pattern(knock: Knock) -> Pattern | None:
    plan, head, keys, _ = knock
    heads = links(keys, plan=plan, head=head)
    item = min(keys[0][1], 0)
    place = item if len(heads) == 1 else (head, len(heads))
    patterns = _of_one_link if len(heads) == 1 else plan.patterns
    found: Pattern | None = patterns.get(place)
    if found is None and len(patterns) < _MOST_PATTERNS:
        found = _template(compile_chain([(_NOBODY, item)], plan=plan, head=head, heads=heads), marked=len(heads) == 1)
        patterns[place] = found
    return found


def _template(chain: Signature, *, marked: bool) -> Pattern:
    """What Celery writes for it, to a broker in memory instead of ours; `marked` where one link stands for any."""
    queue = current_app.conf.task_default_queue
    with _template_lock, Connection("memory://") as connection:
        channel: Any = connection.default_channel
        channel._purge(queue)  # its queues are the process's
        chain.apply_async(connection=connection)
        # Before it is delivered: a received message has lost its envelope.
        message: dict[str, Any] = channel._get(queue)
    headers = message["headers"]
    # In a worker Celery would write whose child the first message was.
    headers |= {"root_id": headers["id"], "parent_id": None}
    properties, body = message["properties"], json.loads(base64.b64decode(message["body"]))
    body[1]["fresh"] = None
    if marked:
        body[1] |= {"version": _VERSION, "head": _HEAD}
        headers |= {"kwargsrepr": f"head {_HEAD}", "timelimit": [_LIMIT, None]}
        properties["kwargsrepr"] = f"head {_HEAD}"
    ids = [headers["id"], properties["delivery_tag"]]
    ids += [task["options"]["task_id"] for task in body[2]["chain"] or ()]
    return Pattern(envelope=json.dumps({**message, "body": _BODY}), body=json.dumps(body), ids=tuple(ids))


def _written(item: int) -> str:
    return encode([(_NOBODY, min(item, 0))])[0]
