"""Variables of a workspace: who sets them, what they may be, and what steps read of them."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from runs.queries.variables import VARIABLES
from tests import flows
from tests.engine import drain
from tests.runs.doors import Api
from workflows.models import Variable
from workflows.workspaces import tokens, variables

pytestmark = pytest.mark.django_db(transaction=True)

_FLOW = """
name: regions
steps:
  - {id: pure, action: transform, with: {set: {at: "{{ vars.region }}", most: "{{ vars.limits.most + 1 }}"}}}
  - {id: mapped, action: transform, needs: [pure], with: {map: {at: "vars.region ~ item.at"}}}
  - {id: asked, action: default, if: "vars.limits.most > 5", needs: [mapped]}
  - {id: told, action: notify, needs: [asked], with: {channel: log, text: "in {{ vars.region }}"}}
  - {id: each, action: notify, for_each: {items: "{{ vars.limits.all }}"}, needs: [told],
     with: {channel: log, text: "{{ item }} {{ vars.region }}"}}
  - {id: mark, action: set_labels, needs: [each], with: {labels: {region: "{{ vars.region }}"}}}
"""


def _api(scopes: list[str] | None = None, *, of: str = "default") -> Api:
    return Api(tokens.issue(flows.workspace(of), flows.owner(), "test", scopes=scopes)[1])


def test_a_variable_is_set_changed_listed_and_deleted_by_those_who_may_publish() -> None:
    api = _api()
    assert api.put("variables/region", {"value": "eu"})[0] == 201
    status, told = api.put("variables/region", {"value": 5, "kind": "number"})
    assert (status, told["kind"], told["value"]) == (200, "number", 5)
    assert api.get("variables/region")[1]["value"] == 5
    assert _api(of="theirs").get("variables")[1] == {"results": []}
    assert [one["name"] for one in api.get("variables")[1]["results"]] == ["region"]
    reader = _api(["read", "start", "operate", "admin"])
    assert reader.get("variables")[0] == 200
    assert [reader.put("variables/x", {"value": 1})[0], reader.delete("variables/region")[0]] == [403, 403]
    assert _api(["publish"]).get("variables")[0] == 403
    assert Client().put("/api/v1/variables/x", {"value": 1}, content_type="application/json").status_code == 401
    assert _api(of="theirs").delete("variables/region")[0] == 404
    assert api.delete("variables/region") == (204, None)
    assert [api.delete("variables/region")[0], api.get("variables/region")[0]] == [404, 404]


@pytest.mark.parametrize(
    ("name", "body", "path"),
    [
        ("a-b", {"value": 1}, "name"),
        ("1a", {"value": 1}, "name"),
        ("a" * 65, {"value": 1}, "name"),
        ("a", {"value": None}, "value"),
        ("a", {}, "value"),
        ("a", {"value": "5", "kind": "number"}, "value"),
        ("a", {"value": True, "kind": "number"}, "value"),
        ("a", {"value": 1, "kind": "int"}, "kind"),
        ("a", {"value": "x" * 4096}, "value"),
        ("a", {"value": ["\u0000"]}, ""),
        ("a", {"value": 1, "valeu": 2}, "valeu"),
    ],
)
def test_what_no_variable_may_be_is_refused_with_its_place(name: str, body: dict[str, Any], path: str) -> None:
    status, told = _api().put(f"variables/{name}", body)
    assert status == 400
    assert [one["path"] for one in told["errors"]][:1] == [path] or path == ""
    assert not Variable.objects.exists()


def test_a_workspace_has_a_bounded_number_of_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variables, "MOST", 2)
    api = _api()
    assert [api.put(f"variables/v{n}", {"value": n})[0] for n in (1, 2, 1)] == [201, 201, 200]
    status, told = api.put("variables/v3", {"value": 3})
    assert (status, "which is the limit" in told["detail"]) == (400, True)


def test_steps_of_every_kind_read_variables_when_they_begin_and_keep_what_they_read() -> None:
    place = flows.workspace()
    variables.put(place, "region", "eu")
    variables.put(place, "limits", {"most": 9, "all": ["a", "b"]})
    found = flows.published(_FLOW)
    assert not [one for one in found.warnings if "vars" in one]
    # What an input brings under the name of a variable changes nothing.
    [run_id] = flows.begun(found, {"vars": {"region": "evil", "own": 1}, "region": "evil"})
    drain()
    rows = flows.steps(run_id)
    assert flows.the_run(run_id).state == "succeeded", flows.the_run(run_id).error
    assert rows["pure"].output == {"at": "eu", "most": 10}
    assert rows["mapped"].output == {"at": "eueu"}
    assert rows["told"].config == {"channel": "log", "text": "in eu"}
    assert flows.the_run(run_id).labels == {"region": "eu"}
    variables.put(place, "region", "us")
    [again] = flows.begun(found)
    drain()
    assert flows.steps(again)["told"].config == {"channel": "log", "text": "in us"}
    # History keeps the value that was used.
    assert flows.steps(run_id)["told"].config == {"channel": "log", "text": "in eu"}


def test_only_versions_that_read_variables_ask_for_them() -> None:
    variables.put(flows.workspace(), "region", "eu")
    plain = flows.published("name: plain\nsteps: [{id: a, action: transform, with: {set: {a: '{{ input.vars_ }}'}}}]")
    with CaptureQueriesContext(connection) as queries:
        flows.begun(plain, {"vars_": 1})
        drain()
    assert not [one for one in queries.captured_queries if "workflows_variable" in one["sql"]]
    assert "workflows_variable" in VARIABLES.sql


def test_an_input_with_a_key_vars_is_read_as_before_where_no_variable_has_the_name() -> None:
    found = flows.of_earlier_release("name: old\nsteps: [{id: a, action: transform, with: {set: {a: '{{ vars.x }}'}}}]")
    [before] = flows.begun(found, {"vars": {"x": 1}})
    drain()
    variables.put(flows.workspace(), "other", 2)
    [after, lacking] = flows.begun(found, {"vars": {"x": 1}}, {})
    drain()
    assert flows.the_run(before).output == flows.the_run(after).output == {"a": 1}
    error = flows.the_run(lacking).error
    assert error is not None
    assert "needs vars.x" in error["message"]


def test_publishing_warns_of_a_variable_that_is_not_set_and_of_places_that_read_none() -> None:
    variables.put(flows.workspace(), "region", "eu")
    found = flows.published(
        """
        name: warned
        steps:
          - {id: a, action: notify, if: vars.regoin, with: {channel: log, text: "{{ vars.nope }} {{ vars.region }}"}}
        output: "{{ vars.region }}"
        """
    )
    told = [one for one in found.warnings if "vars" in one]
    assert len(told) == 3
    assert "steps[0].if reads vars.regoin, and workspace 'default' has no such variable now; did you mean" in told[1]
    assert "steps[0].with.text reads vars.nope" in told[0]
    assert "output reads `vars`, which only steps can" in told[2]


def test_the_command_and_the_admin_set_variables_under_the_same_rules(admin_client: Client) -> None:
    flows.workspace()
    out = StringIO()
    call_command("set_variable", "region", "eu", stdout=out)
    call_command("set_variable", "limits", '{"most": 9}', "--kind", "json", stdout=out)
    call_command("set_variable", "region", "5", stdout=out)
    call_command("set_variable", stdout=out)
    assert out.getvalue().splitlines()[-2:] == ['limits  json  {"most":9}', 'region  text  "5"']
    for wrong in (["a-b", "x"], ["a", "x", "--kind", "number"], ["a"], ["none", "--delete"]):
        with pytest.raises(SystemExit):
            call_command("set_variable", *wrong, stderr=StringIO())
    page = reverse("admin:workflows_variable_add")
    place = flows.workspace().pk
    assert admin_client.post(page, {"workspace": place, "name": "flag", "value": "true"}).status_code == 302
    refused = admin_client.post(page, {"workspace": place, "name": "a b", "value": json.dumps("x" * 5000)})
    assert b"must be a letter or underscore" in refused.content
    row = Variable.objects.get(name="flag")
    assert (row.kind, row.value) == ("boolean", True)
    change = reverse("admin:workflows_variable_change", args=[row.pk])
    assert admin_client.post(change, {"value": "[1]"}).status_code == 302
    row.refresh_from_db()
    assert (row.kind, row.value) == ("json", [1])
    assert b"flag" in admin_client.get(reverse("admin:workflows_variable_changelist")).content
    call_command("set_variable", "flag", "--delete", stdout=out)
    assert not Variable.objects.filter(name="flag").exists()
