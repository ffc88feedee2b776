"""Check the declaration of an action, so that one of another package cannot surprise the engine or its readers."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

from actions.base import Action, Config, Example, Output, Retry, config_keys

NAME = re.compile(r"[a-z][a-z0-9_.-]{0,99}")
# Two of these traits at once contradict each other: how such a step is performed would depend on which is asked first.
_APART = (("pure", "parks"), ("pure", "transactional"), ("parks", "transactional"))
_LONGEST_SUMMARY = 200


def faults(action: object, *, name: str) -> Iterator[str]:
    """Yield what is wrong with the class that is listed under this name; nothing if it may be used."""
    if not (isinstance(action, type) and issubclass(action, Action)):
        yield f"is {type(action).__name__} {getattr(action, '__name__', '')!r}, not a subclass of actions.base.Action"
        return
    if inspect.isabstract(action):
        yield f"does not define {', '.join(sorted(action.__abstractmethods__))}"
        return
    if not NAME.fullmatch(name):
        yield "has a name that is not 1 to 100 small letters, digits and _ . -, beginning with a letter"
    if (own := getattr(action, "name", None)) != name:
        yield f"is listed under this name, but says name = {own!r}"
    yield from _text_faults(action)
    config_class = getattr(action, "config_class", None)
    if not (isinstance(config_class, type) and issubclass(config_class, Config)):
        yield "has no config_class that is a subclass of actions.base.Config; one without fields takes no config"
        return
    yield from _trait_faults(action)
    yield from _schema_faults(action)
    yield from _field_faults(action)


def _text_faults(action: type[Action[Any]]) -> Iterator[str]:
    for key in ("summary", "output"):
        text = getattr(action, key, None)
        if not isinstance(text, str) or not text.strip():
            yield f"has no {key}; write one line of text"
    summary = getattr(action, "summary", "")
    if isinstance(summary, str) and (len(summary) > _LONGEST_SUMMARY or "\n" in summary):
        yield f"has a summary that is not one line of at most {_LONGEST_SUMMARY} characters; write more in description"
    if not isinstance(action.description, str):
        yield "has a description that is no text"
    if not (isinstance(action.aliases, tuple) and all(isinstance(alias, str) for alias in action.aliases)):
        yield "has aliases that are no tuple of texts"


def _trait_faults(action: type[Action[Any]]) -> Iterator[str]:
    for one, other in _APART:
        if getattr(action, one) and getattr(action, other):
            yield f"is {one} and {other} at once; it can be only one of them"
    if inspect.iscoroutinefunction(action.perform) and (action.pure or action.parks or action.transactional):
        yield "has an async perform, which only an action may have that is neither pure nor parks nor transactional"
    if not isinstance(action.timeout_seconds, (int, float)) or not action.timeout_seconds > 0:
        yield f"has timeout_seconds = {action.timeout_seconds!r}; give a number of seconds above 0"
    if not isinstance(action.retry, Retry) or action.retry.max_attempts < 1:
        yield "has a retry that is no actions.base.Retry with at least one attempt"


def _schema_faults(action: type[Action[Any]]) -> Iterator[str]:
    if action.config_class.model_config.get("extra") != "forbid":
        yield "has a config that takes unknown keys; a misspelt key would be ignored: leave extra as it is"
    output_class = action.output_class
    if output_class is not None and not (isinstance(output_class, type) and issubclass(output_class, Output)):
        yield "has an output_class that is no subclass of actions.base.Output"
        output_class = None
    for what, model in (("config", action.config_class), ("output", output_class)):
        try:
            if model is not None:
                model.model_json_schema()
        except Exception as error:  # whatever Pydantic, or a model's own code, raises
            yield f"has a {what} of which no JSON Schema can be made: {type(error).__name__}: {error}"
    if not all(isinstance(example, Example) for example in action.examples):
        yield "has examples that are no actions.base.Example"


def _field_faults(action: type[Action[Any]]) -> Iterator[str]:
    """Yield a fault for each word of the declaration that should be a field of the config, and is none."""
    known = config_keys(action.config_class) | action.config_class.model_fields.keys()
    named: Mapping[str, Any] = {
        "raw": action.raw,
        "timeout_field": [action.timeout_field] if action.timeout_field else [],
        "signal_field": [action.signal_field] if action.signal_field else [],
        "payload_words": action.payload_words.values(),
        "payload_defaults": action.payload_defaults,
        "credential_kinds": ["credential"] if action.credential_kinds else [],
    }
    for key, words in named.items():
        for word in words:
            if word not in known:
                yield f"names {word!r} in {key}, which is no field of its config"
