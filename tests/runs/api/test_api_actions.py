"""Actions over the API: their schemas and examples, the same for every workspace; those of packages as well."""

from __future__ import annotations

import pytest
from drf_spectacular.generators import SchemaGenerator

from actions import registry
from tests.actions.packages import GOOD, Packages, packages
from tests.runs.doors import api

__all__ = ["packages"]


@pytest.mark.django_db
def test_actions_are_listed_and_shown_with_schemas_and_examples(packages: Packages) -> None:
    packages.install("shop-actions", shout=GOOD, broken="raise OSError('gone')")
    status, listed = api().get("actions")
    assert status == 200
    assert [one["name"] for one in listed["results"]] == sorted([*registry.ACTIONS, "shout"])
    assert api().get("actions/http_call") == api().get("actions/http_request")
    status, one = api().get("actions/shout")
    assert (status, one["package"], one["output_schema"]["required"]) == (200, "shop-actions", ["text"])
    status, http = api().get("actions/http_request")
    assert http in listed["results"]
    assert http["config"]["required"] == ["url"]
    assert http["output_schema"]["properties"]["status"]["type"] == "integer"
    assert http["examples"][0]["title"] == "Read a page of orders"
    for name, said in (("broken", "OSError: gone"), ("http_requst", "did you mean 'http_request'"), ("x" * 300, "")):
        status, problem = api().get(f"actions/{name}")
        assert status == 404
        assert said in problem["detail"]
    assert api().get("actions", state="x")[0] == 400


def test_the_openapi_document_has_the_schemas_of_actions() -> None:
    found = SchemaGenerator().get_schema(request=None, public=True)["components"]["schemas"]  # type: ignore[no-untyped-call]
    for name in registry.ACTIONS:
        assert found[f"{name}.with"]["type"] == found[f"{name}.output"]["type"] == "object"
    assert found["http_request.with"]["required"] == ["url"]
    assert "http_request.with.File" in found
