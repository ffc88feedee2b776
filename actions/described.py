"""An action's declaration as JSON and as a page of text: for the API, the commands, the admin and docs/actions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import orjson

from actions import registry
from actions.base import Action, Example

_WIDTH = 60
# Texts that YAML reads as something else.
_YAML_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


@cache
def as_json(action: Action[Any]) -> dict[str, Any]:
    """Return all that an action declares, with the JSON Schemas of its config and its output."""
    output = action.output_class
    return {
        "name": action.name,
        "aliases": list(action.aliases),
        "package": registry.package_of(action.name),
        "summary": action.summary,
        "description": action.description,
        "output": action.output,
        "pure": action.pure,
        "parks": action.parks,
        "transactional": action.transactional,
        "repeatable": action.repeatable,
        "timeout_seconds": action.timeout_seconds,
        "max_attempts": action.retry.max_attempts,
        "error_kinds": sorted(action.error_kinds),
        "credential_kinds": list(action.credential_kinds),
        "config": action.config_class.model_json_schema(),
        "output_schema": output.model_json_schema() if output is not None else None,
        "examples": [_example(one) for one in action.examples],
    }


def traits(action: Action[Any]) -> str:
    """Return in a line how a step with this action is performed, if its definition says nothing else."""
    attempts = action.retry.max_attempts
    words = [
        _effect(action),
        "repeatable" if action.repeatable else "not repeated by itself",
        f"timeout {action.timeout_seconds:g} s",
        "1 attempt" if attempts == 1 else f"{attempts} attempts",
    ]
    return ", ".join(words)


@cache
def page(action: Action[Any]) -> str:
    """Return the page about an action, in Markdown."""
    aliases = f" (also {', '.join(f'`{alias}`' for alias in action.aliases)})" if action.aliases else ""
    package = registry.package_of(action.name)
    parts = [
        f"# {action.name}\n",
        f"{action.summary}{aliases}.\n",
        *([f"It comes from the package {package}.\n"] if package != registry.OURS else []),
        *([f"{action.description}\n"] if action.description else []),
        f"How it is performed: {traits(action)}.\n",
        "## Config\n",
        "\n".join(fields(action.config_class.model_json_schema(by_alias=True), required=True)) or "None.",
        "\n## Output\n",
        f"{action.output}\n",
    ]
    if action.output_class is not None:
        told = [*fields(action.output_class.model_json_schema(), required=False)]
        parts += ["\n".join(told) + "\n"] if told else []
    if action.error_kinds:
        parts.append(f"Kinds of its failures for `retry.on`: {', '.join(sorted(action.error_kinds))}.\n")
    if action.examples:
        parts.append("## Examples\n")
        parts += [_shown(action, one) for one in action.examples]
    return "\n".join(parts).rstrip() + "\n"


def fields(schema: dict[str, Any], *, required: bool) -> Iterator[str]:
    """Yield a line for each field of an object's JSON Schema: its name, type, default and description.

    `required`: say so of the fields that have to be there.
    """
    needed = schema.get("required", [])
    for name, field in schema.get("properties", {}).items():
        words = [_type(field, schema.get("$defs", {}))]
        if name in needed:
            words += ["required"] if required else []
        elif required and field.get("default") not in (None, {}, []):
            words.append(f"default {_json(field['default'])}")
        yield f"- `{name}` ({', '.join(words)}){_about(field)}"


def _about(field: dict[str, Any]) -> str:
    text = field.get("description", "")
    return f": {text}" if text else ""


def _type(schema: dict[str, Any], known: dict[str, Any]) -> str:
    """Return a JSON Schema's type in words: `text`, `list of numbers`, `a or b`."""
    if "$ref" in schema:
        return _type(known.get(schema["$ref"].rpartition("/")[2], {}), known)
    if "enum" in schema or "const" in schema:
        return " | ".join(_json(value) for value in schema.get("enum", [schema.get("const")]))
    if (choices := schema.get("anyOf") or schema.get("oneOf")) is not None:
        found = dict.fromkeys(_type(one, known) for one in choices if one.get("type") != "null")
        return " or ".join(found) or "null"
    kind = schema.get("type")
    if kind == "array":
        return f"list of {_type(schema['items'], known)}" if schema.get("items") else "list"
    names = {"string": "text", "integer": "whole number", "number": "number", "boolean": "boolean", "object": "object"}
    return names.get(str(kind), "any JSON")


def _effect(action: Action[Any]) -> str:
    if action.parks:
        return "parks"
    if action.transactional:
        return "transactional"
    return "pure" if action.pure else "effectful"


def _example(example: Example) -> dict[str, Any]:
    told = {
        "title": example.title,
        "with": example.config,
        "input": example.input,
        "output": example.output,
        "steps": list(example.steps),
        "workflows": list(example.workflows),
        "payload": example.payload,
        "error": example.error,
    }
    return {key: value for key, value in told.items() if key in ("title", "with") or value not in (None, [], "")}


def _shown(action: Action[Any], example: Example) -> str:
    lines = [f"{example.title}:\n", "```yaml"]
    for step in (*example.steps, _step(action, example)):
        lines += _yaml(step, indent="  ", first="- ")
    lines.append("```\n")
    for word, value in (("With the run input", example.input), ("When it is woken with", example.payload)):
        if value is not None:
            lines.append(f"{word} `{_json(value)}`.\n")
    for other in example.workflows:
        lines += [f"Beside the workflow `{other['name']}`:\n", "```yaml", *_yaml(other, indent=""), "```\n"]
    if example.error:
        lines.append(f"The step fails, and the kind of its error is `{example.error}`.\n")
    elif example.output is not None:
        lines += ["It gives (an object may have more keys):\n", "```json", _json(example.output, pretty=True), "```\n"]
    return "\n".join(lines)


def _step(action: Action[Any], example: Example) -> dict[str, Any]:
    step: dict[str, Any] = {"id": "example", "action": action.name}
    step |= {"needs": list(example.needs)} if example.needs else {}
    return {**step, "with": example.config}


def _yaml(value: dict[str, Any], *, indent: str, first: str = "") -> list[str]:
    """Return an object as lines of YAML: a key per line, and what is inside as JSON, unless that is too wide."""
    lines: list[str] = []
    for key, item in value.items():
        lead = f"{indent[:-2]}{first}" if not lines and first else indent
        text = _json(item)
        if isinstance(item, dict) and item and len(text) > _WIDTH:
            lines += [f"{lead}{key}:", *_yaml(item, indent=f"{indent}  ")]
        elif isinstance(item, list) and item and all(isinstance(one, dict) for one in item):
            lines.append(f"{lead}{key}:")
            for one in item:
                lines += _yaml(one, indent=f"{indent}    ", first="- ")
        else:
            lines.append(f"{lead}{key}: {text if not _is_plain(item) else item}")
    return lines


def _is_plain(value: Any) -> bool:
    if not isinstance(value, str) or value.lower() in _YAML_WORDS:
        return False
    return value[:1].isalpha() and value.replace("_", "").replace("-", "").isalnum() and value.isascii()


def _json(value: Any, *, pretty: bool = False) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 if pretty else 0).decode()
