"""A definition's labels: texts that are put on every run, rendered from the run's input when it is started."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from actions import expressions
from actions.base import ActionError, Json
from actions.payload import dumps
from workflows.definitions.errors import InvalidInput, Problem, join_path

# Characters of a label that is rendered; a start may give labels of the same length.
MAX_LABEL = 255
# Names that expressions of steps can read, and that have no value yet when a run is started.
_LATER = frozenset(["steps", "run", "item", "index", "vars", "secrets"])


def label_problems(labels: Mapping[str, str], *, path: str) -> Iterator[Problem]:
    """Yield the faults of the expressions in labels."""
    for name, text in labels.items():
        if expressions.has_expression(text):
            yield from (Problem(where, fault) for where, fault in expressions.check(text, path=join_path(path, name)))
            for early in sorted(expressions.names_in(text) & _LATER):
                message = f"looks at `{early}`, but is rendered when the run is started; look at `input` only"
                yield Problem(join_path(path, name), message)


def with_expressions(definition: Mapping[str, Any]) -> dict[str, str]:
    """Return the labels of a stored definition that are to be rendered.

    A label that publishing would refuse now was stored before labels were rendered, and stays the text that it is.
    """
    return {
        name: text
        for name, text in definition.get("labels", {}).items()
        if expressions.has_expression(text) and not any(label_problems({name: text}, path=""))
    }


def rendered(labels: Mapping[str, str], given: Json) -> dict[str, str]:
    """Return these labels as they are for a run with this input.

    Raises InvalidInput for one that has no value, or takes more than WEB_CPU_MILLISECONDS: a caller waits for it.
    """
    names = {**(given if isinstance(given, dict) else {}), "input": given}
    with expressions.shared(cpu_milliseconds=expressions.WEB_CPU_MILLISECONDS):
        return {name: _rendered(text, names, path=join_path("labels", name)) for name, text in labels.items()}


def _rendered(text: str, names: Mapping[str, Json], *, path: str) -> str:
    try:
        value = expressions.render(text, names)
    except ActionError as error:
        raise InvalidInput([Problem(path, f"cannot be worked out from the input: {error}")]) from None
    if isinstance(value, (dict, list)) or value is None:
        raise InvalidInput([Problem(path, "must come to a text, a number or a boolean; see what the input has there")])
    label = value if isinstance(value, str) else dumps(value)
    if len(label) > MAX_LABEL:
        raise InvalidInput([Problem(path, f"came to {len(label)} characters; at most {MAX_LABEL} make a label")])
    return label
