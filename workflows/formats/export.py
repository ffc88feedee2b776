"""Export a definition as canonical YAML. Loading it gives the same content hash."""

from __future__ import annotations

import re
from typing import Any

import yaml

from actions.base import Json
from workflows.definitions.definition import Definition
from workflows.formats import parse
from workflows.formats.steps import is_sequence

_RARE_BREAKS = re.compile("[\r\x85\u2028\u2029]")
_STEP_DURATIONS = ("timeout",)
_RETRY_DURATIONS = ("initial", "max")


def export_yaml(definition: Definition) -> str:
    """Return the definition as YAML, keys in the order of the model, durations in seconds."""
    document = definition.canonical()
    if is_sequence(definition):
        document["steps"] = [_without_needs(step) for step in _mappings(document["steps"])]
    _plain(document, ("timeout",))
    for key in ("steps", "on_failure", "finally"):
        for step in _mappings(document.get(key)):
            _plain_durations(step)
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=110)


class _Dumper(yaml.SafeDumper):
    """Quotes strings that YAML 1.1 or formats/parse.py would read as another type, and writes no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_text(self, text: str) -> yaml.Node:
        """Use double quotes for strings with unusual line breaks (such as U+2028): other styles would lose them."""
        style = '"' if _RARE_BREAKS.search(text) else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _Dumper.represent_text)
_WHOLE = r"^(?:{})$"
for _tag, _pattern in (
    ("int", parse.INT),
    ("float", parse.FLOAT),
    ("bool", parse.BOOL),
    ("null", parse.NULL),
):
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_WHOLE.format(_pattern.pattern)), None)


def _without_needs(step: dict[str, Json]) -> dict[str, Json]:
    return {key: value for key, value in step.items() if key != "needs"}


def _mappings(value: Json) -> list[dict[str, Json]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _plain_durations(step: dict[str, Json]) -> None:
    """Turn durations such as 30.0 into 30; both are read as the same number of seconds."""
    for holder in (step, step.get("compensate")):
        if isinstance(holder, dict):
            _plain(holder, _STEP_DURATIONS)
            retry = holder.get("retry")
            if isinstance(retry, dict):
                _plain(retry, _RETRY_DURATIONS)
                delays = retry.get("delays")
                if isinstance(delays, list):
                    retry["delays"] = [_whole(delay) for delay in delays]


def _plain(holder: dict[str, Json], keys: tuple[str, ...]) -> None:
    for key in keys:
        if key in holder:
            holder[key] = _whole(holder[key])


def _whole(value: Json) -> Json:
    return int(value) if isinstance(value, float) and value.is_integer() else value
