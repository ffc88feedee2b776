"""Tell drf-spectacular how requests are authenticated, so that the published schema says it."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension


# Found by its base class: importing this module is enough.
class BearerTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # untyped __init_subclass__
    """`Authorization: Bearer <token>`."""

    target_class = "workflows.workspaces.authentication.BearerToken"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """The scheme as OpenAPI words it."""
        return {"type": "http", "scheme": "bearer"}
