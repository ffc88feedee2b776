"""Find secrets that stand in a config as literal text, and mask them for those who may not edit the workflow.

A secret is what stands in `headers`, `query`, `form` or `multipart` under a name such as authorization, cookie or
api_key; what stands anywhere under a name that can mean nothing else, such as password; the userinfo of a URL; and the
value of a URL's query parameter with such a name. An expression such as {{ input.token }} is no secret, only what it
gives in a run is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from actions.base import Json
from workflows.definitions.errors import Problem, join_path

# What a masked value is replaced by. No definition may have it: publishing one that was exported with masked values
# would replace the secrets.
MARKER = "[masked: only who may edit the workflow sees this value]"

_PARTS_OF_REQUESTS = frozenset({"headers", "query", "form", "multipart"})
_NAMES = re.compile(r"authorization|cookie|key|token|secret|passw|credential|signature", re.IGNORECASE)
_ONLY_SECRET = re.compile(
    r"passw(or)?d|passphrase|secret|token|(client|shared)[_-]?secret|(access|refresh|bearer|auth)[_-]?token"
    r"|(api|access|private|secret)[_-]?key|authorization|proxy-authorization|cookie",
    re.IGNORECASE,
)
_EXPRESSION = re.compile(r"\s*\{\{[^{}]*\}\}\s*")
# Each is linear: what follows the first literal stops at the next one.
_USERINFO = re.compile(r"://[^/?#\s@]*@")
_PARAMETER = re.compile(
    r"([?&][^=&#\s?]{0,40}(?:key|token|secret|passw|signature)[^=&#\s?]{0,40}=)[^&#\s]+", re.IGNORECASE
)
# A config cannot be nested deeper than this (actions.payload).
_DEEPEST = 200


def masked(value: Json) -> Json:
    """Return a config, or a part of one, with its secrets replaced by MARKER. What has none is returned as it is."""
    return _masked(value, of_request=False, depth=0)


def masked_definition(definition: dict[str, Json]) -> dict[str, Json]:
    """Return a definition in the canonical form with the secrets of all its configs masked."""
    found = dict(definition)
    for part in ("steps", "on_failure", "finally"):
        steps = definition.get(part)
        if isinstance(steps, list):
            found[part] = [_masked_step(step) for step in steps]
    return found


def marker_problems(document: Json, *, path: str = "") -> Iterator[Problem]:
    """Yield a problem for each masked value in a document that is to be published, or is given to a run."""
    pending: list[tuple[tuple[str | int, ...], Json]] = [((), document)]
    while pending:
        parts, value = pending.pop()
        if isinstance(value, str):
            if MARKER in value:
                yield Problem(join_path(path, *parts), f"is a masked value ({MARKER}); put the value itself here")
        elif isinstance(value, dict):
            pending.extend(((*parts, key), item) for key, item in value.items() if isinstance(item, (str, dict, list)))
        elif isinstance(value, list):
            pending.extend(((*parts, at), item) for at, item in enumerate(value) if isinstance(item, (str, dict, list)))


def _masked_step(step: Json) -> Json:
    if not isinstance(step, dict):
        return step
    found = dict(step)
    if "with" in step:
        found["with"] = masked(step["with"])
    compensate = step.get("compensate")
    if isinstance(compensate, dict) and "with" in compensate:
        found["compensate"] = {**compensate, "with": masked(compensate["with"])}
    return found


def _masked(value: Json, *, of_request: bool, depth: int) -> Json:
    if isinstance(value, str):
        return _masked_text(value)
    if depth > _DEEPEST:
        return MARKER
    if isinstance(value, dict):
        return {key: _masked_field(key, item, of_request=of_request, depth=depth) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, of_request=of_request, depth=depth + 1) for item in value]
    return value


def _masked_field(key: str, value: Json, *, of_request: bool, depth: int) -> Json:
    names = _NAMES.search(key[:200]) if of_request else _ONLY_SECRET.fullmatch(key[:200])
    if names is not None and value not in (None, "", {}, []):
        return value if isinstance(value, str) and _EXPRESSION.fullmatch(value) else MARKER
    return _masked(value, of_request=key.lower() in _PARTS_OF_REQUESTS, depth=depth + 1)


def _masked_text(text: str) -> str:
    if "://" not in text and "=" not in text:
        return text
    return _PARAMETER.sub(rf"\g<1>{MARKER}", _USERINFO.sub(f"://{MARKER}@", text))
