"""Write compiled chains in the form that Celery gives them, and send many with one command.

For each message Celery takes a third of a millisecond of processor time, and four times that with cold processor
caches, to write nearly the same text. So Celery writes only the first message of each kind, into a queue in memory. Its
text becomes a template, which is filled in for every message of that kind: with the candidates, with new ids, and,
where the message has one link only, as most have, with its version, heads and time limit.
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
from runs.dispatch.compiler import args_shown, compile_chain, encode, hard_limit, heads_shown, links
from runs.domain.candidates import Candidate, heads_of
from runs.planning.plan import Plan

# The run in the message that Celery writes; the template has the field of the candidates there.
_NOBODY = UUID("ffffffff-ffff-4fff-8fff-ffffffffffff")
# What Celery is made to write where the template has the field of that name.
_BODY, _VERSION, _HEAD, _LIMIT, _FRESH = "<body>", "<version>", "<head>", "<limit>", "<fresh>"
_HEADS = "<heads>"
# Patterns kept for each plan, and for all messages of one link; Celery itself writes messages beyond these.
_MOST_PATTERNS = 100
_of_one_link: dict[Any, Pattern] = {}
_template_lock = threading.Lock()


def _new_template_lock() -> None:
    global _template_lock  # noqa: PLW0603 - another thread may have held it during the fork
    _template_lock = threading.Lock()


os.register_at_fork(after_in_child=_new_template_lock)


@dataclass(frozen=True)
class Pattern:
    """A kind of message as two templates for `%`: its envelope, and its body before base64.

    The envelope has the fields `body`, encoded, and `shown`, what Flower shows of the candidates; the body has `keys`,
    the candidates, and `fresh`, the preloaded data. Both have the ids that are new in each message; `ids` are the names
    of these fields. A pattern of a single link also has `version`, `head` and `limit`, and in the envelope `heads`,
    what Flower shows of them.
    """

    envelope: str
    body: str
    ids: tuple[str, ...]

    def text(self, knock: Knock) -> str:
        """The message for this knock."""
        plan, candidates, preloaded = knock
        heads = heads_of(candidates)
        fields = {name: str(uuid4()) for name in self.ids}
        fields["keys"] = '", "'.join(encode(candidates))
        fields["shown"] = args_shown(candidates, heads=heads)
        fields["fresh"] = f', "fresh": {preloaded}' if preloaded else ""
        fields["version"] = str(plan.version_id)
        fields["head"], fields["heads"] = heads[0], heads_shown(heads)
        fields["limit"] = str(hard_limit(plan))
        fields["body"] = base64.b64encode((self.body % fields).encode()).decode()
        return self.envelope % fields


class Knock(NamedTuple):
    """What a message says: there may be work for these candidates of a version, at one head or at several.

    `preloaded` comes from runs.engine.preload.pack; a message to several heads has none.
    """

    plan: Plan
    candidates: Sequence[Candidate]
    preloaded: str = ""


def send(knocks: Sequence[Knock], *, first: bool = False) -> None:
    """Send a message for each knock. Raises what the broker raises; some messages may have been sent then.

    With `first` they are delivered before those that are in the broker, except what Celery must send itself.
    """
    texts = []
    for knock in knocks:
        pattern = None if _watched() else _pattern(knock)
        if pattern is None:
            compile_chain(knock.candidates, plan=knock.plan).apply_async()
        else:
            texts.append(pattern.text(knock))
    window.push(texts, first=first)


def _watched() -> bool:
    """Whether Celery must send each message itself: for receivers of its publish signals, or by its settings."""
    listened = (signals.before_task_publish, signals.after_task_publish, signals.task_sent)
    return _left_to_celery() or any(signal.receivers for signal in listened)


@lru_cache(maxsize=1)
def _left_to_celery() -> bool:
    """Whether Celery's settings require that. Cached, because looking them up is slow."""
    return bool(current_app.conf.task_send_sent_event or current_app.conf.task_always_eager)


def _pattern(knock: Knock) -> Pattern | None:
    """Return the pattern for this kind of message, made on first use; None if _MOST_PATTERNS are kept already."""
    plan, candidates, _ = knock
    heads = links(candidates, plan=plan)
    _, item, head = candidates[0]
    item = min(item, 0)
    alone = len(heads) == 1
    kind, patterns = (item, _of_one_link) if alone else ((head, len(heads)), plan.patterns)
    found: Pattern | None = patterns.get(kind)
    if found is None and len(patterns) < _MOST_PATTERNS:
        chain = compile_chain([Candidate(_NOBODY, item, head)], plan=plan, heads=heads)
        found = patterns[kind] = _of_any_link(_written(chain), item) if alone else _of_chain(_written(chain), item)
    return found


@dataclass(frozen=True)
class _Written:
    """A message that Celery wrote: its envelope without the body, and the decoded body. Both are edited in place."""

    envelope: dict[str, Any]
    body: Any


def _written(chain: Signature) -> _Written:
    """Return the message that Celery writes for this chain, sent to a broker in memory."""
    queue = current_app.conf.task_default_queue
    with _template_lock, Connection("memory://") as connection:
        channel: Any = connection.default_channel
        channel._purge(queue)  # all in-memory connections of the process share its queues
        chain.apply_async(connection=connection)
        # Read from the queue, not received: a received message no longer has its envelope.
        message: dict[str, Any] = channel._get(queue)
    headers = message["headers"]
    # Written inside a task, the message would name that task as its parent.
    headers |= {"root_id": headers["id"], "parent_id": None}
    return _Written({**message, "body": _BODY}, json.loads(base64.b64decode(message["body"])))


def _of_any_link(written: _Written, item: int) -> Pattern:
    """Return the pattern for messages of a single link, of any plan."""
    written.body[1] |= {"version": _VERSION, "head": _HEAD}
    written.envelope["headers"] |= {"kwargsrepr": f"head {_HEADS}", "timelimit": [_LIMIT, None]}
    written.envelope["properties"]["kwargsrepr"] = f"head {_HEADS}"
    return _of_chain(written, item)


def _of_chain(written: _Written, item: int) -> Pattern:
    """Return the pattern for messages with exactly these links."""
    envelope, body = written.envelope, written.body
    body[1]["fresh"] = _FRESH
    ids = [envelope["headers"]["id"], envelope["properties"]["delivery_tag"]]
    ids += [task["options"]["task_id"] for task in body[2]["chain"] or ()]
    names = {text: f"id{number}" for number, text in enumerate(ids)}
    marks = {
        _BODY: "body",
        _VERSION: "version",
        _HEAD: "head",
        _HEADS: "heads",
        f'"{_LIMIT}"': "limit",
        f', "fresh": "{_FRESH}"': "fresh",
        f"(1 runs, first {_NOBODY})": "shown",
        encode([Candidate(_NOBODY, item, "")])[0]: "keys",
    }
    fields = {**names, **marks}
    return Pattern(_template(json.dumps(envelope), fields), _template(json.dumps(body), fields), (*names.values(),))


def _template(text: str, fields: Mapping[str, str]) -> str:
    """Return the text as a template for `%`; `fields` has the name of the field for each mark in the text.

    The mark of `shown` contains the mark of `keys`, so it must come before it. No other mark contains another.
    """
    text = text.replace("%", "%%")
    for mark, name in fields.items():
        text = text.replace(mark, f"%({name})s")
    return text
