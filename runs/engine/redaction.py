"""Take the secrets of an attempt out of everything that is recorded of it: outputs, errors, tracebacks, kept results.

This is the only place that does: runs.engine.attempt, runs.engine.failure and the context's `once` call it with the
credentials that the attempt has opened. How secrets are found is in actions.redaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

from actions.base import Park, Spawn
from actions.credentials import Credential
from actions.redaction import Redactor


@lru_cache(maxsize=64)
def _redactor(secrets: tuple[tuple[str, str], ...]) -> Redactor:
    return Redactor(secrets)


def of(credentials: Iterable[Credential]) -> Redactor:
    """Return the redactor for the secrets of these credentials."""
    return _redactor(tuple(sorted({(f"[credential {one.name}]", text) for one in credentials for text in one.secrets})))


def of_wait(answer: Park | Spawn, credentials: Sequence[Credential]) -> Park | Spawn:
    """Return what an action waits for, or starts, without secrets."""
    if not credentials:
        return answer
    found = of(credentials)
    if isinstance(answer, Park):
        signal, key = (None if one is None else found.text(one) for one in (answer.signal, answer.key))
        return replace(answer, output=found.json(answer.output), signal=signal, key=key)
    labels = {found.text(key): found.text(value) for key, value in answer.labels.items()}
    return replace(answer, input=found.json(answer.input), labels=labels)
