"""A config that turns out to be wrong when it is rendered is answered in the words of publishing."""

from __future__ import annotations

from typing import Any

import pytest

from runs.models import DeadLetter
from tests.engine import drain
from tests.flows import begun, published, the_run
from tests.workflows.test_one_voice import WRONG

pytestmark = pytest.mark.django_db(transaction=True)


def _last_value(wrong: Any) -> Any:
    return next(reversed(wrong[1].values()), None)


@pytest.mark.parametrize(
    ("action", "config", "path", "said"),
    # A computed null or empty value is another fault (tests/runs/engine/test_left_out.py).
    [each for each in WRONG if each[0] != "wait" and _last_value(each) not in (None, [])],
)
def test_the_same_config_in_a_run(action: str, config: dict[str, Any], path: str, said: str) -> None:
    [key] = [path.partition(".")[0].partition("[")[0]]
    rendered = {**config, key: "{{ input.value }}"}
    texts = ", ".join(f"{name}: '{text}'" for name, text in rendered.items())
    found = published(f"name: voice\nsteps: [{{id: a, action: {action}, with: {{{texts}}}}}]")
    [run_id] = begun(found, {"value": config[key]})
    drain()
    error = the_run(run_id).error
    assert isinstance(error, dict)
    assert error["kind"] == "config"
    assert error["message"].startswith(f"step 'a': with.{path}: ")
    assert said in error["message"]


def test_a_secret_of_a_run_is_not_shown() -> None:
    text = "{id: a, action: http_request, with: {url: 'http://a', headers: {Authorization: '{{ input.token }}'}}}"
    [run_id] = begun(published(f"name: voice\nsteps: [{text}]"), {"token": [["hunter2"]]})
    drain()
    assert "with.headers.Authorization[0]" in str(the_run(run_id).error)
    assert "hunter2" not in str(DeadLetter.objects.get(run_id=run_id).error)
