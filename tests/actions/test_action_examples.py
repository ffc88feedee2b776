"""Each example of an action does what it says, against servers of the tests, and its output is as declared."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from actions import registry
from actions.base import Output
from runs.engine import lease
from tests.actions.conftest import server
from tests.actions.examples import covers, performed
from tests.actions.http_server import Server

__all__ = ["server"]


@pytest.fixture(autouse=True)
def _no_lease_is_left() -> Iterator[None]:
    yield
    lease.give_up()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", registry.ACTIONS)
def test_examples_of_an_action_do_what_they_say(name: str, server: Server) -> None:
    action = registry.get(name)
    assert len(action.description) > 100, "say in several sentences what it is for"
    assert action.examples, "give an example"
    assert action.output_class is not None, "declare the fields of its output"
    assert issubclass(action.output_class, Output)
    for example in action.examples:
        row = performed(action, example, address=server.url(""))
        if example.error:
            assert (row.state, (row.error or {}).get("kind")) == ("failed", example.error), example.title
            continue
        assert (row.state, row.error) == ("succeeded", None), example.title
        assert example.output is None or covers(row.output, example.output), (example.title, row.output)
        if isinstance(row.output, dict):
            action.output_class.model_validate(row.output)
    for model in (action.config_class, action.output_class):
        for field_name, field in model.model_fields.items():
            assert model is action.config_class or field.description, f"describe output.{field_name}"
