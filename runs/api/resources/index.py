"""The address that `make up` prints: links to the schema and to the resources, for people and for clients."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

_LISTS = ("workflows", "runs", "jobs", "dead-letters", "approvals", "actions", "credentials")


@extend_schema(exclude=True)
class Index(APIView):
    """Links only, and so for everybody; what they lead to asks for a token."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def get(self, request: Request) -> Response:
        """Return the links."""
        base = reverse("api-index", request=request)
        return Response(
            {
                "name": "Stepwise",
                "schema": reverse("schema", request=request),
                "authentication": "Authorization: Bearer <token>; credentials.env and the admin have tokens",
                "resources": {name: f"{base}{name}" for name in _LISTS},
            }
        )
