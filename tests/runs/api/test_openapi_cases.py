"""No request that the OpenAPI document allows, or nearly allows, is answered by a status of 500 and above.

`make hostile` sends 5,000 requests, `make test` 150. They go through the whole application in this process.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import requests
import schemathesis
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok

from runs.models import DeadLetter, Run
from tests.engine import drain
from tests.flows import begun, owner, published, workspace
from workflows.models import Scope
from workflows.workspaces import tokens

pytestmark = pytest.mark.django_db(transaction=True)

_CASES = int(os.environ.get("STEPWISE_API_CASES", "150"))
_ENDED = "{name: ended, steps: [{id: a, action: transform, with: {set: {n: '{{ input.n }}'}}}]}"
_WAITING = "{name: waiting, steps: [{id: a, action: wait_for_signal, with: {name: go}}, {id: b, action: default}]}"
_ASKING = "{name: asking, steps: [{id: a, action: approval, with: {message: ok?}}]}"
_FAILING = "{name: failing, steps: [{id: a, action: fail, with: {message: no}}]}"
_LIST = "{name: list, steps: [{id: a, action: default, for_each: {items: [1, 2, 3]}}]}"


@pytest.fixture
def known() -> dict[str, list[str]]:
    """Ids and names of what is there, by the first part of an address."""
    for text in (_ENDED, _WAITING, _ASKING, _FAILING, _LIST):
        begun(published(text), {"n": 1}, {"n": 2})
    drain()
    letters = [str(key) for key in DeadLetter.objects.values_list("id", flat=True)]
    assert letters
    runs = [str(key) for key in Run.objects.values_list("id", flat=True)]
    names = list(Run.objects.values_list("workflow__name", flat=True).distinct())
    return {"workflows": names, "runs": runs, "dead-letters": letters, "jobs": runs, "actions": ["default", "email"]}


def test_no_request_is_answered_by_a_server_error(known: dict[str, list[str]]) -> None:
    _, secret = tokens.issue(workspace(), owner(), "cases", scopes=list(Scope))
    client = Client(raise_request_exception=False, headers={"authorization": f"Bearer {secret}"})
    found: Counter[int] = Counter()
    faults: list[str] = []
    schema = schemathesis.openapi.from_dict(SchemaGenerator().get_schema(request=None, public=True))  # type: ignore[no-untyped-call]
    operations = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    assert len(operations) > 30

    for operation in operations:
        # Each example of a strategy has parameters and a body as the document says, or one that is nearly so.
        modes = st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in schemathesis.GenerationMode))

        @settings(
            max_examples=max(1, _CASES // len(operations)),
            database=None,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=modes, which=st.integers(0, 10**6))
        def send(case: Any, which: int) -> None:
            case.path_parameters = _aimed(case.path, case.path_parameters or {}, which, known)
            asked = requests.Request(**_as_request(case)).prepare()
            parts = urlsplit(asked.url or "")
            address = parts.path + (f"?{parts.query}" if parts.query else "")
            body: Any = asked.body or b""
            body = body.encode() if isinstance(body, str) else body
            kind = str(asked.headers.get("Content-Type") or "application/json")
            answer = client.generic(str(asked.method), address, body, content_type=kind)
            found[answer.status_code] += 1
            if answer.status_code >= 500:
                faults.append(f"{answer.status_code} {asked.method} {address[:300]} {body[:300]!r}")

        send()

    assert faults == []
    sent = found.total()
    told = sum(count for status, count in found.items() if status not in (401, 404))
    assert told >= sent / 2, f"of {sent} requests too few went further than the address: {dict(found)}"


def _aimed(path: str, given_: Mapping[str, Any], which: int, known: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return path parameters that name what is there, in two of three requests."""
    there = known.get(path.removeprefix("/api/v1/").split("/")[0], [])
    if which % 3 == 0 or not there:
        return {key: quote(str(value), safe="") for key, value in given_.items()}
    aimed = {"key": there[which % len(there)], "step": "a"}
    return {key: aimed.get(key, value) for key, value in given_.items()}


def _as_request(case: Any) -> dict[str, Any]:
    """Return what requests needs to send a case; its own credentials are left out."""
    found: dict[str, Any] = case.as_transport_kwargs(base_url="http://testserver")
    headers = {key: value for key, value in (found.get("headers") or {}).items() if key.lower() == "content-type"}
    sent: dict[str, Any] = {key: found[key] for key in ("method", "url", "params", "json", "data") if key in found}
    return {**sent, "headers": headers}
