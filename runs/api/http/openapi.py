"""The parts of the published schema that no view has: authentication and scopes, and the schemas of actions."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

from actions import registry
from runs.api.http.base import scopes
from workflows.models import Scope


# Found by its base class: importing this module is enough.
class BearerTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # untyped __init_subclass__
    """`Authorization: Bearer <token>`."""

    target_class = "workflows.workspaces.authentication.BearerToken"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """The scheme as OpenAPI words it. It has no place for scopes there, so they stand in its description."""
        known = "\n".join(f"- {label}" for label in Scope.labels)
        text = (
            f"A token of one workspace, with one or more scopes; each operation names those that it takes.\n\n{known}"
        )
        return {"type": "http", "scheme": "bearer", "description": text}

    def get_security_requirement(self, auto_schema: Any) -> dict[str, list[str]]:
        """The scheme with the scopes that the operation takes, all of them (OpenAPI 3.1 allows that for any scheme)."""
        return {self.name: scopes(auto_schema.view, method=auto_schema.method)}


def with_actions(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add the schemas of each action: `<name>.with` of its config, `<name>.output`, and the models inside them."""
    schemas = result.setdefault("components", {}).setdefault("schemas", {})
    for action in registry.usable():
        models = {"with": action.config_class, "output": action.output_class}
        for part, model in models.items():
            if model is None:
                continue
            name = f"{action.name}.{part}"
            found = model.model_json_schema(ref_template=f"#/components/schemas/{name}.{{model}}")
            schemas.update({f"{name}.{inner}": one for inner, one in found.pop("$defs", {}).items()})
            schemas[name] = found
    return result
