"""Every listed action is whole, and is found by its name and aliases."""

from __future__ import annotations

import json
import re
from io import StringIO

import pytest
import yaml
from django.core.management import call_command
from pydantic import ValidationError

from actions import registry
from runs.management.commands.write_docs import ACTIONS, action_pages
from tests.actions.contexts import perform


def test_known_action_is_found_by_name_and_alias() -> None:
    assert registry.get("http_call") is registry.get("http_request")
    assert registry.canonical("noop") == "default"
    assert registry.names() == sorted(registry.ACTIONS)


def test_unknown_action_names_the_nearest() -> None:
    with pytest.raises(registry.UnknownAction, match="'transfrom'; did you mean 'transform'"):
        registry.get("transfrom")


@pytest.mark.parametrize("name", registry.names())
def test_listed_action_says_what_it_is(name: str) -> None:
    action = registry.get(name)
    assert action.name == name
    assert action.summary
    assert action.output
    assert type(action).__module__ == f"actions.catalogue.{name}"
    assert action.raw <= action.config_class.model_fields.keys()
    assert action.retry.max_attempts == (1 if action.pure or action.parks else 3)
    assert action.config_class.model_config["extra"] == "forbid"
    assert not (action.pure and action.parks)


def test_output_model_refuses_fields_that_no_output_has() -> None:
    action = registry.get("compute")
    assert action.description
    assert action.output_class is not None
    [example] = action.examples
    given = perform(action.name, example.config, example.input)
    assert given == example.output
    assert action.output_class.model_validate(given).model_dump() == given
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        action.output_class.model_validate({"iterations": 2, "result": "", "seconds": 1})


def test_command_lists_every_action_for_people_and_for_programs() -> None:
    text, data = StringIO(), StringIO()
    call_command("actions", stdout=text)
    call_command("actions", "--json", stdout=data)
    listed = json.loads(data.getvalue())
    assert [action["name"] for action in listed] == registry.names()
    assert all(f"\n{name}" in "\n" + text.getvalue() for name in registry.names())
    [http] = [action for action in listed if action["name"] == "http_request"]
    assert (http["aliases"], http["pure"], http["package"]) == (["http_call"], False, "stepwise")
    assert http["config"]["properties"]["url"]["type"] == "string"
    assert http["output_schema"]["additionalProperties"] is False
    assert http["examples"][0]["with"]["url"].startswith("https://api.example.com")


def test_command_shows_config_output_and_examples_of_one_action() -> None:
    for name in ("http_request", "http_call"):
        text = StringIO()
        call_command("actions", name, stdout=text)
        assert all(f"## {part}\n" in text.getvalue() for part in ("Config", "Output", "Examples"))
        assert "- `url` (text, required): http or https" in text.getvalue()
    data = StringIO()
    call_command("actions", "compute", "--json", stdout=data)
    assert json.loads(data.getvalue())["output_schema"]["required"] == ["iterations", "result"]
    said = StringIO()
    with pytest.raises(SystemExit):
        call_command("actions", "http_requset", stderr=said)
    assert "did you mean 'http_request'" in said.getvalue()


def test_pages_of_docs_actions_are_those_of_the_declarations() -> None:
    pages = action_pages()
    assert {path: path.read_text() for path in sorted(ACTIONS.glob("*.md"))} == pages, "run `make docs`"
    for name in registry.ACTIONS:
        found = re.findall(r"```yaml\n(- .*?)```", pages[ACTIONS / f"{name}.md"], re.DOTALL)
        steps = [yaml.safe_load(block)[-1] for block in found]
        examples = registry.get(name).examples
        assert [step["with"] for step in steps] == [example.config for example in examples]
