"""Write compiled chains in the form that Celery gives them, and send many with one command.

For each message Celery takes a third of a millisecond of processor time, and four times that with cold processor
caches, to write nearly the same text. So Celery writes only the first message of each kind, into a queue in memory. Its
text becomes a template, which is filled in for every message of that kind: with the keys, with new ids, and, where the
message has one link only, as most have, with the link's version, head and time limit.
"""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Mapping, Sequence
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

# The run in the message that Celery writes; the template has the field of the keys there.
_NOBODY = UUID("ffffffff-ffff-4fff-8fff-ffffffffffff")
# What Celery is made to write where the template has the field of that name.
_BODY, _VERSION, _HEAD, _LIMIT, _FRESH = "<body>", "<version>", "<head>", "<limit>", "<fresh>"
# Templates that are kept for each plan, and for messages of one link; Celery itself writes what goes beyond.
_MOST_PATTERNS = 100
_of_one_link: dict[Any, Pattern] = {}
_template_lock = threading.Lock()


def _new_template_lock() -> None:
    global _template_lock  # noqa: PLW0603 - a fork may have come while another thread wrote
    _template_lock = threading.Lock()


os.register_at_fork(after_in_child=_new_template_lock)


@dataclass(frozen=True)
class Pattern:
    """A message as two templates: its envelope, and its body before that is encoded in base64.

    They are filled in with `%` and these fields: `keys`; `shown`, what Flower shows of them; `fresh`; `body`; the ids
    named in `ids`, which are new in each message; and in a pattern of a single link `version`, `head` and `limit`.
    """

    envelope: str
    body: str
    ids: tuple[str, ...]

    def text(self, knock: Knock) -> str:
        """The message for this knock."""
        plan, head, keys, preloaded = knock
        texts = encode(keys)
        fields = {name: str(uuid4()) for name in self.ids}
        fields["keys"] = '", "'.join(texts)
        fields["shown"] = f"({len(texts)} runs, first {keys[0][0]})"
        fields["fresh"] = f', "fresh": {preloaded}' if preloaded else ""
        fields["version"] = str(plan.version_id)
        fields["head"] = head
        fields["limit"] = str(hard_limit(plan, head))
        fields["body"] = base64.b64encode((self.body % fields).encode()).decode()
        return self.envelope % fields


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
    """The pattern of this kind of message, made when it is first needed; None if enough are kept already."""
    plan, head, keys, _ = knock
    heads = links(keys, plan=plan, head=head)
    item = min(keys[0][1], 0)
    alone = len(heads) == 1
    kind, patterns = (item, _of_one_link) if alone else ((head, len(heads)), plan.patterns)
    found: Pattern | None = patterns.get(kind)
    if found is None and len(patterns) < _MOST_PATTERNS:
        chain = compile_chain([(_NOBODY, item)], plan=plan, head=head, heads=heads)
        found = patterns[kind] = _of_any_link(_written(chain), item) if alone else _of_chain(_written(chain), item)
    return found


@dataclass(frozen=True)
class _Written:
    """A message that Celery wrote: its envelope without the body, and the body decoded, which are edited in place."""

    envelope: dict[str, Any]
    body: Any


def _written(chain: Signature) -> _Written:
    """What Celery writes for this chain, to a broker in memory instead of ours."""
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
    return _Written({**message, "body": _BODY}, json.loads(base64.b64decode(message["body"])))


def _of_any_link(written: _Written, item: int) -> Pattern:
    """The pattern of a message of one link, whichever link of whichever plan that is."""
    written.body[1] |= {"version": _VERSION, "head": _HEAD}
    written.envelope["headers"] |= {"kwargsrepr": f"head {_HEAD}", "timelimit": [_LIMIT, None]}
    written.envelope["properties"]["kwargsrepr"] = f"head {_HEAD}"
    return _of_chain(written, item)


def _of_chain(written: _Written, item: int) -> Pattern:
    """The pattern of a message with exactly these links."""
    envelope, body = written.envelope, written.body
    body[1]["fresh"] = _FRESH
    ids = [envelope["headers"]["id"], envelope["properties"]["delivery_tag"]]
    ids += [task["options"]["task_id"] for task in body[2]["chain"] or ()]
    names = {text: f"id{number}" for number, text in enumerate(ids)}
    marks = {
        _BODY: "body",
        _VERSION: "version",
        _HEAD: "head",
        f'"{_LIMIT}"': "limit",
        f', "fresh": "{_FRESH}"': "fresh",
        f"(1 runs, first {_NOBODY})": "shown",
        encode([(_NOBODY, item)])[0]: "keys",
    }
    fields = {**names, **marks}
    return Pattern(_template(json.dumps(envelope), fields), _template(json.dumps(body), fields), (*names.values(),))


def _template(text: str, fields: Mapping[str, str]) -> str:
    """The text as a template for `%`, with a field at each place where one of these marks stands.

    No mark is part of another but for _NOBODY in what Flower shows, so that comes first.
    """
    text = text.replace("%", "%%")
    for mark, name in fields.items():
        text = text.replace(mark, f"%({name})s")
    return text
