"""Short ways to write definitions in tests, and to ask what is wrong with them."""

from __future__ import annotations

from actions.base import Json
from workflows.definitions.definition import Definition
from workflows.definitions.errors import DefinitionError
from workflows.formats import parse
from workflows.publishing.validate import Checked, validate


def step(identity: str, **more: Json) -> dict[str, Json]:
    """A step that does nothing, unless `more` says otherwise; `with_`, `if_` stand for `with`, `if`."""
    return {"id": identity, "action": "default", **{key.rstrip("_"): value for key, value in more.items()}}


def document(*steps: Json, **more: Json) -> dict[str, Json]:
    return {"name": "example", "steps": [*steps], **{key.rstrip("_"): value for key, value in more.items()}}


def read(text: str) -> Checked:
    """The definition in a text, problems with their lines."""
    source = parse.load(text)
    try:
        return validate(source.document)
    except DefinitionError as error:
        raise source.locate(error) from None


def faults(given: Json | str) -> dict[str, str]:
    """Path and message of everything that is wrong with a text or document; empty if it is accepted."""
    try:
        read(given) if isinstance(given, str) else validate(given)
    except DefinitionError as error:
        return {problem.path: problem.message for problem in error.problems}
    return {}


def needs(definition: Definition) -> dict[str, list[str]]:
    return {each.id: list(each.needs) for each in definition.steps}


def warnings_of(given: Json | str) -> tuple[str, ...]:
    """The warnings of a text or document that is accepted."""
    return read(given).warnings if isinstance(given, str) else validate(given).warnings
