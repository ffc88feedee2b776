"""`/metrics`: the token's workspace in figures, for Prometheus."""

from __future__ import annotations

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from prometheus_client import CONTENT_TYPE_LATEST
from rest_framework.request import Request

from runs.api.http.base import ScopedView
from runs.telemetry import metrics


@extend_schema(exclude=True)
class Metrics(ScopedView):
    """The figures of one workspace; Prometheus brings the token as `authorization: credentials`."""

    def get(self, request: Request) -> HttpResponse:
        """Answers the text format, whatever is accepted: there is only the one."""
        body = metrics.exposition(self.workspace.pk, name=self.workspace.name)
        return HttpResponse(body, content_type=CONTENT_TYPE_LATEST)
